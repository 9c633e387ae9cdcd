import { type Clock, systemClock } from '../../src/base/clock.ts';
import type { Mailbox, MailParameters } from '../../src/mail/envelope.ts';
import { raceConnect } from '../../src/relay/connect.ts';
import { DeadHosts } from '../../src/relay/dead-hosts.ts';
import type { Candidate, Destination } from '../../src/relay/destination.ts';
import type { KeptConnection } from '../../src/relay/kept-connection.ts';
import {
  Leg,
  type LegDependencies,
  type LegOptions,
  type MessageSource,
  RelayTls,
} from '../../src/relay/leg.ts';

/** What `testLeg` may be told; the rest is a good case on loopback. */
export interface TestLeg {
  readonly port: number;
  readonly candidates?: readonly Candidate[];
  readonly destination?: Partial<Destination>;
  readonly mail?: Partial<MailParameters>;
  readonly extraBytes?: number;
  readonly options?: Partial<LegOptions>;
  readonly dependencies?: Partial<LegDependencies>;
  readonly caPem?: string;
  readonly kept?: KeptConnection;
}

export const LEG_OPTIONS: LegOptions = {
  ehloName: 'relay.example',
  connectTimeoutMs: 10_000,
  greetingTimeoutMs: 10_000,
  rcptBudgetMs: 10_000,
  dataBudgetMs: 10_000,
  lateReplyMs: 0,
  sourceAddress: {},
};

/** A leg to hosts on loopback, all at one port; the host name is `mx.test`. */
export function testLeg(test: TestLeg): Leg {
  const candidates = test.candidates ?? [{ host: 'mx.test', addresses: ['127.0.0.1'] }];
  const clock = test.dependencies?.clock ?? systemClock;
  const dependencies: LegDependencies = {
    candidates: async () => ({ ok: true, candidates }),
    raceConnect,
    deadHosts: new DeadHosts({ deadHostMs: 60_000, clock }),
    tls: new RelayTls(test.caPem),
    clock,
    options: { ...LEG_OPTIONS, ...test.options },
    ...test.dependencies,
  };
  const destination: Destination = {
    key: 'mx:example.com',
    domain: 'example.com',
    hosts: undefined,
    port: test.port,
    tls: 'opportunistic',
    credentials: undefined,
    ...test.destination,
  };
  const mail: MailParameters = {
    reversePath: mailbox('sender@example.org'),
    sizeBytes: undefined,
    body: undefined,
    smtpUtf8: false,
    ...test.mail,
  };
  return new Leg(dependencies, destination, {
    mail,
    extraBytes: test.extraBytes ?? 0,
    kept: test.kept,
  });
}

export function mailbox(address: string): Mailbox {
  const at = address.lastIndexOf('@');
  return {
    address,
    localPart: address.slice(0, at),
    domain: address.slice(at + 1),
    needsSmtpUtf8: /[^ -~]/.test(address),
  };
}

/** When `send` is to be over, as monotonic time of that clock. */
export function dueIn(budgetMs = 10_000, clock: Clock = systemClock): number {
  return clock.monotonicMs() + budgetMs;
}

/** A message in memory. */
export function inMemory(content: string | Buffer, prefix = ''): MessageSource {
  const body = typeof content === 'string' ? Buffer.from(content, 'latin1') : content;
  return {
    prefix: Buffer.from(prefix),
    buffers: () => [body],
    async *chunks() {
      yield body;
    },
  };
}

/** A message that is read piece by piece; the reader gets copies, since it frees what it has read. */
export function inPieces(pieces: () => AsyncIterable<Buffer>, prefix = ''): MessageSource {
  return {
    prefix: Buffer.from(prefix),
    buffers: () => undefined,
    async *chunks() {
      for await (const piece of pieces()) yield Buffer.from(piece);
    },
  };
}
