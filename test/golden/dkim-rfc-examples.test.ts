import assert from 'node:assert/strict';
import { createHash, createPrivateKey, createPublicKey, verify } from 'node:crypto';
import { HeaderCollector } from '../../src/mail/header-collector.ts';
import type { HeaderField, MessageHeader } from '../../src/mail/header-fields.ts';
import { type BodyCanonicalization, createBodyHasher } from '../../src/sign/body-hasher.ts';
import { canonicalHeader, relaxedValue } from '../../src/sign/header-canonicalization.ts';
import { HeaderSelection } from '../../src/sign/header-selection.ts';
import { signMessage } from '../../src/sign/sign-message.ts';
import { ed25519FromSeed, mailauthVerdicts, testKey } from '../support/test-signer.ts';
import * as rfc6376 from './rfc6376-appendix-a.ts';
import * as rfc8463 from './rfc8463-appendix-a.ts';

function split(message: string): { header: MessageHeader; body: readonly Buffer[] } {
  const progress = new HeaderCollector({ maxHeaderBytes: 10_000, maxFields: 100 }).push(
    Buffer.from(message),
  );
  assert.equal(progress.kind, 'complete');
  return progress;
}

function bodyHash(canonicalization: BodyCanonicalization, body: readonly Buffer[]): Buffer {
  const hasher = createBodyHasher(canonicalization);
  for (const piece of body) hasher.update(piece);
  return hasher.digest();
}

/** Fields of a message by the names of an `h=` (RFC 6376 section 5.4.2); one of each is there. */
function fieldsOf(header: MessageHeader, names: string): HeaderField[] {
  return names.split(' : ').flatMap((name) => {
    const field = header.fields.find((one) => one.name === name.toLowerCase());
    return field === undefined ? [] : [field];
  });
}

/** The relaxed form of a DKIM-Signature field with an empty `b=`. */
function relaxedSignatureField(field: string): string {
  return `dkim-signature:${relaxedValue(field.slice('DKIM-Signature:'.length))}`;
}

const BRISBANE = testKey(
  'football.example.com',
  'brisbane',
  'ed25519-sha256',
  ed25519FromSeed(Buffer.from(rfc8463.ED25519_SEED, 'base64')),
);
const TEST = testKey(
  'football.example.com',
  'test',
  'rsa-sha256',
  createPrivateKey({
    key: Buffer.from(rfc8463.RSA_PRIVATE, 'base64'),
    format: 'der',
    type: 'pkcs1',
  }),
);

describe('RFC 8463 appendix A', () => {
  const { header, body } = split(rfc8463.MESSAGE);
  // h= names From, Subject and Date a second time; there is no second one.
  const signedHeader = canonicalHeader(
    'relaxed',
    fieldsOf(header, 'from : to : subject : date : message-id'),
  );

  it('gives the body hash', () => {
    assert.equal(bodyHash('relaxed', body).toString('base64'), rfc8463.BODY_HASH);
  });

  it('gives the Ed25519 signature', async () => {
    assert.ok(BRISBANE.record.endsWith(rfc8463.ED25519_PUBLIC));
    const octets = Buffer.from(signedHeader + relaxedSignatureField(rfc8463.ED25519_FIELD));
    const signature = await BRISBANE.signer.sign(octets);
    assert.equal(signature.toString('base64'), rfc8463.ED25519_SIGNATURE);
  });

  it('gives the RSA signature', async () => {
    assert.ok(TEST.record.endsWith(rfc8463.RSA_PUBLIC));
    const octets = Buffer.from(signedHeader + relaxedSignatureField(rfc8463.RSA_FIELD));
    const signature = await TEST.signer.sign(octets);
    assert.equal(signature.toString('base64'), rfc8463.RSA_SIGNATURE);
  });

  it('is signed with both keys in our own form, and verifies', async () => {
    const selection = new HeaderSelection({
      alwaysOversigned: ['From', 'Subject', 'Date'],
      oversignedIfPresent: [],
      signedIfPresent: ['To', 'Message-ID'],
    });
    const fields = await signMessage({
      fields: header.fields,
      bodyHash: bodyHash('relaxed', body),
      keys: [BRISBANE, TEST],
      options: {
        canonicalization: 'relaxed/relaxed',
        selection,
        expireAfterS: 0,
        identity: true,
      },
      nowS: 1_528_637_909,
    });
    assert.equal(
      fields.toString(),
      [
        'DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;',
        '\td=football.example.com; s=brisbane; t=1528637909; i=@football.example.com;',
        '\th=from:from:subject:subject:date:date: to:message-id;',
        '\tbh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=; b=oHd0VIkCduUNSMAM0tSq/Jut54',
        '\tHd3lxiooBB2gCOLgtZfAmhoOufs1YYhiSZLshIjj3+1ZdHCifM2e30ov4vDQ==',
        'DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=football.example.com;',
        '\ts=test; t=1528637909; i=@football.example.com;',
        '\th=from:from:subject:subject:date:date: to:message-id;',
        '\tbh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=; b=t4LstRbpZBkdyacCRaoMcJaDE8',
        '\tPnTT0IUh+pgFqodnREtsIzV0Yf9FtNldBR346viaqaTQ1pfip3X7fc5gf+E/RtEka1+ccO/rOOljl',
        '\tVmcPIwfgWJtPfIxKEjXIbriD6n2D4RQGzTTQkAEGXu22XJ+HVvtvgHj7Njepb9nc9t0Q=',
        '',
      ].join('\r\n'),
    );
    const message = Buffer.concat([fields, Buffer.from(rfc8463.MESSAGE)]);
    assert.deepEqual(await mailauthVerdicts(message, [BRISBANE, TEST], 1_528_637_909), [
      'pass',
      'pass',
    ]);
  });
});

describe('RFC 6376 appendix A', () => {
  const { header, body } = split(rfc6376.MESSAGE);

  it('gives the body hash', () => {
    assert.equal(bodyHash('simple', body).toString('base64'), rfc6376.BODY_HASH);
  });

  it('gives the octets that the signature was made over', () => {
    const names = 'Received : From : To : Subject : Date : Message-ID';
    const octets = canonicalHeader('simple', fieldsOf(header, names)) + rfc6376.FIELD;
    const key = createPublicKey({
      key: Buffer.from(rfc6376.RSA_PUBLIC, 'base64'),
      format: 'der',
      type: 'spki',
    });
    const signature = Buffer.from(rfc6376.SIGNATURE, 'base64');
    assert.ok(verify('sha256', Buffer.from(octets), key, signature));
    assert.ok(!verify('sha256', Buffer.from(octets.replace('  [', ' [')), key, signature));
  });
});

describe('RFC 6376 section 3.4.5', () => {
  const { header, body } = split('A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n C \r\nD \t E\r\n\r\n\r\n');
  const sha256 = (text: string) => createHash('sha256').update(text).digest();

  it('example 1: relaxed header and body', () => {
    assert.equal(canonicalHeader('relaxed', header.fields), 'a:X\r\nb:Y Z\r\n');
    assert.deepEqual(bodyHash('relaxed', body), sha256(' C\r\nD E\r\n'));
  });

  it('example 2: simple header and body', () => {
    assert.equal(canonicalHeader('simple', header.fields), 'A: X\r\nB : Y\t\r\n\tZ  \r\n');
    assert.deepEqual(bodyHash('simple', body), sha256(' C \r\nD \t E\r\n'));
  });
});
