import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  compareRecord,
  type KeyRecord,
  parseKeyRecord,
  recordValue,
  revokedRecordValue,
  splitRecordValue,
  zoneLine,
} from '../../../src/keys/key-record.ts';

/** Appendix A.2 of RFC 8463. */
const RFC8463 = 'v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=';
/** Appendix C of RFC 6376, as its TXT strings join. */
const RFC6376 =
  'v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQ' +
  'KBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYt' +
  'IxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v' +
  '/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhi' +
  'tdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB';

const ed25519 = {
  algorithm: 'ed25519',
  publicKey: '11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=',
};

function parsed(text: string): KeyRecord {
  const result = parseKeyRecord(text);
  assert.ok(result.kind === 'record', JSON.stringify(result));
  return result.record;
}

describe('key record', () => {
  it('is written as keys.md says', () => {
    const value = 'v=DKIM1; k=ed25519; h=sha256; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=';
    assert.equal(recordValue(ed25519), value);
    assert.equal(
      zoneLine('brisbane._domainkey.football.example.com', 3600, value),
      `brisbane._domainkey.football.example.com. 3600 IN TXT "${value}"`,
    );
    assert.equal(revokedRecordValue(ed25519), 'v=DKIM1; k=ed25519; p=');
  });

  it('is split into strings of 255 octets that join to the value', () => {
    const publicKey = 'A'.repeat(736);
    const value = recordValue({ algorithm: 'rsa4096', publicKey });
    const strings = splitRecordValue(value);
    assert.deepEqual(
      strings.map((text) => text.length),
      [255, 255, value.length - 510],
    );
    assert.equal(strings.join(''), value);
  });

  it('is parsed from the examples of RFC 6376 and RFC 8463', () => {
    const record = parsed(RFC8463);
    assert.equal(record.family, 'ed25519');
    assert.deepEqual(compareRecord(record, ed25519), { mismatches: [], warnings: [] });
    assert.equal(parsed(RFC6376).family, 'rsa');
    assert.equal(parsed(RFC6376).publicKey.length, 216);
  });

  it('takes white space, unknown tags and a final semicolon', () => {
    const record = parsed(' v = DKIM1 ;\tk=ed25519; x=1; n=note = here; p = 11qY\r\n AYK = ; ');
    assert.equal(record.publicKey, '11qYAYK=');
  });

  const malformed: readonly [string, RegExp][] = [
    ['v=spf1 -all', /v= is not DKIM1/],
    ['k=rsa; v=DKIM1; p=AAAA', /does not come first/],
    ['v=DKIM1; k=rsa', /no p=/],
    ['v=DKIM1; p=AAAA; p=BBBB', /p= stands twice/],
    ['v=DKIM1; p=AA*A', /no base64/],
    ['hello', /without "="/],
    ['v=DKIM1;; p=AAAA', /without "="/],
    ['v=DKIM1; p=ÄÄÄÄ', /not allowed/],
    ['', /without "="/],
  ];
  for (const [text, reason] of malformed) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      const result = parseKeyRecord(text);
      assert.ok(result.kind === 'malformed');
      assert.match(result.reason, reason);
    });
  }

  const mismatches: readonly [string, RegExp][] = [
    ['v=DKIM1; k=ed25519; p=', /revoked/],
    ['v=DKIM1; k=rsa; p=AAAA', /k=rsa and not k=ed25519/],
    ['v=DKIM1; p=AAAA', /k=rsa and not k=ed25519/],
    ['v=DKIM1; k=ed25519; p=AAAA', /another key/],
    [`v=DKIM1; k=ed25519; p=MCowBQYDK2VwAyEA${'A'.repeat(44)}`, /bare 32 octets/],
    [RFC8463.replace('k=', 'h=sha1; k='), /h= does not allow sha256/],
    [RFC8463.replace('k=', 's=other; k='), /s= does not allow email/],
  ];
  for (const [text, reason] of mismatches) {
    it(`sees the mismatch in ${text.slice(0, 40)}`, () => {
      assert.match(compareRecord(parsed(text), ed25519).mismatches.join(), reason);
    });
  }

  it('warns about t=y', () => {
    const { mismatches: none, warnings } = compareRecord(parsed(`${RFC8463}; t=s:y`), ed25519);
    assert.deepEqual(none, []);
    assert.match(warnings.join(), /tests DKIM/);
  });

  it('reads back whatever it wrote, however it was split', () => {
    const keys = fc.uint8Array({ minLength: 32, maxLength: 550 });
    fc.assert(
      fc.property(keys, (octets) => {
        const key = { algorithm: 'rsa2048', publicKey: Buffer.from(octets).toString('base64') };
        const strings = splitRecordValue(recordValue(key));
        assert.ok(strings.every((text) => text.length <= 255));
        assert.deepEqual(compareRecord(parsed(strings.join('')), key).mismatches, []);
      }),
    );
  });

  it('never throws, whatever a TXT record holds', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string().map((tail) => `v=DKIM1;${tail}`),
    );
    fc.assert(
      fc.property(text, (value) => {
        const result = parseKeyRecord(value);
        assert.ok(result.kind === 'record' || result.reason.length > 0);
      }),
    );
  });
});
