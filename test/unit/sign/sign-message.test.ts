import assert from 'node:assert/strict';
import fc from 'fast-check';
import { defaultHeaderLists } from '../../../src/config/default-header-lists.ts';
import { HeaderCollector } from '../../../src/mail/header-collector.ts';
import { fieldOf } from '../../../src/mail/header-fields.ts';
import type { Substitute } from '../../../src/mail/signer.ts';
import { createBodyHasher } from '../../../src/sign/body-hasher.ts';
import {
  canonicalizations,
  type SignatureOptions,
  signatureFieldBytes,
} from '../../../src/sign/dkim-signature.ts';
import { HeaderSelection } from '../../../src/sign/header-selection.ts';
import { type MessageToSign, signMessage } from '../../../src/sign/sign-message.ts';
import { SigningError } from '../../../src/sign/signing-error.ts';
import { mailauthVerdicts, type TestKey, testKey } from '../../support/test-signer.ts';

const NOW_S = 1_790_000_000;
const OPTIONS: SignatureOptions = {
  canonicalization: 'relaxed/relaxed',
  selection: new HeaderSelection(defaultHeaderLists),
  expireAfterS: 0,
  identity: false,
};
const RSA = testKey('example.com', 'wx202611r1', 'rsa-sha256');
const ED25519 = testKey('example.com', 'wx202611e1', 'ed25519-sha256');
const PROVIDER = testKey('provider.example', 'fbl', 'ed25519-sha256');

/** Takes a message in as the relay does. @returns the parts, and what goes to the MX unsigned */
function takeIn(text: string, options: SignatureOptions) {
  const collector = new HeaderCollector({ maxHeaderBytes: 100_000, maxFields: 1000 });
  const pushed = collector.push(Buffer.from(text));
  const taken = pushed.kind === 'more' ? collector.end() : pushed;
  assert.equal(taken.kind, 'complete');
  const hasher = createBodyHasher(canonicalizations(options).body);
  for (const piece of taken.body) hasher.update(piece);
  const octets = Buffer.concat([taken.header.octets, ...taken.body]);
  return { fields: taken.header.fields, bodyHash: hasher.digest(), octets };
}

async function signed(text: string, keys: readonly TestKey[], options = OPTIONS): Promise<Buffer> {
  const { fields, bodyHash, octets } = takeIn(text, options);
  const signatures = await signMessage({ fields, bodyHash, keys, options, nowS: NOW_S });
  return Buffer.concat([signatures, octets]);
}

const MESSAGE =
  'From: A <a@example.com>\r\nTo: b@example.net\r\nSubject: =?utf-8?q?x?=\r\n\ty  z\r\n' +
  'Resent-To: one@example.net\r\nResent-To: two@example.net\r\nMessage-ID: <1@example.com>\r\n' +
  '\r\nSome  text\t\r\n.\r\n\r\n\r\n';

describe('sign message', () => {
  for (const canonicalization of [
    ...['relaxed/relaxed', 'relaxed/simple', 'simple/relaxed', 'simple/simple'],
  ] as SignatureOptions['canonicalization'][]) {
    it(`makes ${canonicalization} signatures that mailauth verifies, one for each key`, async () => {
      const keys = [RSA, ED25519, PROVIDER];
      const options = { ...OPTIONS, canonicalization, expireAfterS: 3600, identity: true };
      const message = await signed(MESSAGE, keys, options);
      assert.deepEqual(await mailauthVerdicts(message, keys, NOW_S), ['pass', 'pass', 'pass']);
      const tags = message.toString().match(/ c=\S+| x=\d+| i=\S+| d=\S+| t=\d+/g);
      assert.equal(tags?.filter((tag) => tag === ` c=${canonicalization};`).length, 3);
      assert.deepEqual(tags?.filter((tag) => / [xi]=/.test(tag)).slice(-2), [
        ` x=${NOW_S + 3600}`,
        ' i=@provider.example;',
      ]);
    });
  }

  it('has exactly the names in h= that it signs, whatever names the message has', async () => {
    const name = fc.oneof(
      fc.constantFrom('List-a;l=0;z=b', 'List-a: b', 'Resent-\xe9', `List-${'a'.repeat(1200)}`),
      fc
        .tuple(
          fc.constantFrom('List-', 'resent-', 'X-', 'Sub'),
          fc.string({ unit: fc.constantFrom(...'ab-;=:, \t\xff!~\x01'), maxLength: 80 }),
        )
        .map(([prefix, rest]) => prefix + rest),
    );
    const lists = { ...defaultHeaderLists, oversignedIfPresent: ['X-*'] };
    const options = { ...OPTIONS, selection: new HeaderSelection(lists) };
    await fc.assert(
      fc.asyncProperty(fc.array(name, { maxLength: 8 }), async (names) => {
        const lines = ['From: a@example.com', ...names.map((one) => `${one}: v`), '', 'body', ''];
        const { fields, bodyHash, octets } = takeIn(lines.join('\r\n'), options);
        const { names: chosen } = options.selection.select(fields);
        const message = { fields, bodyHash, keys: [ED25519], options, nowS: NOW_S };
        const signature = await signMessage(message);
        const value = signature.toString('latin1').replace(/^DKIM-Signature:/, '');
        const tags = value.split(';').map((tag) => tag.replaceAll(/[ \t\r\n]+/g, ''));
        assert.deepEqual(
          tags.map((tag) => tag.slice(0, tag.indexOf('='))),
          ['v', 'a', 'c', 'd', 's', 't', 'h', 'bh', 'b'],
        );
        assert.deepEqual(tags[6]?.slice(2).split(':'), [...chosen]);
        assert.ok(chosen.every((one) => /^[!-9<-~]{1,64}$/.test(one)));
        assert.ok(value.split('\r\n').every((line) => line.length < 100));
        const signed = Buffer.concat([signature, octets]);
        assert.deepEqual(await mailauthVerdicts(signed, [ED25519], NOW_S), ['pass']);
      }),
      { numRuns: 300 },
    );
  });

  it('makes signatures that mailauth verifies whatever the message looks like', async () => {
    const lines = fc.array(
      fc.constantFrom(
        ...['To: b@example.net', 'Subject:', 'Subject:  s \t s', ' folded', '\t', 'List-Id: x', ''],
        ...['no field', 'Cc : c@example.net', 'DKIM-Signature: v=1; b=x', 'Sender: é', 'X;y: z'],
      ),
      { maxLength: 14 },
    );
    const options = fc.record({
      canonicalization: fc.constantFrom(
        ...(['relaxed/relaxed', 'relaxed/simple', 'simple/relaxed', 'simple/simple'] as const),
      ),
      identity: fc.boolean(),
      expireAfterS: fc.constantFrom(0, 60),
    });
    await fc.assert(
      fc.asyncProperty(lines, fc.boolean(), options, async (parts, ends, chosen) => {
        const text = ['From: a@example.com', ...parts].join('\r\n') + (ends ? '\r\n' : '');
        const message = await signed(text, [ED25519], { ...OPTIONS, ...chosen });
        const verdicts = await mailauthVerdicts(message, [ED25519], NOW_S);
        assert.equal(verdicts[0], 'pass');
      }),
      { numRuns: 300 },
    );
  });

  it('breaks when an oversigned field is added or the body is changed', async () => {
    const message = (await signed(MESSAGE, [ED25519])).toString();
    for (const changed of [
      message.replace('From:', 'Reply-To: evil@example.org\r\nFrom:'),
      message.replace('From:', 'From: evil@example.org\r\nFrom:'),
      message.replace('From:', 'Message-ID: <2@example.org>\r\nFrom:'),
      message.replace('Some', 'Same'),
    ]) {
      const [verdict] = await mailauthVerdicts(Buffer.from(changed), [ED25519], NOW_S);
      assert.match(verdict ?? '', /^fail/);
    }
    const harmless = message.replace('From:', 'Received: by mx.example.net\r\nX-Spam: no\r\nFrom:');
    assert.deepEqual(await mailauthVerdicts(Buffer.from(harmless), [ED25519], NOW_S), ['pass']);
  });

  it('is the same octet for octet at the same time', async () => {
    assert.deepEqual(await signed(MESSAGE, [RSA, ED25519]), await signed(MESSAGE, [RSA, ED25519]));
  });

  it('keeps lines under 78 characters, and within the size that was announced', async () => {
    const options = { ...OPTIONS, identity: true, expireAfterS: 60 };
    const names = [
      ...defaultHeaderLists.alwaysOversigned,
      ...defaultHeaderLists.oversignedIfPresent,
    ];
    const fields = names.map((name) => fieldOf(name, 'a@example.com'));
    const bodyHash = createBodyHasher('relaxed').digest();
    for (const key of [
      RSA,
      ED25519,
      testKey(`${'long.'.repeat(40)}example`, 's'.repeat(60), 'rsa-sha256'),
    ]) {
      const field = await signMessage({ fields, bodyHash, keys: [key], options, nowS: NOW_S });
      assert.ok(field.length <= signatureFieldBytes(key, options), `${field.length}`);
      if (key.domain.length > 70) continue;
      for (const line of field.toString().split('\r\n')) assert.ok(line.length <= 78, line);
    }
  });

  it('signs with all keys at the same time', async () => {
    const waiting: (() => void)[] = [];
    const slow = (key: TestKey): TestKey => ({
      ...key,
      signer: {
        ...key.signer,
        sign: async (octets) => {
          await new Promise<void>((resolve) => {
            waiting.push(resolve);
            // Only when both have begun does either go on.
            if (waiting.length === 2) for (const go of waiting) go();
          });
          return key.signer.sign(octets);
        },
      },
    });
    const message = await signed(MESSAGE, [slow(RSA), slow(ED25519)]);
    assert.deepEqual(await mailauthVerdicts(message, [RSA, ED25519], NOW_S), ['pass', 'pass']);
  });

  it('fails as a whole when one key fails, and says which', async () => {
    const cause = new Error('throttled');
    const broken: TestKey = {
      ...PROVIDER,
      signer: { algorithm: 'ed25519-sha256', remote: false, sign: () => Promise.reject(cause) },
    };
    await assert.rejects(signed(MESSAGE, [RSA, broken]), (error: unknown) => {
      assert.ok(error instanceof SigningError);
      assert.equal(error.code, 'signing-failed');
      assert.match(error.message, /fbl\._domainkey\.provider\.example \(ed25519-sha256\)/);
      assert.equal(error.cause, cause);
      return true;
    });
  });

  it('takes no signature of the wrong length', async () => {
    const empty: TestKey = {
      ...RSA,
      signer: { algorithm: 'rsa-sha256', remote: false, sign: async () => Buffer.alloc(0) },
    };
    await assert.rejects(signed(MESSAGE, [empty]), { code: 'signing-failed' });
  });

  it('hands the abort signal to the signers', async () => {
    const { signal } = new AbortController();
    const seen: unknown[] = [];
    const key: TestKey = {
      ...ED25519,
      signer: {
        algorithm: 'ed25519-sha256',
        remote: false,
        sign: async (_, given) => {
          seen.push(given);
          return Buffer.alloc(64);
        },
      },
    };
    const { fields, bodyHash } = takeIn(MESSAGE, OPTIONS);
    const message: MessageToSign = {
      fields,
      bodyHash,
      keys: [key],
      options: OPTIONS,
      nowS: 1,
      signal,
    };
    await signMessage(message);
    assert.deepEqual(seen, [signal]);
  });

  describe('a key with a fall-back and a predecessor', () => {
    const failing = (substitute?: Substitute) => ({
      ...RSA,
      fallback: testKey('example.com', 'stand-in', 'rsa-sha256'),
      predecessor: testKey('example.com', 'before', 'rsa-sha256'),
      signer: {
        ...RSA.signer,
        sign: async () => {
          throw Object.assign(new Error('no'), { substitute });
        },
      },
    });
    const sign = async (keys: MessageToSign['keys']) => {
      const { fields, bodyHash, octets } = takeIn(MESSAGE, OPTIONS);
      const used: string[] = [];
      const signatures = await signMessage({
        fields,
        bodyHash,
        keys,
        options: OPTIONS,
        nowS: NOW_S,
        onSubstitute: (key, other) => used.push(`${key.selector} -> ${other.selector}`),
      });
      return { used, message: Buffer.concat([signatures, octets]) };
    };

    it('is signed for by it, under its own selector, beside the others', async () => {
      const key = failing('fallback');
      const { used, message } = await sign([key, ED25519]);
      assert.deepEqual(used, ['wx202611r1 -> stand-in']);
      assert.deepEqual(await mailauthVerdicts(message, [key.fallback, ED25519], NOW_S), [
        'pass',
        'pass',
      ]);
    });

    it('is signed for by the predecessor, where the fault asks for that', async () => {
      const key = failing('predecessor');
      const { used, message } = await sign([ED25519, key]);
      assert.deepEqual(used, ['wx202611r1 -> before']);
      const keys = [ED25519, key.predecessor];
      assert.deepEqual(await mailauthVerdicts(message, keys, NOW_S), ['pass', 'pass']);
      await assert.rejects(sign([{ ...key, predecessor: undefined }]), SigningError);
    });

    it('is not signed for when the fault does not allow it', async () => {
      await assert.rejects(sign([failing(), ED25519]), SigningError);
    });

    it('is not signed for by what may not sign any more when it fails', async () => {
      const { fields, bodyHash } = takeIn(MESSAGE, OPTIONS);
      const key = failing('fallback');
      const signing = (now: MessageToSign['keys']) =>
        signMessage({
          ...{ fields, bodyHash, keys: [key], options: OPTIONS, nowS: NOW_S },
          keysNow: () => now,
        });
      await assert.rejects(signing([{ ...key, fallback: undefined }]), SigningError);
      await assert.rejects(signing([]), SigningError);
      assert.match(String(await signing([key])), /s=stand-in;/);
    });

    it('is of no use when the fall-back fails too', async () => {
      const fallback = failing('fallback');
      await assert.rejects(sign([{ ...failing('fallback'), fallback }]), SigningError);
    });

    it('is used itself as long as it works', async () => {
      const fallback = testKey('example.com', 'stand-in', 'rsa-sha256');
      assert.deepEqual((await sign([{ ...RSA, fallback }])).used, []);
    });
  });
});
