import type { Mailbox, MailParameters } from '../mail/envelope.ts';
import type { RemoteReply, Reply } from '../mail/reply.ts';
import type { Destination } from './destination.ts';
import type { KeptConnection } from './kept-connection.ts';
import { HostSearch, type LegDependencies } from './leg-search.ts';
import type { SmtpClient } from './smtp-client.ts';
import type { Answer, ContentResult } from './smtp-client-answer.ts';
import type { MessageSource } from './smtp-client-content.ts';
import {
  type DotResult,
  gaveUp,
  internalFault,
  judge,
  judgeContent,
  lacking,
  notRebuilt,
  type Verdict,
} from './trouble.ts';

export type { LegDependencies, LegOptions } from './leg-search.ts';
export type { MessageSource } from './smtp-client-content.ts';
export { RelayTls } from './smtp-client-tls.ts';
export type { DotResult } from './trouble.ts';

/*
 * One destination's half of a transaction:
 *
 *   idle ──rcpt──► opening ──MAIL ok──► open ──data──► data ──send──► sending ──► done
 *                     │                  │  ▲             │
 *                     └─► refused ◄──────┘  └─ rebuilding ┘        any ──abort──► ended
 *
 * - opening: hosts are tried; RCPTs wait. With PIPELINING they travel with MAIL. The connection that
 *   the session kept from its last transaction comes first; nothing but a 2xx to MAIL counts from it.
 * - open: MAIL was accepted; each RCPT is the MX's to answer.
 * - refused: MAIL, the search or DATA failed for good; every further question gets that reply.
 * - data: 354 was given. A connection that is lost here, or at DATA, is set up again once, with the
 *   recipients that were accepted (`rebuilding`).
 * - sending: content is on its way or the answer to the dot is waited for.
 * - done: answered, and the connection is in order.
 */
type State =
  | { readonly kind: 'idle' }
  | { readonly kind: 'opening'; readonly search: HostSearch; readonly waiting: Waiting[] }
  | { readonly kind: 'open'; readonly client: SmtpClient }
  | { readonly kind: 'rebuilding'; readonly search: HostSearch }
  | { readonly kind: 'data'; readonly client: SmtpClient }
  | { readonly kind: 'sending'; readonly client: SmtpClient }
  | { readonly kind: 'done'; readonly client: SmtpClient }
  | { readonly kind: 'refused'; readonly reply: Reply }
  | { readonly kind: 'ended' };

interface Waiting {
  readonly mailbox: Mailbox;
  readonly dueMs: number;
  readonly answer: (reply: Reply | Promise<Reply>) => void;
}

export interface LegRequest {
  readonly mail: MailParameters;
  /** Octets of header fields that we may add, for SIZE. */
  readonly extraBytes: number;
  /** What the client's session keeps for its next transaction; undefined: nothing. */
  readonly kept?: KeptConnection | undefined;
}

/** What the log says of a leg. */
export interface LegFacts {
  readonly host: string;
  readonly address: string;
  /** Protocol, cipher and `verified` or `unverified`; or `none`. */
  readonly tls: string;
  /** The connection is that of the session's transaction before. */
  readonly reused: boolean;
  /** Milliseconds: routing, connect, greeting, tls, mail, rcpt, mxData, dot. */
  readonly timingsMs: Readonly<Record<string, number>>;
}

type Rebuilt =
  | { readonly ok: true; readonly client: SmtpClient; readonly reply: Reply }
  | { readonly ok: false; readonly reply: Reply };

/** Refusals are replies; no method rejects. */
export class Leg {
  readonly #dependencies: LegDependencies;
  readonly #destination: Destination;
  readonly #request: LegRequest;
  readonly #accepted: Mailbox[] = [];
  readonly #timingsMs: Record<string, number> = {};
  #state: State = { kind: 'idle' };
  #rebuilt = false;
  #reused = false;
  #lastClient: SmtpClient | undefined;
  #rcptStartMs: number | undefined;
  #onLate: (reply: RemoteReply, afterMs: number) => void = () => {};

  constructor(dependencies: LegDependencies, destination: Destination, request: LegRequest) {
    this.#dependencies = dependencies;
    this.#destination = destination;
    this.#request = request;
  }

  /** Undefined as long as no MX took a session. */
  get facts(): LegFacts | undefined {
    const client = this.#lastClient;
    if (client === undefined) return undefined;
    const { host, address, tls } = client;
    const timingsMs: Record<string, number> = {};
    for (const [phase, ms] of Object.entries(this.#timingsMs)) {
      timingsMs[phase] = Math.round(ms * 100) / 100;
    }
    const tlsText =
      tls === undefined
        ? 'none'
        : `${tls.protocol} ${tls.cipher} ${tls.verified ? 'verified' : 'unverified'}`;
    return { host, address, tls: tlsText, reused: this.#reused, timingsMs };
  }

  /** Registers who hears of an answer to the dot that came behind its time; `afterMs` since `send`. */
  onLateReply(listener: (reply: RemoteReply, afterMs: number) => void): void {
    this.#onLate = listener;
  }

  /** @returns the MX's reply to RCPT, or why there is none, within `rcptBudgetMs` */
  rcpt(mailbox: Mailbox): Promise<Reply> {
    const dueMs = this.#nowMs() + this.#dependencies.options.rcptBudgetMs;
    if (this.#state.kind === 'idle') {
      const search = new HostSearch(this.#dependencies, this.#destination, dueMs);
      const opening = { kind: 'opening', search, waiting: [] as Waiting[] } as const;
      this.#state = opening;
      this.#open(opening, dueMs).catch((error: unknown) =>
        this.#refuse(opening, internalFault(error)),
      );
    }
    const state = this.#state;
    switch (state.kind) {
      case 'opening':
        return new Promise((answer) => state.waiting.push({ mailbox, dueMs, answer }));
      case 'open':
        return this.#askRcpt(state.client, mailbox, dueMs);
      case 'refused':
        return Promise.resolve(state.reply);
      default:
        return Promise.resolve(gaveUp());
    }
  }

  /** @returns 354, or the refusal, within `dataBudgetMs` */
  async data(): Promise<Reply> {
    const state = this.#state;
    if (state.kind === 'refused') return state.reply;
    if (state.kind !== 'open') return gaveUp();
    const startMs = this.#nowMs();
    const dueMs = startMs + this.#dependencies.options.dataBudgetMs;
    const { client } = state;
    const verdict = judge('data', await client.data(dueMs), client);
    if (this.#state !== state) return gaveUp();
    let result: Rebuilt;
    if (verdict.kind === 'go-on') result = { ok: true, client, reply: verdict.reply };
    else if (verdict.kind === 'rebuild') result = await this.#rebuild(dueMs, verdict.reply);
    else result = { ok: false, reply: verdict.reply };
    this.#timingsMs.mxData = this.#nowMs() - startMs;
    if (this.#isIn('ended')) return gaveUp();
    if (result.ok) {
      this.#state = { kind: 'data', client: result.client };
    } else {
      this.#state = { kind: 'refused', reply: result.reply };
      client.quit();
    }
    return result.reply;
  }

  /**
   * Sends the message and gives the answer to its dot.
   *
   * @param dueMs monotonic time by which it has to be there: what the client's own patience with
   *   its dot leaves
   */
  async send(source: MessageSource, dueMs: number): Promise<DotResult> {
    const state = this.#state;
    if (state.kind !== 'data') return { kind: 'not-sent', reply: gaveUp() };
    const startMs = this.#nowMs();
    let { client } = state;
    let result = await this.#content(client, source, startMs, dueMs);
    if (result.kind === 'not-sent' && !result.begun && this.#isIn('sending')) {
      const verdict = judge('before-content', result.fault, client);
      if (verdict.kind === 'rebuild') {
        const rebuilt = await this.#rebuild(dueMs, verdict.reply);
        if (!rebuilt.ok || !this.#isIn('rebuilding')) {
          if (rebuilt.ok) rebuilt.client.destroy();
          this.#state = { kind: 'ended' };
          return { kind: 'not-sent', reply: rebuilt.ok ? gaveUp() : rebuilt.reply };
        }
        client = rebuilt.client;
        result = await this.#content(client, source, startMs, dueMs);
      }
    }
    this.#timingsMs.dot = this.#nowMs() - startMs;
    const settled = client.fault === undefined && result.kind === 'reply';
    if (settled) this.#state = { kind: 'done', client };
    return judgeContent(result, client, settled);
  }

  /**
   * Gives the leg up. Content on its way is dropped without a dot; once the dot has left nothing
   * happens, since the MX may have taken the message: `send` still gives its answer.
   */
  abort(): void {
    const state = this.#state;
    if (state.kind === 'sending' && state.client.dotWritten) {
      void state.client.destroyUnlessSent();
      return;
    }
    this.#state = { kind: 'ended' };
    switch (state.kind) {
      case 'opening':
        state.search.stop();
        for (const { answer } of state.waiting) answer(gaveUp());
        return;
      case 'rebuilding':
        state.search.stop();
        return;
      case 'open':
      case 'done':
        state.client.quit();
        return;
      case 'data':
      case 'sending':
        state.client.destroy();
    }
  }

  /** The transaction is over: the connection is kept for the next one, or QUIT is said. */
  finish(): void {
    const state = this.#state;
    const { kept } = this.#request;
    if (state.kind !== 'done' || kept === undefined) {
      this.abort();
      return;
    }
    this.#state = { kind: 'ended' };
    kept.keep(this.#destination, state.client);
  }

  #isIn(kind: State['kind']): boolean {
    return this.#state.kind === kind;
  }

  #nowMs(): number {
    return this.#dependencies.clock.monotonicMs();
  }

  // ---- opening ----

  async #open(opening: State & { kind: 'opening' }, dueMs: number): Promise<void> {
    const { search, waiting } = opening;
    let kept = this.#request.kept?.take(this.#destination);
    for (;;) {
      let client: SmtpClient;
      this.#reused = kept !== undefined;
      if (kept !== undefined) {
        client = kept;
        search.adopt(client);
      } else {
        const found = await search.next();
        if (this.#state !== opening) return;
        if (!found.ok) return this.#refuse(opening, found.reply);
        client = found.client;
      }
      this.#took(client, search);
      const refusal = this.#lacking(client);
      if (refusal !== undefined) {
        client.quit();
        return this.#refuse(opening, refusal);
      }
      const together = client.facts.pipelining ? [...waiting] : [];
      this.#rcptStartMs = this.#nowMs();
      const { mail, rcpts } = await this.#envelope(
        client,
        together.map(({ mailbox }) => mailbox),
        dueMs,
      );
      if (this.#state !== opening) return;
      if (mail.kind === 'go-on') {
        this.#state = { kind: 'open', client };
        for (const [index, { mailbox, answer, dueMs: rcptDueMs }] of waiting.entries()) {
          const asked = rcpts[index];
          if (asked === undefined) answer(this.#askRcpt(client, mailbox, rcptDueMs));
          else void asked.then((said) => answer(this.#recipientReply(client, mailbox, said)));
        }
        return;
      }
      if (kept !== undefined) {
        // It may have been enough for this connection only: a new one tells.
        client.quit();
        kept = undefined;
        continue;
      }
      if (mail.kind === 'final') {
        client.quit();
        return this.#refuse(opening, mail.reply);
      }
      search.turnDown(client, mail.fault);
    }
  }

  /** MAIL, and with PIPELINING these RCPTs along with it. */
  async #envelope(
    client: SmtpClient,
    mailboxes: readonly Mailbox[],
    dueMs: number,
  ): Promise<{ mail: Verdict; rcpts: Promise<Answer>[] }> {
    const { mail, extraBytes } = this.#request;
    const startMs = this.#nowMs();
    const asked = client.mail(mail, extraBytes, dueMs);
    const rcpts = mailboxes.map((mailbox) => client.rcpt(mailbox, dueMs));
    const answer = await asked;
    this.#timingsMs.mail = this.#nowMs() - startMs;
    return { mail: judge('mail', answer, client), rcpts };
  }

  async #askRcpt(client: SmtpClient, mailbox: Mailbox, dueMs: number): Promise<Reply> {
    this.#rcptStartMs ??= this.#nowMs();
    return this.#recipientReply(client, mailbox, await client.rcpt(mailbox, dueMs));
  }

  #recipientReply(client: SmtpClient, mailbox: Mailbox, answer: Answer): Reply {
    const verdict = judge('rcpt', answer, client);
    if (verdict.kind === 'go-on') this.#accepted.push(mailbox);
    this.#timingsMs.rcpt = this.#nowMs() - (this.#rcptStartMs ?? 0);
    return verdict.reply;
  }

  #refuse(opening: State & { kind: 'opening' }, reply: Reply): void {
    if (this.#state !== opening) return;
    this.#state = { kind: 'refused', reply };
    for (const { answer } of opening.waiting) answer(reply);
  }

  #lacking(client: SmtpClient): Reply | undefined {
    return lacking(this.#request.mail, this.#request.extraBytes, client.facts, client);
  }

  #took(client: SmtpClient, search: HostSearch): void {
    this.#lastClient = client;
    Object.assign(this.#timingsMs, search.timingsMs);
  }

  // ---- content ----

  async #content(
    client: SmtpClient,
    source: MessageSource,
    startMs: number,
    dueMs: number,
  ): Promise<ContentResult> {
    this.#state = { kind: 'sending', client };
    const { lateReplyMs: lateMs } = this.#dependencies.options;
    const onLate = (reply: RemoteReply) => this.#onLate(reply, this.#nowMs() - startMs);
    return client.content(source, { dueMs, lateMs, onLate });
  }

  /** Once: the whole envelope again, up to 354, with the same answers. */
  async #rebuild(dueMs: number, lost: Reply): Promise<Rebuilt> {
    if (this.#rebuilt) return { ok: false, reply: lost };
    this.#rebuilt = true;
    this.#reused = false;
    const search = new HostSearch(this.#dependencies, this.#destination, dueMs);
    this.#state = { kind: 'rebuilding', search };
    for (;;) {
      const found = await search.next();
      if (!found.ok) return failed(found.reply);
      const { client } = found;
      this.#took(client, search);
      const refusal = this.#lacking(client);
      if (refusal !== undefined) {
        client.quit();
        return failed(refusal);
      }
      const { mail, rcpts } = await this.#envelope(client, this.#accepted, dueMs);
      if (mail.kind === 'next-address') {
        search.turnDown(client, mail.fault);
        continue;
      }
      const verdicts = (await Promise.all(rcpts)).map((answer) => judge('rcpt', answer, client));
      const changed = [mail, ...verdicts].find(({ kind }) => kind !== 'go-on');
      if (changed !== undefined) {
        client.destroy();
        return failed(changed.reply);
      }
      const data = judge('data', await client.data(dueMs), client);
      if (data.kind === 'go-on') return { ok: true, client, reply: data.reply };
      client.destroy();
      return { ok: false, reply: data.reply };
    }
  }
}

function failed(reply: Reply): Rebuilt {
  return { ok: false, reply: notRebuilt(`${reply.code} ${reply.lines.join(' ')}`) };
}
