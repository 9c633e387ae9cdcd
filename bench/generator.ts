/**
 * The load generator, a process of its own. It sends messages in one of several ways (`mode`),
 * then reports one JSON object. Replies other than the expected ones end the run: a bench that
 * counts refusals as messages measures nothing.
 */

import { type ContentKind, contentLines, wireContent } from './content.ts';
import { obey, readOptions, report } from './control.ts';
import { expectCode, SmtpSession } from './smtp-session.ts';
import { percentile } from './statistics.ts';

export interface GeneratorOptions {
  /**
   * `closed`: each session sends its next message when the last was answered. `open`: messages
   * start at a fixed rate, whatever the answers. `held`: every session sends one message but its
   * final dot, and all final dots go out when the last session has come that far. `recipients`: one
   * session, one transaction to open the leg, then transactions of pipelined RCPTs. `stalled`:
   * sessions stay in RCPT until standard input ends. `probe`: NOOPs on an idle session at a fixed rate.
   */
  readonly mode: 'closed' | 'open' | 'held' | 'recipients' | 'stalled' | 'probe';
  readonly host: string;
  readonly port: number;
  readonly sessions: number;
  readonly messages: number;
  readonly kind: ContentKind;
  readonly bytes: number;
  readonly fromDomain: string;
  readonly toDomain: string;
  /** closed: connect anew for each message. */
  readonly reconnect?: boolean;
  /** open, probe: starts a second. */
  readonly ratePerSecond?: number;
  /** recipients: RCPTs in one batch. */
  readonly recipients?: number;
}

export interface GeneratorResult {
  readonly messages: number;
  readonly seconds: number;
  readonly messagesPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const options = readOptions<GeneratorOptions>();
const content = wireContent(contentLines(options));
const mailFrom = `MAIL FROM:<sender@${options.fromDomain}>\r\n`;
const rcptTo = `RCPT TO:<recipient@${options.toDomain}>\r\n`;
const latenciesMs: number[] = [];

const openSession = (): Promise<SmtpSession> => SmtpSession.open(options.host, options.port);

/** One message, command by command as smtp-source does. */
async function sendStepwise(session: SmtpSession): Promise<void> {
  const start = performance.now();
  expectCode(await session.command(mailFrom), 250, 'MAIL');
  expectCode(await session.command(rcptTo), 250, 'RCPT');
  expectCode(await session.command('DATA\r\n'), 354, 'DATA');
  expectCode(await session.command(content), 250, 'final dot');
  latenciesMs.push(performance.now() - start);
}

/** One message with its envelope pipelined, as a mail server sends it. */
async function sendPipelined(session: SmtpSession, startedAt: number): Promise<void> {
  const codes = await session.batch(`${mailFrom}${rcptTo}DATA\r\n`, 3);
  expectCode(codes[2] ?? 0, 354, 'DATA');
  expectCode(await session.command(content), 250, 'final dot');
  latenciesMs.push(performance.now() - startedAt);
}

async function closedLoop(): Promise<void> {
  let started = 0;
  const loop = async (): Promise<void> => {
    let session: SmtpSession | undefined;
    while (started < options.messages) {
      started += 1;
      session ??= await openSession();
      await sendStepwise(session);
      if (options.reconnect === true) {
        await session.quit();
        session = undefined;
      }
    }
    await session?.quit();
  };
  await Promise.all(Array.from({ length: options.sessions }, loop));
}

/** Calls `start` at a fixed rate; resolves when every call has ended. */
async function atFixedRate(start: (dueAt: number) => Promise<void>): Promise<void> {
  const gapMs = 1000 / (options.ratePerSecond ?? 50);
  const begin = performance.now();
  const running: Promise<void>[] = [];
  for (let i = 0; i < options.messages; i += 1) {
    const waitMs = begin + i * gapMs - performance.now();
    if (waitMs > 0) {
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
    running.push(start(performance.now()));
  }
  await Promise.all(running);
}

async function openLoop(): Promise<void> {
  const idle = await Promise.all(Array.from({ length: options.sessions }, openSession));
  for (const session of idle) {
    await sendPipelined(session, performance.now());
  }
  latenciesMs.length = 0;
  await atFixedRate(async (startedAt) => {
    const session = idle.pop() ?? (await openSession());
    await sendPipelined(session, startedAt);
    idle.push(session);
  });
  await Promise.all(idle.map((session) => session.quit()));
}

async function heldLoop(): Promise<void> {
  let arrived = 0;
  let release = (): void => {};
  const allArrived = new Promise<void>((resolve) => {
    release = resolve;
  });
  const finalDot = Buffer.from('.\r\n');
  const undotted = content.subarray(0, content.length - finalDot.length);
  const one = async (): Promise<void> => {
    const session = await openSession();
    const codes = await session.batch(`${mailFrom}${rcptTo}DATA\r\n`, 3);
    expectCode(codes[2] ?? 0, 354, 'DATA');
    await session.write(undotted);
    arrived += 1;
    if (arrived === options.sessions) {
      release();
    }
    await allArrived;
    const start = performance.now();
    expectCode(await session.command(finalDot), 250, 'final dot');
    latenciesMs.push(performance.now() - start);
    await session.quit();
  };
  await Promise.all(Array.from({ length: options.sessions }, one));
}

async function recipientBatches(): Promise<void> {
  const session = await openSession();
  await sendStepwise(session);
  latenciesMs.length = 0;
  const count = options.recipients ?? 50;
  const batch = Array.from(
    { length: count },
    (_, i) => `RCPT TO:<r${i}@${options.toDomain}>\r\n`,
  ).join('');
  for (let i = 0; i < options.messages; i += 1) {
    expectCode(await session.command(mailFrom), 250, 'MAIL');
    const start = performance.now();
    const codes = await session.batch(batch, count);
    latenciesMs.push(performance.now() - start);
    for (const code of codes) {
      expectCode(code, 250, 'pipelined RCPT');
    }
    expectCode(await session.command('DATA\r\n'), 354, 'DATA');
    expectCode(await session.command(content), 250, 'final dot');
  }
  await session.quit();
}

/** Opens sessions, at most 200 at a time, and leaves each with an unanswered RCPT. */
async function stallSessions(): Promise<void> {
  let started = 0;
  const worker = async (): Promise<void> => {
    while (started < options.sessions) {
      started += 1;
      const session = await openSession();
      expectCode(await session.command(mailFrom), 250, 'MAIL');
      session.command(rcptTo).then(
        (code) => report({ error: `a stalled RCPT was answered ${code}` }),
        () => report({ error: 'a stalled session was closed' }),
      );
    }
  };
  await Promise.all(Array.from({ length: 200 }, worker));
}

async function probeLoop(): Promise<void> {
  const session = await openSession();
  await atFixedRate(async (startedAt) => {
    expectCode(await session.command('NOOP\r\n'), 250, 'NOOP');
    latenciesMs.push(performance.now() - startedAt);
  });
  await session.quit();
}

const modes: Readonly<Record<GeneratorOptions['mode'], () => Promise<void>>> = {
  closed: closedLoop,
  open: openLoop,
  held: heldLoop,
  recipients: recipientBatches,
  stalled: stallSessions,
  probe: probeLoop,
};

async function main(): Promise<void> {
  const start = performance.now();
  await modes[options.mode]();
  const seconds = (performance.now() - start) / 1000;
  const messages = latenciesMs.length;
  const result: GeneratorResult = {
    messages,
    seconds,
    messagesPerSecond: messages / seconds,
    p50Ms: percentile(latenciesMs, 0.5),
    p99Ms: percentile(latenciesMs, 0.99),
  };
  report(result);
}

obey({});
main().then(
  () => {
    if (options.mode !== 'stalled') {
      process.exit(0);
    }
  },
  (error: unknown) => {
    report({ error: error instanceof Error ? error.message : String(error) });
    process.exit(1);
  },
);
