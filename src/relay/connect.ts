import { isIPv6, type Socket, connect as tcpConnect } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { errorMessage } from '../base/errors.ts';

export interface RaceOptions {
  readonly port: number;
  /** For the whole race, in milliseconds. */
  readonly timeoutMs: number;
  /** Head start of each address over the next; RFC 8305 section 5 recommends 250 ms. */
  readonly attemptDelayMs: number;
  /** Local address to connect from, for each family. */
  readonly sourceAddress: { readonly ipv4?: string; readonly ipv6?: string };
  readonly signal?: AbortSignal;
  readonly clock: Clock;
}

/** An address that gave no connection. */
export interface ConnectFailure {
  readonly address: string;
  /** What happened, for people. */
  readonly error: string;
  /** Code of the system's error, `ETIMEDOUT` at our own time-out, `ABORT_ERR` when aborted. */
  readonly code: string | undefined;
}

export type RaceResult =
  | {
      readonly ok: true;
      /** Connected, noDelay, without listeners: add an `error` listener before you yield. */
      readonly socket: Socket;
      readonly address: string;
      /** Addresses that failed before it won; losers that were still connecting are left out. */
      readonly failures: readonly ConnectFailure[];
    }
  | { readonly ok: false; readonly failures: readonly ConnectFailure[] };

/**
 * Connects to the first address that answers (RFC 8305 section 5): the next attempt starts
 * `attemptDelayMs` after the last, or at once when one fails. Losers are destroyed. Never rejects.
 * At the time-out or when aborted, addresses not yet tried are left out of `failures`.
 */
export function raceConnect(
  addresses: readonly string[],
  options: RaceOptions,
): Promise<RaceResult> {
  return new Promise((resolve) => new Race(addresses, options, resolve).start());
}

/**
 * A race runs until `#settle`: a winner, no address left and none connecting, time-out, or abort.
 * `#connecting` holds the attempts under way; `#next` is the first address not yet tried.
 */
class Race {
  readonly #addresses: readonly string[];
  readonly #options: RaceOptions;
  readonly #resolve: (result: RaceResult) => void;
  readonly #connecting = new Map<Socket, string>();
  readonly #failures: ConnectFailure[] = [];
  #next = 0;
  #settled = false;
  #cancelStagger = () => {};
  #cancelTimeout = () => {};

  constructor(
    addresses: readonly string[],
    options: RaceOptions,
    resolve: (result: RaceResult) => void,
  ) {
    this.#addresses = addresses;
    this.#options = options;
    this.#resolve = resolve;
  }

  start(): void {
    const { clock, timeoutMs, signal } = this.#options;
    if (signal?.aborted === true) {
      this.#onAbort();
      return;
    }
    signal?.addEventListener('abort', this.#onAbort);
    this.#cancelTimeout = clock.after(timeoutMs, () =>
      this.#giveUp(`no connection within ${timeoutMs} ms`, 'ETIMEDOUT'),
    );
    this.#startNext();
  }

  readonly #onAbort = (): void => this.#giveUp('the attempt was given up', 'ABORT_ERR');

  #startNext(): void {
    this.#cancelStagger();
    let begun = false;
    while (!begun) {
      const address = this.#addresses[this.#next];
      if (address === undefined) {
        if (this.#connecting.size === 0) this.#settle({ ok: false, failures: this.#failures });
        return;
      }
      this.#next += 1;
      begun = this.#attempt(address);
    }
    if (this.#next >= this.#addresses.length) return;
    const { clock, attemptDelayMs } = this.#options;
    this.#cancelStagger = clock.after(attemptDelayMs, () => this.#startNext());
  }

  /** @returns false if the attempt failed at once */
  #attempt(address: string): boolean {
    const { port, sourceAddress } = this.#options;
    const localAddress = isIPv6(address) ? sourceAddress.ipv6 : sourceAddress.ipv4;
    const target = { host: address, port, noDelay: true, autoSelectFamily: false };
    let socket: Socket;
    try {
      socket = tcpConnect(localAddress === undefined ? target : { ...target, localAddress });
    } catch (error) {
      // A malformed source address is told by an exception.
      this.#failures.push({ address, error: errorMessage(error), code: errorCode(error) });
      return false;
    }
    this.#connecting.set(socket, address);
    socket.once('connect', () => this.#win(socket, address));
    socket.once('error', (error) => {
      this.#connecting.delete(socket);
      this.#failures.push({ address, error: error.message, code: errorCode(error) });
      this.#startNext();
    });
    return true;
  }

  #win(socket: Socket, address: string): void {
    this.#connecting.delete(socket);
    socket.removeAllListeners('connect');
    socket.removeAllListeners('error');
    this.#settle({ ok: true, socket, address, failures: this.#failures });
  }

  #giveUp(error: string, code: string): void {
    for (const address of this.#connecting.values()) this.#failures.push({ address, error, code });
    this.#settle({ ok: false, failures: this.#failures });
  }

  #settle(result: RaceResult): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#cancelStagger();
    this.#cancelTimeout();
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    for (const loser of this.#connecting.keys()) abandon(loser);
    this.#connecting.clear();
    this.#resolve(result);
  }
}

/** Destroys a socket that is no longer of interest, whatever it still has to say. */
function abandon(socket: Socket): void {
  socket.removeAllListeners('connect');
  socket.removeAllListeners('error');
  socket.on('error', () => {});
  socket.destroy();
}

function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined;
}
