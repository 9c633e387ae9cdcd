import type { Clock } from '../../base/clock.ts';
import { errorMessage } from '../../base/errors.ts';
import { printable } from '../../base/printable.ts';
import { isSameKey } from '../domain-entry.ts';
import { recordName } from '../key-name.ts';
import { KEY_STATE_ROWS } from '../key-state.ts';
import type { Keyring } from '../keyring.ts';
import type { KeyringHolder } from '../keyring-holder.ts';
import type { ManifestKey } from '../manifest.ts';
import { probeSigner } from '../probe-signer.ts';
import { storedKey } from '../stored-key.ts';
import type { ReportedKey } from './relay-reports.ts';

export interface KeyProbesParts {
  readonly holder: KeyringHolder;
  readonly clock: Clock;
  /** A key that could be used cannot be used any more. */
  readonly onLost?: ((key: ReportedKey) => void) | undefined;
  /** For jitter, from 0 to 1; default `Math.random`. */
  readonly random?: (() => number) | undefined;
}

interface Probe {
  readonly domain: string;
  readonly key: ManifestKey;
  /** Undefined: it can be used. */
  readonly failure: string | undefined;
  readonly nextMs: number;
  readonly delayMs: number;
}

const PROBES_AT_ONCE = 4;
/** KMS permissions spread slowly: a probe that failed is repeated, twice as late each time. */
const FIRST_RETRY_MS = 10_000;
const LAST_RETRY_MS = 300_000;
/**
 * A key may stand by for months, and its permission be lost meanwhile. In KMS a probe is a request
 * that is paid for (with DryRun too:
 * https://docs.aws.amazon.com/kms/latest/developerguide/testing-permissions.html).
 */
const REPEAT_MS = 86_400_000;
/** Of that, to either side: keys that were made together are not tried together for ever. */
const JITTER = 0.25;

/**
 * Tries the keys that were never active, with this relay's credentials; and those that could not be
 * used when mail needed them, which may be over long before the next message comes.
 */
export class KeyProbes {
  readonly #parts: KeyProbesParts;
  readonly #probes = new Map<string, Probe>();

  constructor(parts: KeyProbesParts) {
    this.#parts = parts;
  }

  /** Tries what is due. Never rejects. @param isStopped no further key is tried then */
  async run(isStopped: () => boolean): Promise<void> {
    const { keyring } = this.#parts.holder;
    if (keyring === undefined) return;
    const fresh = [...keyring.snapshot.domains.values()].flatMap(({ domain, keys }) =>
      keys.filter((key) => KEY_STATE_ROWS[key.state].fresh).map((key) => ({ domain, key })),
    );
    const wanted = [...fresh, ...troubledKeys(keyring)];
    const names = new Set(wanted.map(({ domain, key }) => nameOf(domain, key)));
    for (const name of this.#probes.keys()) if (!names.has(name)) this.#probes.delete(name);
    const queue = wanted.values();
    const probeNext = async () => {
      for (const { domain, key } of queue) if (!isStopped()) await this.#probe(domain, key);
    };
    await Promise.all(Array.from({ length: PROBES_AT_ONCE }, probeNext));
  }

  /** What the last trial of each gave that was never active. */
  *results(): Generator<ReportedKey> {
    for (const probe of this.#probes.values()) {
      if (KEY_STATE_ROWS[probe.key.state].fresh) yield reported(probe);
    }
  }

  async #probe(domain: string, key: ManifestKey): Promise<void> {
    const { clock, onLost, random = Math.random } = this.#parts;
    const name = nameOf(domain, key);
    const known = this.#probes.get(name);
    const before = known !== undefined && isSameKey(known.key, key) ? known : undefined;
    if (before !== undefined && clock.monotonicMs() < before.nextMs) return;
    const failure = await this.#failure(domain, key);
    const wasUsable = before?.failure === undefined;
    const retryMs = wasUsable ? FIRST_RETRY_MS : Math.min(2 * before.delayMs, LAST_RETRY_MS);
    const repeatMs = REPEAT_MS * (1 + JITTER * (2 * random() - 1));
    const delayMs = failure === undefined ? repeatMs : retryMs;
    const probe = { domain, key, failure, delayMs, nextMs: clock.monotonicMs() + delayMs };
    this.#probes.set(name, probe);
    if (before !== undefined && wasUsable && failure !== undefined) onLost?.(reported(probe));
  }

  async #failure(domain: string, key: ManifestKey): Promise<string | undefined> {
    try {
      const backend = await this.#parts.holder.backends.get(key.backend);
      await probeSigner(backend, storedKey(domain, key));
      return undefined;
    } catch (error) {
      return printable(errorMessage(error), 200);
    }
  }
}

/** A key that is open and could not be used when it was last tried: one before it may sign. */
export interface TroubledKey {
  readonly domain: string;
  readonly key: ManifestKey;
  readonly trouble: string;
}

export function* troubledKeys(keyring: Keyring): Generator<TroubledKey> {
  for (const domain of keyring.snapshot.domains.keys()) {
    for (const { key, signer } of keyring.entry(domain)?.signers ?? []) {
      const { trouble } = signer;
      if (trouble !== undefined) yield { domain, key, trouble };
    }
  }
}

function reported({ domain, key: { selector }, failure: reason }: Probe): ReportedKey {
  return reason === undefined
    ? { domain, selector, usable: true }
    : { domain, selector, usable: false, reason };
}

function nameOf(domain: string, { selector }: ManifestKey): string {
  return recordName(selector, domain);
}
