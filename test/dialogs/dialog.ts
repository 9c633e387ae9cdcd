import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from 'node:tls';
import { Listener, type ListenerOptions } from '../../src/accept/listener.ts';
import type { SessionLimits } from '../../src/accept/session-host.ts';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import type { Client } from '../../src/mail/client.ts';
import type { Mailbox, MailParameters } from '../../src/mail/envelope.ts';
import { localReply, type Reply } from '../../src/mail/reply.ts';
import type {
  AbortReason,
  ContentFacts,
  SessionTransactions,
  Transaction,
} from '../../src/mail/transaction.ts';

/** What the transactions of a dialogue answer; each may be exchanged by a test. */
export interface Script {
  mail: (parameters: MailParameters, client: Client) => Reply | Promise<Reply>;
  rcpt: (recipient: Mailbox) => Reply | Promise<Reply>;
  data: () => Reply | Promise<Reply>;
  content: (piece: Buffer) => void | Promise<void>;
  end: (facts: ContentFacts, content: string) => Reply | Promise<Reply>;
}

export const ok = (text: string): Reply => localReply(250, '2.0.0', 'test', text);

/** Transactions that do as the script says and write down what they were told. */
export class ScriptedTransactions {
  readonly script: Script = {
    mail: () => ok('mail'),
    rcpt: () => ok('rcpt'),
    data: () => localReply(354, undefined, 'test', 'go on'),
    content: () => undefined,
    end: () => ok('taken'),
  };
  /** One line for each call, in order. */
  readonly calls: string[] = [];
  /** Content of each message that was ended, latin1. */
  readonly messages: string[] = [];
  readonly clients: Client[] = [];
  #count = 0;

  /** Sessions that were closed. */
  closed = 0;

  openSession(): SessionTransactions {
    return {
      begin: (client) => this.begin(client),
      close: () => {
        this.closed += 1;
      },
    };
  }

  begin(client: Client): Transaction {
    this.#count += 1;
    this.clients.push(client);
    const { script, calls, messages } = this;
    let content = '';
    return {
      id: `T${this.#count}`,
      mail: async (parameters) => {
        calls.push(`mail <${parameters.reversePath?.address ?? ''}>`);
        return script.mail(parameters, client);
      },
      rcpt: async (recipient) => {
        calls.push(`rcpt <${recipient.address}> ${recipient.domain}`);
        return script.rcpt(recipient);
      },
      data: async () => {
        calls.push('data');
        return script.data();
      },
      content: (piece) => {
        content += piece.toString('latin1');
        return script.content(piece);
      },
      end: async (facts) => {
        calls.push('end');
        messages.push(content);
        return script.end(facts, content);
      },
      abort: (reason: AbortReason) => {
        calls.push(`abort ${reason}`);
        this.aborted?.();
      },
    };
  }

  /** Set by `untilAborted`. */
  private aborted: (() => void) | undefined;

  /** Resolves at the next abort. */
  untilAborted(): Promise<void> {
    return new Promise((resolve) => {
      this.aborted = resolve;
    });
  }
}

const LIMITS: SessionLimits = {
  sessions: 100,
  sessionsPerClient: 50,
  messageBytes: 1_000_000,
  recipients: 1000,
  idleMs: 60_000,
  authFailures: 5,
  protocolErrors: 20,
};

export interface Stage {
  readonly listener: Listener;
  readonly transactions: ScriptedTransactions;
  readonly script: Script;
  readonly calls: string[];
  readonly port: number;
  readonly events: string[];
  readonly faults: string[];
  /** Connects, from one's own choice of a loopback address, and reads the greeting. */
  client(localAddress?: string): Promise<RawClient>;
  /** Connects, reads the greeting and says EHLO. */
  greeted(localAddress?: string): Promise<RawClient>;
  close(): Promise<void>;
}

export interface StageOptions extends Partial<Omit<ListenerOptions, 'limits'>> {
  readonly limits?: Partial<SessionLimits>;
  readonly clock?: Clock;
}

/** A listener on a free loopback port, with scripted transactions behind it. */
export async function openStage(options: StageOptions = {}): Promise<Stage> {
  const transactions = new ScriptedTransactions();
  const events: string[] = [];
  const faults: string[] = [];
  const listener = new Listener(
    {
      name: 'relay.example',
      allow: ['127.0.0.0/8'],
      tls: undefined,
      certificateNames: [],
      users: undefined,
      ...options,
      limits: { ...LIMITS, ...options.limits },
    },
    {
      clock: options.clock ?? systemClock,
      transactions,
      onEvent: (name) => events.push(name),
      onFault: (where) => faults.push(where),
    },
  );
  const port = await listener.listen({ host: '127.0.0.1', port: 0 });
  const clients: RawClient[] = [];
  const client = async (localAddress = '127.0.0.1') => {
    const raw = new RawClient(connect({ port, host: '127.0.0.1', localAddress }));
    clients.push(raw);
    await raw.reply();
    return raw;
  };
  return {
    listener,
    transactions,
    script: transactions.script,
    calls: transactions.calls,
    port,
    events,
    faults,
    client,
    greeted: async (localAddress) => {
      const raw = await client(localAddress);
      await raw.say('EHLO client.example');
      return raw;
    },
    close: async () => {
      for (const raw of clients) raw.destroy();
      await listener.close();
    },
  };
}

/** Speaks raw lines. */
export class RawClient {
  #socket: Socket;
  #input = '';
  #ended = false;
  #wake: (() => void) | undefined;
  /** The last reply, whole. */
  last = '';
  /** Each write that came from the server, as it came. */
  readonly chunks: string[] = [];

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#listen(socket);
  }

  get socket(): Socket {
    return this.#socket;
  }

  #listen(socket: Socket): void {
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      const text = chunk.toString('latin1');
      this.chunks.push(text);
      this.#input += text;
      this.#wake?.();
    });
    const end = () => {
      this.#ended = true;
      this.#wake?.();
    };
    socket.on('end', end).on('close', end).on('error', end);
  }

  /** Sends octets as they are. */
  send(octets: string | Buffer): void {
    this.#socket.write(typeof octets === 'string' ? Buffer.from(octets, 'latin1') : octets);
  }

  /** Reads one reply, all its lines, without the last CRLF. */
  async reply(): Promise<string> {
    for (;;) {
      const match = /^(?:\d{3}-[^\n]*\r\n)*\d{3} [^\n]*\r\n/.exec(this.#input);
      if (match !== null) {
        this.#input = this.#input.slice(match[0].length);
        this.last = match[0].slice(0, -2);
        return this.last;
      }
      if (this.#ended) throw new Error(`closed; unread: ${JSON.stringify(this.#input)}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Sends a line and reads its reply. */
  say(line: string): Promise<string> {
    this.send(`${line}\r\n`);
    return this.reply();
  }

  /** Sends a line; the reply must begin as given. */
  async expect(line: string, start: string): Promise<string> {
    const reply = await this.say(line);
    assert.ok(reply.startsWith(start), `${line}: ${reply}`);
    return reply;
  }

  /** The next reply must begin as given. */
  async next(start: string): Promise<string> {
    const reply = await this.reply();
    assert.ok(reply.startsWith(start), reply);
    return reply;
  }

  /** Resolves when the server has closed; nothing may be unread. */
  async closed(): Promise<void> {
    while (!this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    assert.equal(this.#input, '');
  }

  get unread(): string {
    return this.#input;
  }

  /** Starts TLS on the connection, after STARTTLS was answered. */
  async secure(options: ConnectionOptions = {}): Promise<TLSSocket> {
    this.#socket.removeAllListeners();
    const secured = tlsConnect({
      socket: this.#socket,
      rejectUnauthorized: false,
      ...options,
    });
    await once(secured, 'secureConnect');
    this.#socket = secured;
    this.#listen(secured);
    return secured;
  }

  destroy(): void {
    this.#socket.destroy();
  }
}
