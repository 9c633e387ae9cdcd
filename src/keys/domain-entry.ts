import type { Signer, SigningKey, SigningKeys } from '../mail/signer.ts';
import type { OpenedKey } from './backend.ts';
import { onlyStoodIn } from './fall-back.ts';
import { familyOf, keyAlgorithmNamed } from './key-algorithm.ts';
import { KEY_STATE_ROWS } from './key-state.ts';
import type { ManifestDomain, ManifestKey } from './manifest.ts';

/** A key that can sign here. */
export interface OpenSigner extends SpareKeys {
  readonly key: ManifestKey;
  readonly signer: Signer;
}

/** Keys that sign where an open one fails while it is in use; see `SigningKey`. */
interface SpareKeys {
  readonly fallback?: SpareKey | undefined;
  readonly predecessor?: SpareKey | undefined;
}

interface SpareKey {
  readonly key: ManifestKey;
  readonly outcome: OpenedKey;
}

/** An active key that is not open. */
export interface KeyFailure {
  readonly key: ManifestKey;
  readonly outcome: OpenedKey & { kind: 'unusable' };
  /** For the time when the key is open after all. */
  readonly spare?: SpareKeys | undefined;
  /** The retiring key that signs until then. */
  readonly standIn?: OpenSigner | undefined;
}

/** What the keyring knows of one domain, ready for answering. */
export interface DomainEntry extends EntryNow {
  readonly source: ManifestDomain;
  readonly subdomains: boolean;
}

/** What holds now: a key that did not open at first may open later, by itself. */
interface EntryNow {
  /** No key of it was ever active: a parent that signs for its subdomains goes on doing so. */
  readonly inPreparation: boolean;
  /** Why an active key of it does not open, where nothing stands in for it. */
  readonly broken: string | undefined;
  /** What stands in for an active key that does not open: it signs, and somebody must look. */
  readonly standIn: string | undefined;
  readonly signers: readonly OpenSigner[];
  readonly failures: readonly KeyFailure[];
  readonly answer: Exclude<SigningKeys, { kind: 'unknown-domain' }>;
}

export interface OpenDomainParts {
  /** Its entry in the keyring that is in force. */
  readonly before: DomainEntry | undefined;
  /** True: keys that are open are opened again, to see whether they still do. */
  readonly reopen: boolean | ((key: ManifestKey) => boolean);
  /** Until now a parent domain signs for it. */
  readonly parentSigns: boolean;
  readonly open: (domain: string, key: ManifestKey) => Promise<OpenedKey>;
  /** The key of the same domain that may sign in place of one whose back end does not answer. */
  readonly fallBackFor?: FallBackFor | undefined;
}

export type FallBackFor = (domain: ManifestDomain, key: ManifestKey) => ManifestKey | undefined;

/**
 * Opens the active keys of a domain. For one that does not open stands in, in this order: the same
 * key as it was opened before; the newest retiring key of its family, whose record is still there;
 * for a domain that signed nothing yet, its parent. A revoked key never does. Whatever fails, fails
 * for this domain alone.
 */
export async function openDomain(
  source: ManifestDomain,
  parts: OpenDomainParts,
): Promise<DomainEntry> {
  const signers: OpenSigner[] = [];
  const failures: KeyFailure[] = [];
  const notes: string[] = [];
  for (const key of source.keys.filter((one) => KEY_STATE_ROWS[one.state].signs)) {
    const opened = await openKey(source, key, parts);
    if (opened.kind === 'open') {
      const spare = await openSpare(source, key, opened.signer.remote, parts);
      signers.push({ key, signer: opened.signer, ...spare });
      if (opened.note !== undefined) notes.push(opened.note);
      continue;
    }
    // Thousands may wait for their turn: for those nothing is opened that is not open already.
    const onlyKnown = opened.later?.pending === true;
    const standIn = await openRetiring(source, key, parts, onlyKnown);
    const isTried = opened.later !== undefined;
    const { fallback } = isTried ? await openSpare(source, key, false, parts) : {};
    failures.push({
      key,
      outcome: opened,
      spare: { fallback, predecessor: spareOf(standIn) },
      standIn,
    });
  }
  const worked = { source, notes, parentSigns: parts.parentSigns };
  if (failures.every(({ outcome }) => outcome.later === undefined)) {
    return { source, subdomains: source.subdomains, ...entryNow(worked, signers, failures) };
  }
  return new UnsettledEntry(worked, signers, failures);
}

interface Worked {
  readonly source: ManifestDomain;
  readonly notes: readonly string[];
  readonly parentSigns: boolean;
}

/** An entry with a key that its back end goes on trying: it is worked out anew until all are open. */
class UnsettledEntry implements DomainEntry {
  readonly source: ManifestDomain;
  readonly subdomains: boolean;
  readonly #worked: Worked;
  readonly #signers: readonly OpenSigner[];
  readonly #failures: readonly KeyFailure[];
  /** What was worked out last, and from what: mail asks at each MAIL, of ten thousand domains in turn. */
  #last: { readonly now: EntryNow; readonly from: readonly unknown[] } | undefined;

  constructor(worked: Worked, signers: readonly OpenSigner[], failures: readonly KeyFailure[]) {
    this.source = worked.source;
    this.subdomains = worked.source.subdomains;
    this.#worked = worked;
    this.#signers = signers;
    this.#failures = failures;
  }

  get inPreparation(): boolean {
    return this.#now.inPreparation;
  }

  get broken(): string | undefined {
    return this.#now.broken;
  }

  get standIn(): string | undefined {
    return this.#now.standIn;
  }

  get signers(): readonly OpenSigner[] {
    return this.#now.signers;
  }

  get failures(): readonly KeyFailure[] {
    return this.#now.failures;
  }

  get answer(): EntryNow['answer'] {
    return this.#now.answer;
  }

  get #now(): EntryNow {
    const from = this.#failures.map(({ outcome }) => signerNow(outcome) ?? outcome.later?.reason);
    const last = this.#last;
    if (last?.from.every((one, index) => one === from[index]) === true) return last.now;
    const signers = [...this.#signers];
    const failures: KeyFailure[] = [];
    for (const failure of this.#failures) {
      const signer = signerNow(failure.outcome);
      if (signer === undefined) failures.push(failure);
      else signers.push({ key: failure.key, signer, ...failure.spare });
    }
    const now = entryNow(this.#worked, signers, failures);
    this.#last = { now, from };
    return now;
  }
}

type Opening =
  | { readonly kind: 'open'; readonly signer: Signer; readonly note?: string }
  | (OpenedKey & { kind: 'unusable' });

async function openKey(
  { domain }: ManifestDomain,
  key: ManifestKey,
  { before, reopen, open }: OpenDomainParts,
): Promise<Opening> {
  const known = before?.signers.find((one) => isSameKey(one.key, key));
  const again = typeof reopen === 'boolean' ? reopen : reopen(key);
  if (known !== undefined && !again) return { kind: 'open', signer: known.signer };
  const opened = await open(domain, key);
  if (opened.kind === 'open' || known === undefined) return opened;
  const note = `${opened.reason}; the key as it was opened before goes on, until a restart`;
  return { kind: 'open', signer: known.signer, note };
}

/**
 * One that does not open is missed only when it is needed, and then the message waits.
 *
 * @param isRemote a local key that is open can be used, so it needs no predecessor
 */
async function openSpare(
  source: ManifestDomain,
  main: ManifestKey,
  isRemote: boolean,
  parts: OpenDomainParts,
): Promise<SpareKeys> {
  const fallback = parts.fallBackFor?.(source, main);
  const [predecessor] = isRemote ? retiringBefore(source, main) : [];
  return {
    fallback: fallback && (await openSpareKey(source, fallback, parts)),
    predecessor: predecessor && (await openSpareKey(source, predecessor, parts)),
  };
}

async function openSpareKey(
  { domain }: ManifestDomain,
  key: ManifestKey,
  { before, open }: OpenDomainParts,
): Promise<SpareKey> {
  for (const one of before?.signers ?? []) {
    if (isSameKey(one.key, key)) return { key, outcome: { kind: 'open', signer: one.signer } };
    for (const spare of [one.fallback, one.predecessor]) {
      if (spare === undefined || !isSameKey(spare.key, key)) continue;
      if (signerNow(spare.outcome) !== undefined) return spare;
    }
  }
  return { key, outcome: await open(domain, key) };
}

/** @param onlyKnown leave those alone that are not open already */
async function openRetiring(
  source: ManifestDomain,
  failed: ManifestKey,
  parts: OpenDomainParts,
  onlyKnown: boolean,
): Promise<OpenSigner | undefined> {
  for (const key of retiringBefore(source, failed)) {
    const isKnown = parts.before?.signers.some((one) => isSameKey(one.key, key)) === true;
    if (onlyKnown && !isKnown) continue;
    const opened = await openKey(source, key, parts);
    if (opened.kind === 'open') return { key, signer: opened.signer };
  }
  return undefined;
}

/** The retiring keys of the same family that were active before it, the newest first. */
function retiringBefore({ keys }: ManifestDomain, main: ManifestKey): readonly ManifestKey[] {
  const family = familyOf(main);
  return keys
    .filter((key) => key.state === 'retiring' && familyOf(key) === family && !onlyStoodIn(key))
    .sort((one, other) => timeOf(other) - timeOf(one));
}

function entryNow(
  { source, notes: opening, parentSigns }: Worked,
  open: readonly OpenSigner[],
  failures: readonly KeyFailure[],
): EntryNow {
  const { domain, keys } = source;
  const signers = [...open, ...failures.flatMap(({ standIn }) => standIn ?? [])];
  const notes = [...opening, ...failures.flatMap(standInNote)];
  // A key that was given up (revoked, destroyed) before it ever signed changes nothing.
  const wasNeverActive = keys.every(
    ({ state, activatedAt }) =>
      activatedAt === undefined && !KEY_STATE_ROWS[state].signs && state !== 'retiring',
  );
  const reasons = failures.filter(({ standIn }) => standIn === undefined).map(reasonNow);
  const broken = reasons.length > 0 ? reasons.join('; ') : undefined;
  const yields = broken !== undefined && parentSigns;
  const standIns = yields ? [...notes, `${broken}; the parent domain goes on`] : notes;
  const base = {
    inPreparation: wasNeverActive || yields,
    broken,
    standIn: standIns.length > 0 ? standIns.join('; ') : undefined,
    signers,
    failures,
  };
  const reason =
    broken ??
    (signers.length === 0
      ? `no key of ${domain} is active: "waxseal keys activate ${domain}" does that`
      : undefined);
  if (reason !== undefined) return { ...base, answer: { kind: 'unusable', domain, reason } };
  const signing = signers.map((one): SigningKey => signingKey(domain, one));
  return { ...base, answer: { kind: 'keys', domain, keys: signing } };
}

function reasonNow({ outcome }: KeyFailure): string {
  return outcome.later?.reason ?? outcome.reason;
}

function standInNote(failure: KeyFailure): string[] {
  const { standIn } = failure;
  if (standIn === undefined) return [];
  const { selector } = standIn.key;
  return [`${reasonNow(failure)}; the retiring key ${selector} goes on in its place`];
}

function spareOf(open: OpenSigner | undefined): SpareKey | undefined {
  return open && { key: open.key, outcome: { kind: 'open', signer: open.signer } };
}

function signingKey(
  domain: string,
  { key, signer, fallback, predecessor }: OpenSigner,
): SigningKey {
  const signatureBytes = keyAlgorithmNamed(key.algorithm)?.signatureBytes ?? 0;
  const own = { domain, selector: key.selector, signer, signatureBytes };
  if (fallback === undefined && predecessor === undefined) return own;
  return {
    ...own,
    get fallback(): SigningKey | undefined {
      return spareNow(domain, fallback);
    },
    get predecessor(): SigningKey | undefined {
      return spareNow(domain, predecessor);
    },
  };
}

function spareNow(domain: string, spare: SpareKey | undefined): SigningKey | undefined {
  const signer = spare && signerNow(spare.outcome);
  return spare && signer && signingKey(domain, { key: spare.key, signer });
}

function signerNow(outcome: OpenedKey): Signer | undefined {
  return outcome.kind === 'open' ? outcome.signer : outcome.later?.signer;
}

/** The same private half, kept in the same place; its state and its times do not matter. */
export function isSameKey(one: ManifestKey, other: ManifestKey): boolean {
  return (
    one.selector === other.selector &&
    one.algorithm === other.algorithm &&
    one.backend === other.backend &&
    one.publicKey === other.publicKey &&
    JSON.stringify(one.material) === JSON.stringify(other.material)
  );
}

function timeOf(key: ManifestKey): number {
  return Date.parse(key.retiringSince ?? key.createdAt);
}
