import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { ClientLab, SIGNER } from '../support/client-lab.ts';
import { dotDecoded } from '../support/dot-decoded.ts';
import type { MxScript, MxSession } from '../support/mx.ts';
import type { RawClient } from '../support/raw-client.ts';
import { waitFor } from '../support/wait-for.ts';

/*
 * Row 50 in small: many clients, some of which vanish, and MXs that do something else in each
 * session, all at the same time; then what the clients heard, what the MXs took and what the log
 * says is reconciled. Only the invariants are asserted, since nobody knows who met whom.
 */

const TRANSACTIONS = 400;
const CLIENTS = 16;
const MXS = 6;
const SEED = 20_240_601;

/** What an MX does in one session. */
const KINDS = [
  ...['good', 'good', 'good', 'good', 'good', 'greeting-421', 'mail-451', 'rcpt-550', 'rcpt-421'],
  ...['data-451', 'drop-behind-354', 'refuse-amid', 'reset-amid', 'dot-451'],
  ...['dot-554', 'dot-421', 'dot-drop', 'dot-reset', 'dot-garbage', 'dot-250-and-drop'],
] as const;
type Kind = (typeof KINDS)[number];

/** What a client does. */
const HABITS = [
  ...['stepwise', 'stepwise', 'pipelined', 'pipelined', 'resets', 'leaves-at-rcpt'],
  ...['leaves-amid-content', 'leaves-behind-dot'],
] as const;
type Habit = (typeof HABITS)[number];

/** Small and quick numbers in [0, 1), the same for each run (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** One message of one client and what it heard. */
interface Sent {
  readonly sender: string;
  readonly subject: string;
  readonly body: string;
  readonly habit: Habit;
  /** MAIL was answered 250, so there has to be a record. */
  begun: boolean;
  /** The reply to the dot, if it was heard. */
  dot: string | undefined;
}

describe('a mix of clients and MXs with faults', function () {
  this.timeout(120_000);
  const random = randomFrom(SEED);
  const pick = <Item>(items: readonly Item[]) => items[Math.floor(random() * items.length)] as Item;
  /** Subjects that an MX took with a 2xx, with their content. */
  const taken: { subject: string; content: Buffer }[] = [];
  const kinds = new WeakMap<MxSession, Kind>();
  const all: Sent[] = [];
  let lab: ClientLab;
  let baseline: number;

  const kindOf = (session: MxSession) => {
    const kind = kinds.get(session) ?? pick(KINDS);
    kinds.set(session, kind);
    return kind;
  };

  function take(session: MxSession): string {
    const content = session.contents.at(-1) ?? Buffer.alloc(0);
    const subject = /^Subject: (\S+)\r$/m.exec(content.toString('latin1'))?.[1] ?? '';
    taken.push({ subject, content });
    return `250 2.0.0 took ${subject}`;
  }

  const script: MxScript = {
    greeting: (session) =>
      kindOf(session) === 'greeting-421' ? '421 4.3.2 busy' : '220 mx.test ESMTP',
    mail: (session) => (kindOf(session) === 'mail-451' ? '451 4.3.0 later' : '250 2.1.0 ok'),
    rcpt: (session, line) => {
      const kind = kindOf(session);
      if (kind === 'rcpt-421') return '421 4.3.2 going';
      return kind === 'rcpt-550' && line.includes('<b') ? '550 5.1.1 no' : '250 2.1.5 ok';
    },
    data: (session) => {
      const kind = kindOf(session);
      if (kind === 'data-451') return '451 4.3.1 no room';
      if (kind !== 'drop-behind-354') return '354 go';
      session.write('354 go\r\n');
      session.drop();
      return undefined;
    },
    content: (session) => {
      const kind = kindOf(session);
      if (session.content.length < 500) return;
      if (kind === 'reset-amid') session.reset();
      if (kind !== 'refuse-amid') return;
      kinds.set(session, 'dot-drop');
      session.write('552 5.2.2 full\r\n');
    },
    dot: (session) => {
      switch (kindOf(session)) {
        case 'dot-451':
          return '451 4.3.0 later';
        case 'dot-554':
          return '554 5.7.1 no';
        case 'dot-421':
          return '421 4.3.2 going';
        case 'dot-garbage':
          return '2 5 0';
        case 'dot-drop':
        case 'reset-amid':
          return session.drop() as undefined;
        case 'dot-reset':
          return session.reset() as undefined;
        case 'dot-250-and-drop':
          session.write(`${take(session)}\r\n`);
          return session.drop() as undefined;
        default:
          return take(session);
      }
    },
  };

  const openFiles = async () => (await readdir(`/proc/${lab.lab.waxseal.pid}/fd`)).length;

  before(async () => {
    const domains = Array.from({ length: MXS }, (_, index) => [`mx${index}.test`, { script }]);
    lab = await ClientLab.start(Object.fromEntries(domains), ({ mxPort }) => ({
      relay: { port: mxPort, allowPrivate: true, ehloName: 'relay.example.net' },
      // Some messages stand in memory, some in files.
      spool: { messageMemoryBytes: 30_000 },
    }));
    (await lab.session()).close();
    baseline = await openFiles();
  });
  after(() => lab?.stop());

  function compose(): Sent {
    const sender = lab.sender();
    const subject = `s${all.length}`;
    const lines = Math.floor(random() ** 4 * 5000);
    const body = Array.from({ length: lines }, (_, index) =>
      index % 7 === 0 ? `.${index}` : `${'text '.repeat(index % 15)}${index}`,
    );
    const sent: Sent = {
      sender,
      subject,
      body: `${[...body, subject].join('\r\n')}\r\n`,
      habit: pick(HABITS),
      begun: false,
      dot: undefined,
    };
    all.push(sent);
    return sent;
  }

  /** @returns true when the session can be used again */
  async function perform(client: RawClient, sent: Sent): Promise<boolean> {
    const domain = `mx${Math.floor(random() * MXS)}.test`;
    const recipients = random() < 0.3 ? ['a', 'b'] : ['b'];
    const mail = `MAIL FROM:<${sent.sender}>\r\n`;
    const rcpts = recipients.map((name) => `RCPT TO:<${name}@${domain}>\r\n`);
    client.write(sent.habit === 'pipelined' ? [mail, ...rcpts].join('') : mail);
    assert.match(await client.reply(), /^250 2\.1\.0 /);
    sent.begun = true;
    let accepted = 0;
    for (const rcpt of rcpts) {
      if (sent.habit !== 'pipelined') client.write(rcpt);
      if ((await client.reply()).startsWith('250 ')) accepted += 1;
    }
    if (sent.habit === 'leaves-at-rcpt') return false;
    const data = accepted === 0 || sent.habit === 'resets' ? '' : await client.command('DATA');
    if (!data.startsWith('354')) {
      assert.match(await client.command('RSET'), /^250 /);
      return true;
    }
    const header = `From: author@${SIGNER}\r\nTo: a@${domain}\r\nSubject: ${sent.subject}\r\n\r\n`;
    const stuffed = sent.body.replace(/^\./gm, '..');
    if (sent.habit === 'leaves-amid-content') {
      client.write(header);
      return false;
    }
    client.write(`${header}${stuffed}.\r\n`);
    if (sent.habit === 'leaves-behind-dot') return false;
    sent.dot = await client.reply();
    return true;
  }

  async function work(): Promise<void> {
    let client = await lab.session();
    while (all.length < TRANSACTIONS) {
      if (!(await perform(client, compose()))) {
        client.close();
        client = await lab.session();
      }
    }
    await client.command('QUIT');
  }

  const countTaken = (subject: string) => taken.filter((one) => one.subject === subject).length;

  it(`runs ${TRANSACTIONS} transactions, each to an answer`, async () => {
    await Promise.all(Array.from({ length: CLIENTS }, work));
    assert.ok(all.every(({ begun }) => begun));
    assert.ok(all.filter(({ dot }) => dot?.startsWith('250')).length > TRANSACTIONS / 20);
    await waitFor('the file descriptors of before', async () => (await openFiles()) <= baseline);
  });

  it('delivered nothing twice', () => {
    for (const { subject } of all) assert.ok(countTaken(subject) <= 1, subject);
  });

  it('said 250 to the dot for exactly what an MX took, in the words of the MX', () => {
    for (const { subject, dot } of all) {
      if (dot === undefined || !dot.startsWith('2')) continue;
      assert.equal(dot, `250 2.0.0 took ${subject}`);
      assert.equal(countTaken(subject), 1, subject);
    }
  });

  it('delivered each as it was sent, under two signatures', () => {
    for (const { subject, content } of taken) {
      const { body } = all.find((sent) => sent.subject === subject) ?? {};
      const message = dotDecoded(content).toString('latin1');
      assert.ok(message.endsWith(`Subject: ${subject}\r\n\r\n${body}`), subject);
      assert.equal(message.match(/^DKIM-Signature:/gm)?.length, 2);
    }
  });

  it('left exactly one record of each transaction', () => lab.assertOneRecordEach());

  it('logged what became of each', async () => {
    for (const { sender, subject, dot, habit } of all) {
      const { outcome, reply } = await lab.record(sender);
      const where = `${subject}, ${habit}: ${outcome} ${reply}; heard ${dot}`;
      const times = countTaken(subject);
      if (outcome === 'accepted') assert.equal(times, 1, where);
      else if (outcome !== 'in-doubt') assert.equal(times, 0, where);
      if (dot?.startsWith('2')) assert.equal(outcome, 'accepted', where);
      else if (dot?.startsWith('5')) assert.equal(outcome, 'rejected', where);
      else if (dot !== undefined) assert.match(String(outcome), /^(?:deferred|in-doubt)$/, where);
      else if (habit !== 'leaves-behind-dot')
        assert.match(String(outcome), /^(?:deferred|rejected)$/);
    }
  });
});
