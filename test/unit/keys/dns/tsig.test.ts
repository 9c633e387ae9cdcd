import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { systemClock } from '../../../../src/base/clock.ts';
import { Rfc2136Publisher } from '../../../../src/keys/dns/rfc2136-publisher.ts';
import { checkAnswer, signMessage } from '../../../../src/keys/dns/tsig.ts';
import { readTsigSecret } from '../../../../src/keys/dns/tsig-key-file.ts';
import { placeRecords, wireName } from '../../../../src/keys/dns/wire.ts';

const KEY = { name: 'waxseal-key', secret: Buffer.alloc(32, 7) };
const NOW_S = 1_800_000_000;
/** Header of an update, and its zone section. */
const MESSAGE = Buffer.concat([
  Buffer.from('123428000001000000000000', 'hex'),
  wireName('example.test'),
  Buffer.from('00060001', 'hex'),
]);

/** A server's signed answer to `MESSAGE`, written from RFC 8945 section 4.3 and not with `signMessage`. */
function answerTo(
  requestMac: Buffer,
  options: { error?: number; other?: Buffer; timeS?: number; secret?: Buffer } = {},
): Buffer {
  const { error = 0, other = Buffer.alloc(0), timeS = NOW_S, secret = KEY.secret } = options;
  const message = Buffer.concat([Buffer.from('1234a8000000000000000000', 'hex')]);
  const time = Buffer.alloc(8);
  time.writeUIntBE(timeS, 0, 6);
  time.writeUInt16BE(300, 6);
  const tail = Buffer.concat([uint16(error), uint16(other.length), other]);
  const algorithm = wireName('hmac-sha256');
  const variables = [wireName(KEY.name), Buffer.from('00ff00000000', 'hex'), algorithm, time, tail];
  const covered = [uint16(32), requestMac, message, ...variables];
  const mac = createHmac('sha256', secret).update(Buffer.concat(covered)).digest();
  const data = Buffer.concat([algorithm, time, uint16(32), mac, Buffer.from('1234', 'hex'), tail]);
  const record = [wireName(KEY.name), Buffer.from('00fa00ff00000000', 'hex'), uint16(data.length)];
  const octets = Buffer.concat([message, ...record, data]);
  octets.writeUInt16BE(1, 10);
  return octets;
}

function uint16(value: number): Buffer {
  const octets = Buffer.alloc(2);
  octets.writeUInt16BE(value);
  return octets;
}

describe('TSIG', () => {
  const { mac, octets } = signMessage(MESSAGE, KEY, NOW_S);

  it('covers the message and is its last record', () => {
    assert.deepEqual(octets.subarray(12, MESSAGE.length), MESSAGE.subarray(12));
    const placed = placeRecords(octets);
    assert.equal(placed?.additionalCount, 1);
    assert.equal(placed?.records.at(-1)?.type, 250);
    assert.equal(mac.length, 32);
  });

  it('takes an answer that the server signed over ours', () => {
    assert.deepEqual(checkAnswer(answerTo(mac), mac, KEY, NOW_S), { kind: 'good' });
  });

  it('tells by how much the clocks differ', () => {
    const other = Buffer.alloc(6);
    other.writeUIntBE(NOW_S + 4000, 0, 6);
    const bad = checkAnswer(answerTo(mac, { error: 18, other }), mac, KEY, NOW_S);
    assert.deepEqual(bad, { kind: 'bad-time', skewS: 4000 });
    const late = checkAnswer(answerTo(mac, { timeS: NOW_S - 301 }), mac, KEY, NOW_S);
    assert.deepEqual(late, { kind: 'bad-time', skewS: -301 });
  });

  it('takes nothing that was changed, replayed, or signed by somebody else', () => {
    const good = answerTo(mac);
    const kinds = new Set<string>();
    for (let at = 0; at < good.length * 8; at += 1) {
      const changed = Buffer.from(good);
      changed[at >> 3] = (changed[at >> 3] ?? 0) ^ (1 << (at & 7));
      // The transaction id is compared by the caller; TSIG restores the original one. Names are
      // compared without case.
      const isSame =
        changed.toString('latin1').toLowerCase() === good.toString('latin1').toLowerCase();
      if (at >> 3 > 1 && !isSame) kinds.add(checkAnswer(changed, mac, KEY, NOW_S).kind);
    }
    // A changed error code makes us fail with another reason, which anybody can do anyway.
    kinds.delete('bad-key');
    kinds.delete('bad-signature');
    assert.deepEqual([...kinds], ['forged']);
    assert.equal(checkAnswer(good, randomBytes(32), KEY, NOW_S).kind, 'forged');
    const other = answerTo(mac, { secret: randomBytes(32) });
    assert.equal(checkAnswer(other, mac, KEY, NOW_S).kind, 'forged');
  });

  it('never throws for what a peer sends', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(200), (junk, at) => {
        const answer = answerTo(mac);
        answer.set(junk.subarray(0, Math.max(0, answer.length - at)), Math.min(at, answer.length));
        for (const octets of [Buffer.from(junk), answer, answer.subarray(0, at)]) {
          assert.ok(checkAnswer(octets, mac, KEY, NOW_S).kind);
        }
      }),
    );
  });

  it('is asked of every answer: an unsigned "done" is not believed', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', (question: Buffer) => {
        const answer = Buffer.from('000c0000a8000000000000000000', 'hex');
        question.copy(answer, 2, 2, 4);
        socket.end(answer);
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
      const { port } = server.address() as AddressInfo;
      const publisher = new Rfc2136Publisher({
        server: { address: '127.0.0.1', port },
        key: KEY,
        zone: 'example.test',
        timeoutMs: 5000,
        clock: systemClock,
      });
      const name = 's._domainkey.example.test';
      const result = await publisher.apply([
        { name, type: 'TXT', ttlS: 60, before: undefined, after: 'v=DKIM1; p=' },
      ]);
      assert.ok(result.kind === 'failed');
      assert.match(
        result.reason,
        /answers NOERROR, and the answer cannot be trusted: it has no TSIG/,
      );
    } finally {
      server.close();
    }
  });
});

describe('a TSIG key file', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'waxseal-tsig-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const secret = randomBytes(32).toString('base64');

  async function read(text: string): Promise<string> {
    const file = join(folder, 'key');
    await writeFile(file, text, { mode: 0o600 });
    return (await readTsigSecret(file, 'waxseal-key')).toString('base64');
  }

  it('may be a key statement, with others beside it, or the bare secret', async () => {
    const other = `key "other" { algorithm hmac-sha512; secret "${randomBytes(64).toString('base64')}"; };`;
    const own = `key "Waxseal-Key." {\n\talgorithm hmac-sha256;\n\tsecret "${secret}";\n};`;
    assert.equal(await read(`# made by tsig-keygen\n${other}\n/* ours */ ${own}\n`), secret);
    assert.equal(
      await read(`key waxseal-key { secret ${secret}; algorithm hmac-sha256; };`),
      secret,
    );
    assert.equal(await read(`${secret}\n`), secret);
  });

  it('is refused without showing what is in it', async () => {
    const wrong = {
      'has no key named': `key "other" { algorithm hmac-sha256; secret "${secret}"; };`,
      'another algorithm': `key "waxseal-key" { algorithm hmac-md5; secret "${secret}"; };`,
      'no secret in base64': `${secret}!`,
      'less than 16 octets': 'AAAA',
      'over 8192 octets': secret.repeat(200),
    };
    for (const [words, text] of Object.entries(wrong)) {
      await assert.rejects(read(text), (error: Error & { hint?: string; code?: string }) => {
        assert.equal(error.code, 'key-publisher-secret');
        assert.ok(error.message.includes(words), error.message);
        assert.ok(!`${error.message}${error.hint}${error.stack}`.includes(secret.slice(0, 20)));
        return true;
      });
    }
    await assert.rejects(readTsigSecret(join(folder, 'none'), 'x'), /does not exist/);
  });
});
