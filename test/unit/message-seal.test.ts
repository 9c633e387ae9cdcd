import assert from 'node:assert/strict';
import { defaultHeaderLists } from '../../src/config/default-header-lists.ts';
import type { Mailbox } from '../../src/mail/envelope.ts';
import type { SigningKey, SigningKeyring } from '../../src/mail/signer.ts';
import { MessageIntake } from '../../src/message-intake.ts';
import { MessageSeal, type Sealed, type SealOptions } from '../../src/message-seal.ts';
import { HeaderSelection } from '../../src/sign/header-selection.ts';
import { Spool } from '../../src/spool/spool.ts';
import { TransactionJournal } from '../../src/transaction-journal.ts';
import { ALLOWED_CLIENT } from '../support/allowed-client.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { mailauthVerdicts, testKey } from '../support/test-signer.ts';
import { waitFor } from '../support/wait-for.ts';

const RECIPIENT: Mailbox = {
  address: 'b@y.test',
  localPart: 'b',
  domain: 'y.test',
  needsSmtpUtf8: false,
};
const MESSAGE = 'From: a@x.test\r\nSubject: hello\r\n\r\nbody\r\n';
const KEY = testKey('x.test', 'r', 'rsa-sha256');

function keyringOf(keys: readonly SigningKey[]): SigningKeyring {
  return {
    fault: undefined,
    keysFor: (domain) =>
      keys.some((key) => key.domain === domain)
        ? { kind: 'keys', domain, keys: keys.filter((key) => key.domain === domain) }
        : { kind: 'unknown-domain' },
  };
}

describe('MessageSeal', () => {
  const clock = new ManualClock(Date.UTC(2026, 10, 21));
  let journal: TransactionJournal;

  async function seal(
    content: string,
    change: Partial<SealOptions> = {},
    nullSender = false,
  ): Promise<Sealed> {
    journal = new TransactionJournal('id1', ALLOWED_CLIENT, clock);
    const limits = {
      dir: '/nowhere',
      messageMemoryBytes: 1e6,
      memoryBytes: 1e6,
      diskBytes: 0,
      waitMs: 1,
    };
    const intake = new MessageIntake(
      new Spool(limits, clock).open(),
      { maxHeaderBytes: 1e5, maxFields: 1000 },
      'relaxed',
    );
    intake.add(Buffer.from(content));
    const options: SealOptions = {
      clock,
      keyring: keyringOf([KEY]),
      content: { strayLineEnds: 'fix', longLines: 'pass', maxHops: 50 },
      signing: { unmatched: 'refuse', unmatchedNullSender: 'unsigned', alsoSignAs: [] },
      signature: {
        canonicalization: 'relaxed/relaxed',
        selection: new HeaderSelection(defaultHeaderLists),
        expireAfterS: 0,
        identity: false,
      },
      by: 'relay.test',
      hideClient: false,
      addDate: false,
      addMessageId: false,
      ...change,
    };
    return new MessageSeal(options).seal({
      id: 'id1',
      client: ALLOWED_CLIENT,
      mail: {
        reversePath: nullSender ? undefined : RECIPIENT,
        sizeBytes: undefined,
        body: undefined,
        smtpUtf8: false,
      },
      recipients: [RECIPIENT],
      facts: { bytes: content.length, strayLineEnds: false, nul: false, longestLine: 20 },
      intake: await intake.finish(),
      journal,
      dueMs: clock.monotonicMs() + 570_000,
    });
  }

  const verdictsOn = (message: string, keys = [KEY]) =>
    mailauthVerdicts(Buffer.from(message), keys, Math.floor(clock.wallMs() / 1000));
  const prefixOf = (sealed: Sealed) =>
    sealed.kind === 'sealed' ? sealed.prefix.toString('latin1') : assert.fail('refused');
  const refusalOf = (sealed: Sealed) =>
    sealed.kind === 'refused'
      ? `${sealed.reply.code} ${sealed.reply.enhanced} ${sealed.reply.rule}`
      : 'sealed';

  it('puts Received on top, then a signature that verifies', async () => {
    const prefix = prefixOf(await seal(MESSAGE));
    assert.match(
      prefix,
      /^Received: from client\.test \(\[192\.0\.2\.1\]\)[\s\S]*\r\nDKIM-Signature: /,
    );
    const verdicts = await verdictsOn(prefix + MESSAGE);
    assert.deepEqual(verdicts, ['pass']);
  });

  it('hides the client where it should', async () => {
    const prefix = prefixOf(await seal(MESSAGE, { hideClient: true }));
    assert.doesNotMatch(prefix, /client\.test|192\.0\.2\.1/);
  });

  it('adds a missing Date and Message-ID where it should, and signs them', async () => {
    const prefix = prefixOf(await seal(MESSAGE, { addDate: true, addMessageId: true }));
    assert.match(
      prefix,
      /\r\nDate: Sat, 21 Nov 2026 00:00:00 \+0000\r\nMessage-ID: <[^>]+@relay\.test>\r\n$/,
    );
    assert.deepEqual(await verdictsOn(prefix + MESSAGE), ['pass']);
    const forged = `${prefix}${MESSAGE}`.replace('\r\nDate: Sat', '\r\nDate: Sun');
    assert.match((await verdictsOn(forged))[0] ?? '', /^fail /);
    const complete = `Date: x\r\nMessage-ID: <1@x.test>\r\n${MESSAGE}`;
    const kept = prefixOf(await seal(complete, { addDate: true, addMessageId: true }));
    assert.doesNotMatch(kept, /\r\n(?:Date|Message-ID): /);
  });

  it('signs for the provider too', async () => {
    const provider = testKey('provider.test', 'p', 'ed25519-sha256');
    const signing = {
      unmatched: 'refuse',
      unmatchedNullSender: 'unsigned',
      alsoSignAs: ['provider.test'],
    } as const;
    const prefix = prefixOf(await seal(MESSAGE, { keyring: keyringOf([KEY, provider]), signing }));
    const verdicts = await verdictsOn(prefix + MESSAGE, [KEY, provider]);
    assert.deepEqual(verdicts, ['pass', 'pass']);
  });

  it('refuses a stranger, but lets its bounce leave unsigned, and says so in the log', async () => {
    const strange = MESSAGE.replace('x.test', 'stranger.test');
    assert.equal(refusalOf(await seal(strange)), '550 5.7.1 signing.unmatched');
    const prefix = prefixOf(await seal(strange, {}, true));
    assert.doesNotMatch(prefix, /DKIM-Signature/);
    const record = journal.record(
      'accepted',
      { origin: 'local', code: 250, enhanced: '2.0.0', lines: [''], rule: 'x' },
      undefined,
      undefined,
    );
    assert.match(record.unsigned ?? '', /stranger\.test/);
  });

  it('answers 451 4.7.5 when a signer fails, and tells the log why', async () => {
    const signer = { ...KEY.signer, sign: () => Promise.reject(new Error('throttled')) };
    const sealed = await seal(MESSAGE, { keyring: keyringOf([{ ...KEY, signer }]) });
    assert.equal(refusalOf(sealed), '451 4.7.5 signing.failed');
    assert.match(journal.notes.join(), /x\.test/);
  });

  it('gives a remote signer a minute', async () => {
    const signer = {
      ...KEY.signer,
      remote: true,
      sign: (_octets: Buffer, signal?: AbortSignal) =>
        new Promise<Buffer>((_resolve, reject) => {
          signal?.addEventListener('abort', () => reject(new Error('too slow')));
        }),
    };
    const sealed = seal(MESSAGE, { keyring: keyringOf([{ ...KEY, signer }]) });
    await waitFor('the signer', () => clock.waiting > 0);
    clock.advance(60_000);
    assert.equal(refusalOf(await sealed), '451 4.7.5 signing.failed');
    assert.equal(clock.waiting, 0);
  });

  it('takes 51 Received fields for a loop', async () => {
    const trace = 'Received: by x; Sat, 21 Nov 2026 00:00:00 +0000\r\n';
    assert.equal(refusalOf(await seal(trace.repeat(50) + MESSAGE)), 'sealed');
    assert.equal(refusalOf(await seal(trace.repeat(51) + MESSAGE)), '554 5.4.6 header.hops');
  });

  it('refuses a message without an author', async () => {
    assert.equal(refusalOf(await seal('Subject: x\r\n\r\n')), '550 5.6.0 header.from');
  });
});
