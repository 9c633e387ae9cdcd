import { freePort } from './free-port.ts';
import { useKmsCredentials } from './kms/kms-lab.ts';
import { type FakeMx, startMx } from './mx.ts';
import { RawClient } from './raw-client.ts';
import type { RotationLab } from './rotation-lab.ts';
import { Waxseal } from './waxseal.ts';

const MX_ADDRESS = '127.0.1.1';

/** For `RotationLab.start`: where the relay finds the MX of sink.test. */
export const SINK_ZONE = { 'sink.test': `@ IN MX 10 mx\nmx IN A ${MX_ADDRESS}` };

/** A message that was sent, and what became of it. */
export interface SentMail {
  readonly atMs: number;
  readonly reply: string;
  /** Selectors of its signatures, RSA first; empty when it was not accepted. */
  readonly signedBy: string;
}

/** Mail of one domain, one message after the other. */
export interface MailFlow {
  readonly sent: readonly SentMail[];
  /** Ends it, and waits for the last reply. */
  stop(): Promise<void>;
}

/** Between two messages. */
const PAUSE_MS = 50;

/** `waxseal serve` on the keyring of a rotation lab, with an MX behind it. */
export class RotationRelay {
  readonly waxseal: Waxseal;
  readonly #mx: FakeMx;
  readonly #dropCredentials = useKmsCredentials();

  private constructor(waxseal: Waxseal, mx: FakeMx) {
    this.waxseal = waxseal;
    this.#mx = mx;
  }

  static async make(lab: RotationLab): Promise<RotationRelay> {
    const mx = await startMx(undefined, { host: MX_ADDRESS, port: await freePort() });
    const { dns, kms } = lab.settings();
    const waxseal = await Waxseal.prepare({
      dns,
      kms,
      relay: { port: mx.port, allowPrivate: true, ehloName: 'relay.example.net' },
      keys: { dir: lab.place.keysDir },
    });
    return new RotationRelay(waxseal, mx);
  }

  /** Serves while the test runs. */
  async serving(test: () => Promise<void>): Promise<void> {
    await this.waxseal.serve();
    try {
      await test();
    } finally {
      await this.waxseal.end();
      this.waxseal.records.length = 0;
    }
  }

  /** Sends as a client with a queue does, until it is stopped. */
  mailOf(domain: string): MailFlow {
    const sent: SentMail[] = [];
    let flows = true;
    const flow = (async () => {
      const client = await RawClient.session(this.waxseal.port);
      while (flows) {
        sent.push(await this.#send(client, domain));
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
      client.close();
    })();
    return {
      sent,
      stop: async () => {
        flows = false;
        await flow;
      },
    };
  }

  async #send(client: RawClient, domain: string): Promise<SentMail> {
    const atMs = Date.now();
    const message = `From: a@${domain}\r\nTo: a@sink.test\r\nSubject: x\r\n\r\nbody\r\n`;
    const reply = await client.send(`a@${domain}`, ['a@sink.test'], Buffer.from(message));
    const content = reply.startsWith('250') ? (this.#mx.contents.at(-1) ?? '') : '';
    const selectors = [...content.matchAll(/[\s;]s=([a-z0-9-]+);/g)].map(([, name = '']) => name);
    return { atMs, reply, signedBy: selectors.sort().reverse().join(' ') };
  }

  async stop(): Promise<void> {
    await this.waxseal.stop();
    await this.#mx.close();
    this.#dropCredentials();
  }
}
