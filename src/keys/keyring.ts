import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Clock, systemClock } from '../base/clock.ts';
import type { SigningKeyring, SigningKeys } from '../mail/signer.ts';
import type { BackendOptions } from './backend.ts';
import { ConnectedBackends } from './connected-backends.ts';
import { type DomainEntry, type FallBackFor, openDomain } from './domain-entry.ts';
import { fallBackIn } from './fall-back.ts';
import { keyAlgorithmNamed } from './key-algorithm.ts';
import { KEY_STATE_ROWS } from './key-state.ts';
import type { KeyringSnapshot } from './keyring-store.ts';
import type { KeysError } from './keys-error.ts';
import type { ManifestDomain } from './manifest.ts';
import { Patience } from './patient-opening.ts';
import { openStore, type StorePlace } from './store/stores.ts';

/** Where a relay finds its keyring. */
export type KeyringOptions = Omit<BackendOptions, 'masterKey'> &
  Partial<Pick<BackendOptions, 'masterKey'>> &
  StorePlace & {
    /** True: a keyring without any domain is no fault; default false. */
    readonly mayBeEmpty?: boolean;
    /** Which key may stand in for one whose back end does not answer; default as `kms.fallback` says. */
    readonly fallBackFor?: FallBackFor | undefined;
  };

/** Domains opened at the same time; each waits for the disk, or the network, most of the time. */
const OPENED_AT_ONCE = 64;
/** Then it is the turn of mail. */
const SLICE_MS = 5;

/**
 * All signing domains with their opened keys. It never changes; a reload makes another
 * (`keyring-holder.ts`).
 */
export class Keyring implements SigningKeyring {
  /** What works and should be looked at, one text each. */
  readonly warnings: readonly string[];
  readonly generation: number;
  /** File name to generation; a reload refuses to go back. */
  readonly generations: ReadonlyMap<string, number>;
  /** Domain to the name of the manifest file that lists it. */
  readonly files: ReadonlyMap<string, string>;
  readonly snapshot: KeyringSnapshot;
  readonly #entries: ReadonlyMap<string, DomainEntry>;
  readonly #fault: () => string | undefined;

  constructor(
    snapshot: KeyringSnapshot,
    entries: ReadonlyMap<string, DomainEntry>,
    warnings: readonly string[],
    fault: () => string | undefined,
  ) {
    this.generation = snapshot.generation;
    this.generations = snapshot.generations;
    this.files = snapshot.files;
    this.snapshot = snapshot;
    this.#entries = entries;
    this.warnings = warnings;
    this.#fault = fault;
  }

  get fault(): string | undefined {
    return this.#fault();
  }

  /** The signing domains, sorted. */
  get domains(): readonly string[] {
    return [...this.#entries.keys()].sort();
  }

  /** Domains of which an active key does not open, with the reason. */
  get broken(): ReadonlyMap<string, string> {
    return this.#texts(({ broken }) => broken);
  }

  /** Domains that sign with something else than their active keys, with the reason. */
  get standIns(): ReadonlyMap<string, string> {
    return this.#texts(({ standIn }) => standIn);
  }

  entry(domain: string): DomainEntry | undefined {
    return this.#entries.get(domain);
  }

  #texts(textOf: (entry: DomainEntry) => string | undefined): ReadonlyMap<string, string> {
    const texts = new Map<string, string>();
    for (const [domain, entry] of this.#entries) {
      const text = textOf(entry);
      if (text !== undefined) texts.set(domain, text);
    }
    return texts;
  }

  keysFor(authorDomain: string): SigningKeys {
    const exact = this.#entries.get(authorDomain);
    if (exact !== undefined && !exact.inPreparation) return exact.answer;
    for (let dot = authorDomain.indexOf('.'); dot >= 0; dot = authorDomain.indexOf('.', dot + 1)) {
      const parent = this.#entries.get(authorDomain.slice(dot + 1));
      if (parent?.subdomains === true && !parent.inPreparation) return parent.answer;
    }
    return exact?.answer ?? this.#parentInPreparation(authorDomain) ?? { kind: 'unknown-domain' };
  }

  /** With no better answer, a parent that is being prepared still means "not unsigned". */
  #parentInPreparation(authorDomain: string): SigningKeys | undefined {
    for (let dot = authorDomain.indexOf('.'); dot >= 0; dot = authorDomain.indexOf('.', dot + 1)) {
      const parent = this.#entries.get(authorDomain.slice(dot + 1));
      if (parent?.subdomains === true) return parent.answer;
    }
    return undefined;
  }
}

/**
 * Reads the manifests and opens every active key. A key that does not open makes its own domain
 * unusable and no other.
 *
 * @throws KeysError when nothing can be said of any domain: directory or manifest unreadable or
 *   wrong, master key missing, unreadable or exposed
 */
export async function loadKeyring(options: KeyringOptions): Promise<Keyring> {
  const { store, close } = openStore(options);
  try {
    const backends = new ConnectedBackends({ masterKey: 'must-exist', ...options });
    const build = await buildKeyring(await store.read(), { options, backends });
    const [failure] = build.failures;
    if (failure !== undefined) throw failure;
    return build.keyring;
  } finally {
    close();
  }
}

export interface BuildParts {
  readonly options: KeyringOptions;
  readonly backends: ConnectedBackends;
  /** The keyring in force: what is open in it needs not be opened again. */
  readonly previous?: Keyring | undefined;
  /** Look whether local keys still open; default false. */
  readonly reopen?: boolean;
  /** For how long remote back ends are waited for; the machine's own by default. */
  readonly clock?: Clock | undefined;
}

/**
 * Opens what a snapshot says. Domains that did not change are taken from the keyring in force.
 *
 * @returns the keyring, and back ends that could not be connected
 */
export async function buildKeyring(
  snapshot: KeyringSnapshot,
  { options, backends, previous, reopen = false, clock = systemClock }: BuildParts,
): Promise<{ readonly keyring: Keyring; readonly failures: readonly KeysError[] }> {
  const used = new Set(
    [...snapshot.domains.values()].flatMap(({ keys }) =>
      keys.filter((key) => KEY_STATE_ROWS[key.state].signs).map((key) => key.backend),
    ),
  );
  const failures = await backends.connect(used, reopen);
  if (failures.length > 0 && previous === undefined) {
    return { keyring: new Keyring(snapshot, new Map(), [], () => failures[0]?.message), failures };
  }
  const fallBack = options.kms?.settings.fallback === true ? fallBackIn : undefined;
  const { fallBackFor = fallBack } = options;
  const entries = new Map<string, DomainEntry>();
  const todo: ManifestDomain[] = [];
  for (const source of snapshot.domains.values()) {
    if (isOnlyLease(source)) continue;
    const before = previous?.entry(source.domain);
    const isSame = before?.source === source && isSound(before) && !reopen;
    if (isSame) entries.set(source.domain, before);
    else todo.push(source);
  }
  const queue = todo.values();
  let sliceEndMs = systemClock.monotonicMs() + SLICE_MS;
  // A relay that starts has nothing to sign with yet; one that runs must not miss a revocation.
  const patience = previous === undefined ? undefined : new Patience(clock);
  const openNext = async () => {
    for (const source of queue) {
      const before = previous?.entry(source.domain);
      const again = before !== undefined && (reopen || !isSound(before));
      const entry = await openDomain(source, {
        before,
        reopen: (key) => again && backends.isLocal(key.backend),
        parentSigns: isSignedByParent(previous, source.domain),
        open: (domain, key) => backends.open(domain, key, patience),
        fallBackFor,
      });
      entries.set(source.domain, entry);
      if (systemClock.monotonicMs() < sliceEndMs) continue;
      await nextTurn();
      sliceEndMs = systemClock.monotonicMs() + SLICE_MS;
    }
  };
  await Promise.all(Array.from({ length: OPENED_AT_ONCE }, openNext));
  patience?.end();
  const warnings = [...backends.warnings, ...warningsOf(entries)];
  const isEmpty = entries.size === 0 && options.mayBeEmpty !== true;
  const where = options.store?.kind === 'file' ? options.dir : (options.store?.kind ?? options.dir);
  const emptiness = isEmpty ? `the keyring in ${where} has no domain` : undefined;
  const failing = [...entries.values()].filter(({ signers }) => signers.length === 0);
  // As soon as one domain has a key, the fault is over; most keyrings never have one.
  const faultOfAll = failing.length < entries.size ? () => undefined : faultOf(failing);
  const fault = () => emptiness ?? faultOfAll();
  return { keyring: new Keyring(snapshot, entries, warnings, fault), failures };
}

/** Somebody is about to make its first key: not a signing domain yet. */
function isOnlyLease({ keys, lease }: ManifestDomain): boolean {
  return keys.length === 0 && lease !== undefined;
}

/** All its active keys are open; else it is tried again at the next occasion. */
function isSound({ broken, standIn }: DomainEntry): boolean {
  return broken === undefined && standIn === undefined;
}

function isSignedByParent(previous: Keyring | undefined, domain: string): boolean {
  const answer = previous?.keysFor(domain);
  return answer?.kind === 'keys' && answer.domain !== domain;
}

/** All active keys fail, and for a reason that concerns the whole back end. Asked at each MAIL. */
function faultOf(entries: readonly DomainEntry[]): () => string | undefined {
  const outcomes = entries.flatMap(({ failures }) => failures.map(({ outcome }) => outcome));
  const [first] = outcomes;
  if (!outcomes.every(({ scope }) => scope === 'backend')) return () => undefined;
  return () => {
    if (outcomes.some(({ later }) => later?.signer !== undefined)) return undefined;
    return first?.later?.reason ?? first?.reason;
  };
}

/** Its back end says so of all of them at once. */
function isOnlyPending({ failures }: DomainEntry): boolean {
  return failures.length > 0 && failures.every(({ outcome }) => outcome.later?.pending === true);
}

function warningsOf(entries: ReadonlyMap<string, DomainEntry>): string[] {
  const warnings: string[] = [];
  if (entries.size === 0) warnings.push('the keyring has no domain: nothing can be signed');
  for (const [domain, entry] of entries) {
    const { answer, standIn, source } = entry;
    if (isOnlyPending(entry)) continue;
    if (standIn !== undefined) warnings.push(`${domain}: ${standIn}`);
    else if (answer.kind === 'unusable') {
      warnings.push(`${domain} cannot be signed: ${answer.reason}`);
    }
    for (const key of source.keys) {
      const weakness = keyAlgorithmNamed(key.algorithm)?.weakness;
      if (KEY_STATE_ROWS[key.state].signs && weakness !== undefined) {
        warnings.push(`${domain}, selector ${key.selector}: ${weakness}`);
      }
    }
  }
  return warnings;
}
