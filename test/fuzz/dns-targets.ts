import assert from 'node:assert/strict';
import { quoteTxt, unquoteTxt } from '../../src/keys/dns/route53-records.ts';
import { checkAnswer, signMessage } from '../../src/keys/dns/tsig.ts';
import { placeRecords } from '../../src/keys/dns/wire.ts';
import type { FuzzTarget } from './mutation.ts';

const key = { name: 'k', secret: Buffer.alloc(32, 1) };
const nowS = 1_800_000_000;
const update = Buffer.concat([
  Buffer.from('000728000001000000000000', 'hex'),
  Buffer.from('\x01a\x04test\x00\x00\x06\x00\x01', 'latin1'),
]);
const { octets: signed, mac } = signMessage(update, key, nowS);

const tsigAnswer: FuzzTarget = {
  name: 'signed answers to dynamic updates',
  seeds: [signed.toString('latin1'), update.toString('latin1')],
  words: ['\xc0\x0c', '\xc0\xff', '\x3f', '\x00', '\xff\xff', '\x00\xfa', '\x00\xff', '\x00\x20'],
  check: ({ octets }) => {
    const placed = placeRecords(octets);
    for (const { start, end } of placed?.records ?? [])
      assert.ok(start < end && end <= octets.length);
    // Whatever comes, it is not signed over our message by somebody who has the key.
    assert.notEqual(checkAnswer(octets, mac, key, nowS).kind, 'good');
  },
};

const route53Value: FuzzTarget = {
  name: 'TXT values of Route 53',
  seeds: [quoteTxt(`v=DKIM1; p=${'A'.repeat(300)}`), '"a\\040b" "c\\"d"', 'bare'],
  words: ['"', '\\', '\\"', '\\0', '\\400', ' ', '" "'],
  check: ({ octets }) => {
    const text = octets.toString('latin1');
    const read = unquoteTxt(text);
    assert.ok((read ?? '').length <= text.length);
    if (text !== '') assert.equal(unquoteTxt(quoteTxt(text)), text);
  },
};

/** Parsers of what DNS servers and DNS providers send to publishers. */
export const dnsTargets: readonly FuzzTarget[] = [tsigAnswer, route53Value];
