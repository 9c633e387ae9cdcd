import assert from 'node:assert/strict';
import type { Log, TransactionRecord } from '../../src/base/log.ts';
import type { Client } from '../../src/mail/client.ts';
import type { Mailbox } from '../../src/mail/envelope.ts';
import { localReply, type RemoteReply, type Reply } from '../../src/mail/reply.ts';
import { MessageIntake } from '../../src/message-intake.ts';
import type { Sealed } from '../../src/message-seal.ts';
import type { DotResult } from '../../src/relay/leg.ts';
import { Spool } from '../../src/spool/spool.ts';
import { type Leg, LiveTransaction, type TransactionParts } from '../../src/transaction.ts';
import { ALLOWED_CLIENT } from '../support/allowed-client.ts';
import { ManualClock } from '../support/manual-clock.ts';

const MAIL = {
  reversePath: mailbox('a@x.test'),
  sizeBytes: undefined,
  body: undefined,
  smtpUtf8: false,
};
const FACTS = { bytes: 20, strayLineEnds: false, nul: false, longestLine: 10 };

function mailbox(address: string): Mailbox {
  const [localPart = '', domain = ''] = address.split('@');
  return { address, localPart, domain, needsSmtpUtf8: false };
}

function remote(code: number, text = 'as the MX says', command = '.'): RemoteReply {
  return { origin: 'remote', code, lines: [text], host: 'mx.test', address: '192.0.2.9', command };
}

/** A leg whose answers the test writes down. */
class ScriptedLeg implements Leg {
  readonly calls: string[] = [];
  /** Until when `send` may take. */
  dueMs: number | undefined;
  facts: Leg['facts'] = {
    host: 'mx.test',
    address: '192.0.2.9',
    tls: 'none',
    reused: false,
    timingsMs: {},
  };
  rcptReply: Reply | Promise<Reply> = remote(250);
  dataReply: Reply = remote(354);
  dot: DotResult | Promise<DotResult> = { kind: 'answered', reply: remote(250), settled: true };
  #late: (reply: RemoteReply, afterMs: number) => void = () => undefined;

  async rcpt({ address }: Mailbox): Promise<Reply> {
    this.calls.push(`rcpt ${address}`);
    return this.rcptReply;
  }
  async data(): Promise<Reply> {
    this.calls.push('data');
    return this.dataReply;
  }
  async send(_source: unknown, dueMs: number): Promise<DotResult> {
    this.calls.push('send');
    this.dueMs = dueMs;
    return this.dot;
  }
  abort(): void {
    this.calls.push('abort');
  }
  async finish(): Promise<void> {
    this.calls.push('finish');
  }
  onLateReply(listener: (reply: RemoteReply, afterMs: number) => void): void {
    this.#late = listener;
  }
  answerLate(reply: RemoteReply): void {
    this.#late(reply, 575_000);
  }
}

describe('LiveTransaction', () => {
  const clock = new ManualClock();
  let records: TransactionRecord[];
  let late: unknown[];
  let faults: unknown[];
  /** How often a transaction said that it has ended. */
  let endings: number;
  let legs: Map<string, ScriptedLeg>;
  let spool: Spool;
  let sealed: Sealed | Promise<Sealed> | Error;
  /** By recipient domain; 250 where there is none. */
  let rcptReplies: Record<string, Reply | Promise<Reply>>;
  let fault: string | undefined;

  beforeEach(() => {
    records = [];
    late = [];
    faults = [];
    endings = 0;
    legs = new Map();
    fault = undefined;
    rcptReplies = {};
    sealed = { kind: 'sealed', prefix: Buffer.from('Received: here\r\n') };
    const options = {
      dir: '/nowhere',
      messageMemoryBytes: 1000,
      memoryBytes: 1000,
      diskBytes: 0,
      waitMs: 1,
    };
    spool = new Spool(options, clock);
  });

  function begin(client: Client = ALLOWED_CLIENT): LiveTransaction {
    const log: Partial<Log> = {
      transaction: (record) => records.push(record),
      lateReply: (record) => late.push(record),
      fault: (_where, error) => faults.push(error),
    };
    const parts: TransactionParts = {
      clock,
      log: log as Log,
      onEnded: () => {
        endings += 1;
      },
      finalDotBudgetMs: 570_000,
      keyringFault: () => fault,
      maxMessageBytes: 1000,
      allowAddressLiterals: false,
      destinationFor: (domain) => ({
        key: `mx:${domain}`,
        domain,
        hosts: undefined,
        port: 25,
        tls: 'none',
        credentials: undefined,
      }),
      openLeg: ({ domain }) => {
        const leg = new ScriptedLeg();
        leg.rcptReply = rcptReplies[domain] ?? remote(250);
        legs.set(domain, leg);
        return leg;
      },
      openIntake: () =>
        new MessageIntake(spool.open(), { maxHeaderBytes: 1000, maxFields: 10 }, 'relaxed'),
      seal: {
        seal: async () => {
          if (sealed instanceof Error) throw sealed;
          return sealed;
        },
      },
    };
    return new LiveTransaction('id1', client, parts);
  }

  /** A transaction that stands in DATA with one recipient. */
  async function inContent(): Promise<{ transaction: LiveTransaction; leg: ScriptedLeg }> {
    const transaction = begin();
    await transaction.mail(MAIL);
    await transaction.rcpt(mailbox('b@y.test'));
    assert.equal((await transaction.data()).code, 354);
    transaction.content(Buffer.from('From: a@x.test\r\n\r\nbody\r\n'));
    return { transaction, leg: legs.get('y.test') as ScriptedLeg };
  }

  const ended = () => {
    assert.equal(records.length, 1, 'exactly one terminal record');
    assert.equal(endings, 1);
    assert.equal(spool.memory.usedBytes, 0, 'the spool is given back');
    return records[0] as TransactionRecord;
  };

  it('passes the 250 of the MX on, and only after the MX gave it', async () => {
    const { transaction, leg } = await inContent();
    const dot = Promise.withResolvers<DotResult>();
    leg.dot = dot.promise;
    let answered = false;
    const reply = transaction.end(FACTS).finally(() => {
      answered = true;
    });
    await new Promise(setImmediate);
    assert.equal(answered, false);
    assert.equal(records.length, 0);
    dot.resolve({ kind: 'answered', reply: remote(250, 'queued'), settled: true });
    assert.deepEqual(await reply, remote(250, 'queued'));
    assert.equal(ended().outcome, 'accepted');
    assert.deepEqual(ended().recipients, [
      { address: 'b@y.test', outcome: 'accepted', reply: '250 queued' },
    ]);
  });

  it('asks no MX before MAIL was judged, and refuses a client that is not allowed', async () => {
    const transaction = begin({ ...ALLOWED_CLIENT, allowedBy: undefined });
    const reply = await transaction.mail(MAIL);
    assert.equal(reply.code, 530);
    assert.equal(legs.size, 0);
    assert.equal(ended().outcome, 'rejected');
    assert.equal((await transaction.rcpt(mailbox('b@y.test'))).code, 503);
  });

  it('answers 451 4.7.5 at MAIL while no domain can be signed', async () => {
    fault = 'master key lost';
    const reply = await begin().mail(MAIL);
    assert.equal(reply.code, 451);
    assert.equal(reply.origin === 'local' && reply.enhanced, '4.7.5');
    assert.deepEqual(ended().notes, ['master key lost']);
  });

  it('has one destination: another one hears 452 4.5.3 while the first is pending or accepted', async () => {
    const transaction = begin();
    await transaction.mail(MAIL);
    const first = transaction.rcpt(mailbox('b@y.test'));
    assert.equal((await transaction.rcpt(mailbox('c@z.test'))).code, 452);
    await first;
    assert.equal((await transaction.rcpt(mailbox('c@z.test'))).code, 452);
    assert.deepEqual([...legs.keys()], ['y.test']);
    transaction.abort('reset');
    assert.equal(ended().outcome, 'deferred');
  });

  it('goes to another destination when all recipients of the first were refused', async () => {
    const transaction = begin();
    await transaction.mail(MAIL);
    rcptReplies['y.test'] = remote(550);
    await transaction.rcpt(mailbox('b@y.test'));
    assert.equal((await transaction.rcpt(mailbox('c@z.test'))).code, 250);
    assert.ok(legs.get('y.test')?.calls.includes('abort'));
    transaction.abort('quit');
  });

  it('relays to no address literal, whatever the route', async () => {
    const transaction = begin();
    await transaction.mail(MAIL);
    assert.equal((await transaction.rcpt(mailbox('root@[169.254.169.254]'))).code, 550);
    assert.equal(legs.size, 0);
    transaction.abort('quit');
  });

  it('sends nothing when the seal is refused: the leg is closed without a dot', async () => {
    const { transaction, leg } = await inContent();
    const reply = localReply(451, '4.7.5', 'signing.failed', 'no');
    sealed = { kind: 'refused', reply };
    assert.deepEqual(await transaction.end(FACTS), reply);
    assert.ok(!leg.calls.includes('send'));
    assert.ok(leg.calls.includes('abort'));
    assert.equal(ended().outcome, 'deferred');
  });

  it('answers 451 and sends nothing when sealing breaks down', async () => {
    const { transaction, leg } = await inContent();
    sealed = new Error('a bug');
    assert.equal((await transaction.end(FACTS)).code, 451);
    assert.ok(!leg.calls.includes('send'));
    assert.equal(faults.length, 1);
    assert.equal(ended().outcome, 'deferred');
  });

  it('logs in-doubt when the dot went out and no answer came, and the late answer apart', async () => {
    const { transaction, leg } = await inContent();
    const reply = localReply(451, '4.4.2', 'relay.in-doubt', 'silent');
    leg.dot = { kind: 'in-doubt', reply, why: 'silent' };
    assert.deepEqual(await transaction.end(FACTS), reply);
    assert.equal(ended().outcome, 'in-doubt');
    assert.equal(ended().recipients[0]?.outcome, 'in-doubt');
    leg.answerLate(remote(250, 'after all'));
    assert.deepEqual(late, [
      { id: 'id1', host: 'mx.test', reply: '250 after all', afterMs: 575_000 },
    ]);
    assert.equal(records.length, 1);
  });

  it('awaits the answer of the MX when the client is gone after the dot', async () => {
    const { transaction, leg } = await inContent();
    const dot = Promise.withResolvers<DotResult>();
    leg.dot = dot.promise;
    const end = transaction.end(FACTS);
    await new Promise(setImmediate);
    transaction.abort('connection-lost');
    assert.equal(records.length, 0);
    dot.resolve({ kind: 'answered', reply: remote(250), settled: true });
    await end;
    assert.equal(ended().outcome, 'accepted');
    assert.deepEqual(ended().notes, ['client: connection-lost']);
  });

  it('gives everything back when the client leaves in the middle of the content', async () => {
    const { transaction, leg } = await inContent();
    transaction.abort('connection-lost');
    assert.ok(leg.calls.includes('abort'));
    assert.ok(!leg.calls.includes('send'));
    const record = ended();
    assert.equal(record.outcome, 'deferred');
    assert.equal(record.ended, 'connection-lost');
    transaction.abort('connection-lost');
    assert.equal(records.length, 1);
  });

  it('logs a message over the size limit as rejected', async () => {
    const { transaction } = await inContent();
    transaction.abort('too-large');
    assert.equal(ended().outcome, 'rejected');
    assert.match(ended().reply, /^552 5\.3\.4 /);
  });

  it('logs a refused probe with the class of the refusal', async () => {
    const transaction = begin();
    await transaction.mail(MAIL);
    rcptReplies['y.test'] = remote(550, 'unknown', 'RCPT');
    await transaction.rcpt(mailbox('b@y.test'));
    transaction.abort('reset');
    assert.equal(ended().outcome, 'rejected');
    assert.equal(ended().reply, '550 unknown');
    assert.equal(ended().ended, 'reset');
  });

  it('ends with the refusal of DATA', async () => {
    const transaction = begin();
    await transaction.mail(MAIL);
    await transaction.rcpt(mailbox('b@y.test'));
    (legs.get('y.test') as ScriptedLeg).dataReply = remote(451, 'not now', 'DATA');
    assert.equal((await transaction.data()).code, 451);
    assert.equal(ended().outcome, 'deferred');
    transaction.abort('reset');
    assert.equal(records.length, 1);
  });

  it('names a recipient whose RCPT was still awaited when the client left', async () => {
    const transaction = begin();
    await transaction.mail(MAIL);
    const answer = Promise.withResolvers<Reply>();
    rcptReplies['y.test'] = answer.promise;
    void transaction.rcpt(mailbox('b@y.test'));
    transaction.abort('connection-lost');
    assert.equal(ended().recipients[0]?.address, 'b@y.test');
    assert.equal(ended().recipients[0]?.outcome, 'deferred');
  });

  it('lists a hundred recipients and counts the others', async () => {
    const transaction = begin();
    await transaction.mail(MAIL);
    for (let index = 0; index < 130; index += 1)
      await transaction.rcpt(mailbox(`b${index}@y.test`));
    transaction.abort('quit');
    assert.equal(ended().recipients.length, 100);
    assert.equal(ended().recipientsNotListed, 30);
  });

  it('logs nothing for a transaction that never had a MAIL', () => {
    begin().abort('quit');
    assert.equal(records.length, 0);
    assert.equal(endings, 1);
  });

  it('is given up at shutdown: in doubt behind the dot, deferred before it', async () => {
    const { transaction, leg } = await inContent();
    leg.dot = new Promise(() => undefined);
    void transaction.end(FACTS);
    await new Promise(setImmediate);
    transaction.abandon();
    assert.equal(ended().outcome, 'in-doubt');
    transaction.abandon();
    assert.equal(records.length, 1);
  });

  it('is deferred when it is given up before the dot', async () => {
    const { transaction, leg } = await inContent();
    transaction.abandon();
    assert.ok(leg.calls.includes('abort'));
    assert.equal(ended().outcome, 'deferred');
    assert.equal(ended().ended, 'shutdown');
  });

  it('hands the leg what is left of the time since the dot', async () => {
    const { transaction, leg } = await inContent();
    const dotMs = clock.monotonicMs();
    sealed = new Promise((resolve) => {
      clock.after(10_000, () => resolve({ kind: 'sealed', prefix: Buffer.alloc(0) }));
    });
    const reply = transaction.end(FACTS);
    await new Promise(setImmediate);
    clock.advance(10_000);
    await reply;
    assert.equal(leg.dueMs, dotMs + 570_000);
  });
});
