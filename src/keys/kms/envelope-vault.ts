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
 *     failing --retry--> open          failing --retry--> failing (a longer pause)
 */
type State =
  | { readonly kind: 'failing'; readonly reason: string; readonly error: KmsError }
  | { readonly kind: 'open'; readonly signer: Signer };

/** Asks KMS. @throws KmsError */
export type OpenWrapped = () => Promise<Signer>;

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;
/** Retries at the same time: they must not take the turn of signatures. */
const RETRIES_AT_ONCE = 16;

class HeldKey implements LaterKey {
  readonly name: string;
  readonly open: OpenWrapped;
  state: State;
  pauseMs = FIRST_PAUSE_MS;

  constructor(name: string, open: OpenWrapped, state: State) {
    this.name = name;
    this.open = open;
    this.state = state;
  }

  get signer(): Signer | undefined {
    return this.state.kind === 'open' ? this.state.signer : undefined;
  }

  get reason(): string {
    return this.state.kind === 'failing' ? this.state.reason : '';
  }
}

export interface VaultOptions {
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly alert: (message: string) => void;
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
  readonly #due: WeakRef<HeldKey>[] = [];
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
  }

  #first(id: string, name: string, open: OpenWrapped): Promise<HeldKey> {
    const running = this.#opening.get(id);
    if (running !== undefined) return running;
    const opening = (async () => {
      const held = new HeldKey(name, open, await attempt(open));
      this.#held.set(id, new WeakRef(held));
      this.#forgotten.register(held, id);
      this.#settle(held);
      return held;
    })().finally(() => this.#opening.delete(id));
    this.#opening.set(id, opening);
    return opening;
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
    held.state = await attempt(held.open);
    if (this.#closed) return;
    if (held.state.kind === 'open') this.#options.alert(`${held.name} can be used now`);
    this.#settle(held);
  }
}

async function attempt(open: OpenWrapped): Promise<State> {
  try {
    return { kind: 'open', signer: await open() };
  } catch (thrown) {
    const error =
      thrown instanceof KmsError ? thrown : new KmsError('other', 'the key cannot be opened');
    return { kind: 'failing', reason: error.message, error };
  }
}
