import type { Clock } from '../../base/clock.ts';
import type { Signer } from '../../mail/signer.ts';
import type { LaterKey } from '../backend.ts';
import { KmsError } from './kms-fault.ts';

/**
 * Wrapped keys that were opened, or are to be. A key is opened once, however often the keyring is
 * read; what could not be opened is tried again, with a growing pause and jitter, for as long as a
 * keyring in force wants it. Nothing here keeps a key alive: when the last keyring that has it is
 * gone, so is the key.
 *
 *     waiting --its turn--> open       failing --retry--> open
 *     waiting --its turn--> failing    failing --retry--> failing (a longer pause)
 *
 * Who asks waits for his key; but a relay with ten thousand of them shall not wait for them all
 * before it listens. So after a second of asking without a break, keys are put in a queue, and
 * opened while mail of the others flows.
 */
type State =
  | { readonly kind: 'waiting'; readonly reason: string; readonly error: KmsError }
  | { readonly kind: 'failing'; readonly reason: string; readonly error: KmsError }
  | { readonly kind: 'open'; readonly signer: Signer };

/**
 * Asks KMS.
 *
 * @param isWaitedFor the start of a relay, or a reload, stands still until it has ended
 * @throws KmsError
 */
export type OpenWrapped = (isWaitedFor: boolean) => Promise<Signer>;

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;
/** Retries at the same time: they must not take the turn of signatures, nor of mail. */
const RETRIES_AT_ONCE = 16;
/** Of the queue, likewise. */
const QUEUED_AT_ONCE = 16;
/** How long keys are waited for one after the other. */
const PATIENCE_MS = 1000;
/** A pause of this length, and patience begins anew. */
const BREAK_MS = 1000;

class HeldKey implements LaterKey {
  readonly id: string;
  readonly name: string;
  state: State;
  pauseMs = FIRST_PAUSE_MS;
  /** Not needed any more when it is open: it holds the ciphertext, and the text that it came from. */
  #open: OpenWrapped | undefined;

  constructor(id: string, name: string, open: OpenWrapped) {
    this.id = id;
    this.name = name;
    this.#open = open;
    const reason = `${name}: the key waits to be decrypted`;
    this.state = { kind: 'waiting', reason, error: new KmsError('over-quota', reason) };
  }

  get signer(): Signer | undefined {
    return this.state.kind === 'open' ? this.state.signer : undefined;
  }

  get reason(): string {
    return this.state.kind === 'open' ? '' : this.state.reason;
  }

  get pending(): boolean {
    return this.state.kind === 'waiting';
  }

  async attempt(isWaitedFor: boolean): Promise<void> {
    if (this.#open === undefined) return;
    try {
      this.state = { kind: 'open', signer: await this.#open(isWaitedFor) };
      this.#open = undefined;
    } catch (thrown) {
      const error =
        thrown instanceof KmsError ? thrown : new KmsError('other', 'the key cannot be opened');
      this.state = { kind: 'failing', reason: error.message, error };
    }
  }
}

export interface VaultOptions {
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly alert: (message: string) => void;
  /** Who asks for many keys waits for each of them; default: for a second. */
  readonly isPatient?: boolean | undefined;
}

/** What the vault has for a key. */
export type Vaulted =
  | { readonly kind: 'open'; readonly signer: Signer }
  | { readonly kind: 'later'; readonly later: LaterKey; readonly error: KmsError };

export class EnvelopeVault {
  readonly #options: VaultOptions;
  readonly #held = new Map<string, WeakRef<HeldKey>>();
  readonly #forgotten = new FinalizationRegistry<string>((id) => {
    if (this.#held.get(id)?.deref() === undefined) this.#held.delete(id);
  });
  /** A signer of an open key leads to what was held for it, so that both live as long. */
  readonly #heldOf = new WeakMap<Signer, HeldKey>();
  readonly #opening = new Map<string, Promise<HeldKey>>();
  /** By id: it is opened although nobody waits for it any more. */
  readonly #queue = new Map<string, HeldKey>();
  readonly #due: WeakRef<HeldKey>[] = [];
  #askedMs = Number.NEGATIVE_INFINITY;
  #crowdMs = 0;
  #queued = { running: 0, opened: 0, failed: 0 };
  #retrying = 0;
  #closed = false;

  constructor(options: VaultOptions) {
    this.#options = options;
  }

  /**
   * @param id of the ciphertext with all that belongs to it
   * @param name for the operator: domain and selector
   */
  async get(id: string, name: string, open: OpenWrapped): Promise<Vaulted> {
    const held = this.#held.get(id)?.deref() ?? (await this.#first(id, name, open));
    const { state } = held;
    return state.kind === 'open' ? state : { kind: 'later', later: held, error: state.error };
  }

  /** Ends the retries. */
  close(): void {
    this.#closed = true;
    this.#due.length = 0;
    this.#queue.clear();
  }

  async #first(id: string, name: string, open: OpenWrapped): Promise<HeldKey> {
    const running = this.#opening.get(id);
    if (running !== undefined) return await running;
    const held = new HeldKey(id, name, open);
    if (!this.#isPatient()) {
      this.#hold(held);
      this.#enqueue(held);
      return held;
    }
    const opening = (async () => {
      await held.attempt(true);
      this.#hold(held);
      this.#settle(held);
      return held;
    })().finally(() => this.#opening.delete(id));
    this.#opening.set(id, opening);
    return await opening;
  }

  #hold(held: HeldKey): void {
    this.#held.set(held.id, new WeakRef(held));
    this.#forgotten.register(held, held.id);
  }

  #isPatient(): boolean {
    if (this.#options.isPatient === true) return true;
    const nowMs = this.#options.clock.monotonicMs();
    const isBusy = this.#opening.size > 0 || this.#queue.size > 0;
    if (!isBusy && nowMs - this.#askedMs > BREAK_MS) this.#crowdMs = nowMs;
    this.#askedMs = nowMs;
    return nowMs - this.#crowdMs < PATIENCE_MS;
  }

  #enqueue(held: HeldKey): void {
    if (this.#queue.size === 0) {
      this.#options.alert(
        'there are more wrapped keys than can be decrypted in a moment; mail of those that wait is answered 451',
      );
    }
    this.#queue.set(held.id, held);
    if (this.#queued.running >= QUEUED_AT_ONCE) return;
    this.#queued.running += 1;
    void this.#openQueued();
  }

  async #openQueued(): Promise<void> {
    for (const [id, held] of this.#queue) {
      if (held.state.kind !== 'waiting' || this.#opening.has(id)) continue;
      this.#opening.set(id, Promise.resolve(held));
      await held.attempt(false);
      this.#opening.delete(id);
      this.#queue.delete(id);
      if (this.#closed) return;
      if (held.signer !== undefined) this.#queued.opened += 1;
      else this.#queued.failed += 1;
      this.#settle(held);
    }
    this.#queued.running -= 1;
    const { running, opened, failed } = this.#queued;
    if (running > 0) return;
    this.#options.alert(`${opened} wrapped keys were decrypted meanwhile, ${failed} were not`);
    this.#queued = { running: 0, opened: 0, failed: 0 };
  }

  #settle(held: HeldKey): void {
    const { state } = held;
    if (state.kind === 'open') {
      this.#heldOf.set(state.signer, held);
      return;
    }
    const { clock, random } = this.#options;
    const waiting = new WeakRef(held);
    clock.after(held.pauseMs * (0.5 + random() / 2), () => {
      if (this.#closed) return;
      this.#due.push(waiting);
      this.#retryNext();
    });
    held.pauseMs = Math.min(LONGEST_PAUSE_MS, held.pauseMs * 2);
  }

  #retryNext(): void {
    while (this.#retrying < RETRIES_AT_ONCE && this.#due.length > 0) {
      const held = this.#due.shift()?.deref();
      if (held === undefined) continue;
      this.#retrying += 1;
      void this.#retry(held).finally(() => {
        this.#retrying -= 1;
        this.#retryNext();
      });
    }
  }

  async #retry(held: HeldKey): Promise<void> {
    await held.attempt(false);
    if (this.#closed) return;
    if (held.state.kind === 'open') this.#options.alert(`${held.name} can be used now`);
    this.#settle(held);
  }
}
