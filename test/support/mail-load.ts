import { setTimeout as sleep } from 'node:timers/promises';
import { dotDecoded } from './dot-decoded.ts';
import type { MxScript, MxSession } from './mx.ts';
import { RawClient } from './raw-client.ts';
import { waitFor } from './wait-for.ts';

/** A message of the load. */
export interface LoadMail {
  /** Counted in the order in which they were begun, over all replicas. */
  readonly number: number;
  readonly replica: number;
  /** The last reply; undefined while it is under way. */
  reply: string | undefined;
  /** As the MX has it; undefined before. */
  content: Buffer | undefined;
  /** Selectors of its signatures, from the top. */
  signedBy: readonly string[];
}

/** Sessions to each replica; each sends one message at a time. */
const SESSIONS = 8;

/** A steady load over replicas of a relay, and the MX that all of it ends at. */
export class MailLoad {
  readonly mails: LoadMail[] = [];
  /** Every content that arrived, in order. */
  readonly arrived: LoadMail[] = [];
  readonly #domain: string;
  readonly #perSecond: number;
  readonly #sessions: Promise<void>[] = [];
  #isOn = false;

  /** @param perSecond over all replicas; a load that fell behind catches up */
  constructor(domain: string, perSecond: number) {
    this.#domain = domain;
    this.#perSecond = perSecond;
  }

  /** For the MX. */
  get script(): MxScript {
    return { dot: (session) => this.#arrive(session) };
  }

  start(ports: readonly number[]): void {
    this.#isOn = true;
    for (const [replica, port] of ports.entries()) {
      const next = pace(this.#perSecond / ports.length);
      for (let session = 0; session < SESSIONS; session += 1) {
        this.#sessions.push(this.#session(replica, port, next));
      }
    }
  }

  /** Ends it, and waits for the last replies. */
  async stop(): Promise<void> {
    this.#isOn = false;
    await Promise.all(this.#sessions);
  }

  /** Sends one more, in a session of its own. @returns the last reply */
  async one(replica: number, port: number): Promise<string> {
    const client = await RawClient.session(port);
    try {
      return await this.#send(client, replica);
    } finally {
      client.close();
    }
  }

  /** Waits until so many messages of each replica that were begun from now on are accepted. */
  async flows(count: number, replicas: readonly number[]): Promise<void> {
    const from = this.mails.length;
    await waitFor(
      `${count} messages of ${replicas}`,
      () =>
        replicas.every(
          (replica) =>
            this.mails.slice(from).filter((mail) => mail.replica === replica && isOver(mail))
              .length >= count,
        ),
      60_000,
    );
  }

  /** Waits until everything that was begun before has its reply. */
  async settled(before: number): Promise<void> {
    await waitFor('the replies', () => this.mails.slice(0, before).every(isOver), 60_000);
  }

  async #session(replica: number, port: number, next: () => Promise<void>): Promise<void> {
    const client = await RawClient.session(port);
    try {
      for (;;) {
        await next();
        if (!this.#isOn || client.ended) return;
        await this.#send(client, replica);
      }
    } finally {
      client.close();
    }
  }

  /** A session that breaks shows as a message without a good reply. */
  async #send(client: RawClient, replica: number): Promise<string> {
    const number = this.mails.length;
    const waiting = { reply: undefined, content: undefined, signedBy: [] };
    const mail: LoadMail = { number, replica, ...waiting };
    this.mails.push(mail);
    const octets = message(this.#domain, number);
    const reply = client.send(`a@${this.#domain}`, ['a@sink.test'], octets);
    mail.reply = await reply.catch((error: unknown) => `no reply: ${error}`);
    return mail.reply;
  }

  #arrive({ contents }: MxSession): string {
    const content = dotDecoded(contents.at(-1) ?? Buffer.alloc(0));
    const headers = content.toString('latin1').split('\r\n\r\n')[0] ?? '';
    const number = Number(/^Subject: message (\d+)$/m.exec(headers)?.[1]);
    const mail = this.mails[number];
    if (mail === undefined || mail.content !== undefined) return `554 5.6.0 what is ${number}?`;
    mail.content = content;
    const signatures = headers.replace(/\r\n[ \t]+/g, ' ').matchAll(/^DKIM-Signature:(.*)$/gm);
    mail.signedBy = [...signatures].map(
      ([, tags = '']) => /[\s;]s=([a-z0-9-]+);/.exec(tags)?.[1] ?? '?',
    );
    this.arrived.push(mail);
    return '250 2.0.0 kept';
  }
}

function isOver({ reply }: LoadMail): boolean {
  return reply !== undefined;
}

function message(domain: string, number: number): Buffer {
  const headers = [
    `From: author@${domain}`,
    'To: a@sink.test',
    `Subject: message ${number}`,
    'Date: Wed, 25 Nov 2026 10:00:00 +0000',
    `Message-ID: <${number}@${domain}>`,
  ];
  const lines = [...headers, '', `Dear reader, this is number ${number}.`, '.', '..bye', ''];
  return Buffer.from(lines.join('\r\n'));
}

/** Resolves once for each message, when it is due. */
function pace(perSecond: number): () => Promise<void> {
  const startMs = performance.now();
  let count = 0;
  return async () => {
    const dueMs = startMs + (count * 1000) / perSecond;
    count += 1;
    const waitMs = dueMs - performance.now();
    if (waitMs > 0) await sleep(waitMs);
  };
}
