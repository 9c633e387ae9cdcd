import type { Signer, SigningKey, SigningKeyring, SigningKeys } from '../mail/signer.ts';
import type { BackendOptions, KeyBackend, OpenedKey } from './backend.ts';
import { BACKENDS } from './backends.ts';
import { fallsBackTo, isFallBack } from './fall-back.ts';
import { keyAlgorithmNamed } from './key-algorithm.ts';
import { KEY_STATE_ROWS } from './key-state.ts';
import { FileKeyringStore, type KeyringSnapshot } from './keyring-store.ts';
import { KeysError } from './keys-error.ts';
import type { ManifestDomain, ManifestKey } from './manifest.ts';

/** Where a relay finds its keyring. */
export type KeyringOptions = Omit<BackendOptions, 'masterKey'> &
  Partial<Pick<BackendOptions, 'masterKey'>> & {
    /** True: a keyring without any domain is no fault; default false. */
    readonly mayBeEmpty?: boolean;
  };

/** What the keyring knows of one domain, ready for answering. */
interface Entry {
  readonly subdomains: boolean;
  /** No key of it was ever active: a parent that signs for its subdomains goes on doing so. */
  readonly inPreparation: boolean;
  /** What holds now: a key that did not open at first may open later, by itself. */
  readonly now: () => EntryNow;
}

interface EntryNow {
  /** Why an active key of it does not open. */
  readonly broken: string | undefined;
  readonly answer: Exclude<SigningKeys, { kind: 'unknown-domain' }>;
}

/** Keys opened at the same time; each waits for the disk, or the network, most of the time. */
const OPENED_AT_ONCE = 64;

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
  readonly #manifest: KeyringSnapshot['domains'];
  readonly #entries: ReadonlyMap<string, Entry>;
  readonly #fault: () => string | undefined;

  constructor(
    snapshot: KeyringSnapshot,
    entries: ReadonlyMap<string, Entry>,
    warnings: readonly string[],
    fault: () => string | undefined,
  ) {
    this.generation = snapshot.generation;
    this.generations = snapshot.generations;
    this.files = snapshot.files;
    this.#manifest = snapshot.domains;
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
    const entries = [...this.#entries].flatMap(([domain, { now }]) => {
      const { broken } = now();
      return broken === undefined ? [] : [[domain, broken] as const];
    });
    return new Map(entries);
  }

  /** False when the manifest says that the key is revoked, or does not know it (any more). */
  mayBePublished(domain: string, selector: string): boolean {
    const keys = this.#manifest.get(domain)?.keys ?? [];
    const key = keys.find((candidate) => candidate.selector === selector);
    return key !== undefined && KEY_STATE_ROWS[key.state].record === 'key';
  }

  keysFor(authorDomain: string): SigningKeys {
    const exact = this.#entries.get(authorDomain);
    if (exact !== undefined && !exact.inPreparation) return exact.now().answer;
    for (let dot = authorDomain.indexOf('.'); dot >= 0; dot = authorDomain.indexOf('.', dot + 1)) {
      const parent = this.#entries.get(authorDomain.slice(dot + 1));
      if (parent?.subdomains === true && !parent.inPreparation) return parent.now().answer;
    }
    return (
      exact?.now().answer ?? this.#parentInPreparation(authorDomain) ?? { kind: 'unknown-domain' }
    );
  }

  /** With no better answer, a parent that is being prepared still means "not unsigned". */
  #parentInPreparation(authorDomain: string): SigningKeys | undefined {
    for (let dot = authorDomain.indexOf('.'); dot >= 0; dot = authorDomain.indexOf('.', dot + 1)) {
      const parent = this.#entries.get(authorDomain.slice(dot + 1));
      if (parent?.subdomains === true) return parent.now().answer;
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
  const snapshot = await new FileKeyringStore(options.dir).read();
  const fallBacks = options.kms?.settings.fallback === true;
  const wanted = [...snapshot.domains.values()].flatMap((entry) =>
    entry.keys
      .filter((key) => KEY_STATE_ROWS[key.state].signs || (fallBacks && isFallBack(entry, key)))
      .map((key) => ({ domain: entry.domain, key })),
  );
  const backends = await connectBackends(wanted, { masterKey: 'must-exist', ...options });
  const opened = new Map<ManifestKey, OpenedKey>();
  const queue = wanted.values();
  const openNext = async () => {
    for (const { domain, key } of queue) {
      opened.set(key, await openKey(backends.get(key.backend), domain, key));
    }
  };
  await Promise.all(Array.from({ length: OPENED_AT_ONCE }, openNext));
  const entries = new Map<string, Entry>();
  for (const entry of snapshot.domains.values()) entries.set(entry.domain, entryOf(entry, opened));
  const warnings = [...backends.values()].flatMap((backend) => backend.warnings);
  warnings.push(...warningsOf(snapshot, entries));
  const emptyIsFault = entries.size === 0 && options.mayBeEmpty !== true;
  const active = wanted.filter(({ key }) => KEY_STATE_ROWS[key.state].signs);
  const outcomes = active.flatMap(({ key }) => opened.get(key) ?? []);
  const fault = () =>
    emptyIsFault ? `the keyring in ${options.dir} has no domain` : faultOf(outcomes);
  return new Keyring(snapshot, entries, warnings, fault);
}

async function connectBackends(
  wanted: readonly { key: ManifestKey }[],
  options: BackendOptions,
): Promise<ReadonlyMap<string, KeyBackend>> {
  const backends = new Map<string, KeyBackend>();
  for (const name of new Set(wanted.map(({ key }) => key.backend))) {
    backends.set(name, await BACKENDS[name].connect(options));
  }
  return backends;
}

async function openKey(
  backend: KeyBackend | undefined,
  domain: string,
  key: ManifestKey,
): Promise<OpenedKey> {
  if (backend === undefined) throw new KeysError('key-unusable', `no back end ${key.backend}`);
  const { selector, algorithm, publicKey, material } = key;
  return await backend.open({ domain, selector, algorithm, publicKey, material });
}

function entryOf(entry: ManifestDomain, opened: ReadonlyMap<ManifestKey, OpenedKey>): Entry {
  const inPreparation = entry.keys.every(
    (key) => KEY_STATE_ROWS[key.state].fresh && key.activatedAt === undefined,
  );
  const mayChange = entry.keys.some((key) => {
    const outcome = opened.get(key);
    return outcome?.kind === 'unusable' && outcome.later !== undefined;
  });
  // Most keys open at once, or never: then nothing is worked out again for each message.
  const settled = mayChange ? undefined : entryNow(entry, opened);
  const now = () => settled ?? entryNow(entry, opened);
  return { subdomains: entry.subdomains, inPreparation, now };
}

function entryNow(
  { domain, keys }: ManifestDomain,
  opened: ReadonlyMap<ManifestKey, OpenedKey>,
): EntryNow {
  const signing: SigningKey[] = [];
  const reasons: string[] = [];
  const signingKey = (key: ManifestKey): SigningKey | undefined => {
    const signer = signerNow(opened.get(key));
    if (signer === undefined) return undefined;
    const signatureBytes = keyAlgorithmNamed(key.algorithm)?.signatureBytes ?? 0;
    return { domain, selector: key.selector, signer, signatureBytes };
  };
  for (const key of keys) {
    const outcome = opened.get(key);
    if (outcome === undefined || !KEY_STATE_ROWS[key.state].signs) continue;
    const usable = signingKey(key);
    if (usable === undefined) {
      if (outcome.kind === 'unusable') reasons.push(outcome.later?.reason ?? outcome.reason);
      continue;
    }
    const other = keys.find((candidate) => opened.has(candidate) && fallsBackTo(key, candidate));
    const fallback = other === undefined ? undefined : signingKey(other);
    signing.push(fallback === undefined ? usable : { ...usable, fallback });
  }
  const broken = reasons.length > 0 ? reasons.join('; ') : undefined;
  const unusable = (reason: string): EntryNow => ({
    broken,
    answer: { kind: 'unusable', domain, reason },
  });
  if (broken !== undefined) return unusable(broken);
  if (signing.length === 0) {
    return unusable(`no key of ${domain} is active: "waxseal keys activate ${domain}" does that`);
  }
  return { broken, answer: { kind: 'keys', domain, keys: signing } };
}

function signerNow(outcome: OpenedKey | undefined): Signer | undefined {
  if (outcome?.kind === 'unusable') return outcome.later?.signer;
  return outcome?.signer;
}

/** All active keys fail, and for a reason that concerns the whole back end. */
function faultOf(opened: readonly OpenedKey[]): string | undefined {
  const [first] = opened;
  if (first === undefined || first.kind === 'open') return undefined;
  const all = opened.every(
    (key) => key.kind === 'unusable' && key.scope === 'backend' && signerNow(key) === undefined,
  );
  return all ? first.reason : undefined;
}

function warningsOf(snapshot: KeyringSnapshot, entries: ReadonlyMap<string, Entry>): string[] {
  const warnings: string[] = [];
  if (entries.size === 0) warnings.push('the keyring has no domain: nothing can be signed');
  for (const [domain, { now }] of entries) {
    const { answer } = now();
    if (answer.kind === 'unusable') warnings.push(`${domain} cannot be signed: ${answer.reason}`);
  }
  for (const { domain, keys } of snapshot.domains.values()) {
    for (const key of keys) {
      const weakness = keyAlgorithmNamed(key.algorithm)?.weakness;
      if (KEY_STATE_ROWS[key.state].signs && weakness !== undefined) {
        warnings.push(`${domain}, selector ${key.selector}: ${weakness}`);
      }
    }
  }
  return warnings;
}
