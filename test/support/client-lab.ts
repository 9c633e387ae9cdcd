import assert from 'node:assert/strict';
import type { Zone } from './dns.ts';
import { type LabDomain, MailLab } from './mail-lab.ts';
import { RawClient } from './raw-client.ts';
import { waitFor } from './wait-for.ts';
import type { LogRecord, Settings } from './waxseal.ts';

/** How far a message came, and the reply that ended it. */
export interface Heard {
  readonly at: 'MAIL' | 'RCPT' | 'DATA' | '.';
  readonly reply: string;
}

/** The domain whose mail is signed. */
export const SIGNER = 'signer.test';

/** A message of its author in the signing domain; `body` has CRLF line ends. */
export function messageOf(subject: string, body = 'body\r\n'): Buffer {
  const header = `From: author@${SIGNER}\r\nTo: a@sink.test\r\nSubject: ${subject}\r\n\r\n`;
  return Buffer.from(`${header}${body}`, 'latin1');
}

/**
 * A mail lab that keeps account of transactions: each has a reverse-path of its own, by which its
 * log records are found, and in the end there has to be exactly one for each.
 */
export class ClientLab {
  readonly lab: MailLab;
  readonly #senders: string[] = [];

  private constructor(lab: MailLab) {
    this.lab = lab;
  }

  /**
   * @param domains recipient domains with their MXs
   * @param settings configuration, made from the lab's ports; sections are replaced
   * @param zone further DNS records
   */
  static async start(
    domains: Readonly<Record<string, LabDomain>>,
    settings?: (lab: MailLab) => Settings,
    zone: Zone = {},
  ): Promise<ClientLab> {
    const lab = await MailLab.start(domains, [SIGNER], {}, zone);
    const client = new ClientLab(lab);
    if (settings !== undefined) await client.restart(settings(lab));
    return client;
  }

  /** Ends Waxseal and starts it anew with other settings; earlier records are forgotten. */
  async restart(settings: Settings): Promise<void> {
    const { waxseal } = this.lab;
    await waxseal.configure(settings);
    await waxseal.end();
    waxseal.records.length = 0;
    await waxseal.serve();
  }

  /** A reverse-path that no other transaction has. */
  sender(): string {
    const sender = `t${this.#senders.length}@${SIGNER}`;
    this.#senders.push(sender);
    return sender;
  }

  /** A session that has heard the answer to its EHLO. */
  session(host = '127.0.0.1'): Promise<RawClient> {
    return RawClient.session(this.lab.waxseal.port, host);
  }

  /** The terminal record of a transaction, as soon as it is there. */
  async record(sender: string): Promise<LogRecord> {
    await waitFor(`the record of ${sender}`, () => this.#recordsOf(sender).length > 0);
    return this.#recordsOf(sender)[0] ?? {};
  }

  /** Sends a message to `to` and says how far it came; the session stays open. */
  async deliver(
    client: RawClient,
    sender: string,
    to: string,
    content: Buffer,
    parameters = '',
  ): Promise<Heard> {
    const mail = await client.command(`MAIL FROM:<${sender}>${parameters}`);
    if (!mail.startsWith('250')) return { at: 'MAIL', reply: mail };
    const rcpt = await client.command(`RCPT TO:<${to}>`);
    if (!rcpt.startsWith('250')) return { at: 'RCPT', reply: rcpt };
    const data = await client.command('DATA');
    if (!data.startsWith('354')) return { at: 'DATA', reply: data };
    client.write(content);
    return { at: '.', reply: await client.command('.') };
  }

  /** A message to a good MX on the same session: nothing that went before may harm it. */
  async assertGoesOn(client: RawClient, domain: string): Promise<void> {
    await client.command('RSET');
    const sender = this.sender();
    const heard = await this.deliver(client, sender, `a@${domain}`, messageOf('goes on'));
    assert.deepEqual(heard, { at: '.', reply: '250 2.0.0 queued' });
    assert.equal((await this.record(sender)).outcome, 'accepted');
  }

  /** Drains Waxseal, so that its log is whole, and looks for one record a transaction. */
  async assertOneRecordEach(): Promise<void> {
    const { waxseal } = this.lab;
    assert.equal(await waxseal.end(), 0, 'the drain ended in order');
    await waitFor('the end of the log', () =>
      waxseal.records.some(({ event }) => event === 'stopped'),
    );
    const count = (sender: string) => this.#recordsOf(sender).length;
    const counts = this.#senders.map((sender) => `${sender}: ${count(sender)}`);
    assert.deepEqual(
      counts,
      this.#senders.map((sender) => `${sender}: 1`),
    );
    assert.equal(waxseal.transactions.length, this.#senders.length, 'and no record besides');
    assert.deepEqual(
      waxseal.records.filter(({ event }) => event === 'fault'),
      [],
    );
  }

  async stop(): Promise<void> {
    await this.lab.stop();
  }

  #recordsOf(sender: string): LogRecord[] {
    return this.lab.waxseal.transactions.filter(({ reversePath }) => reversePath === sender);
  }
}
