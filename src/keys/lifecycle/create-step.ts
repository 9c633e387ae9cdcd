import { randomUUID } from 'node:crypto';
import type { KeyBackend } from '../backend.ts';
import type { BackendName } from '../backend-names.ts';
import { BACKENDS } from '../backends.ts';
import { type KeyAlgorithm, keyAlgorithmNamed } from '../key-algorithm.ts';
import { fitsInDns } from '../key-name.ts';
import { KeysRefusal } from '../keys-error.ts';
import type { ManifestDomain, ManifestKey } from '../manifest.ts';
import { takeRequestIds } from '../request-trace.ts';
import { isoTime } from './key-changes.ts';
import { type LeasedDomain, underLease } from './leased-domain.ts';
import { type LeaseAccess, note } from './lifecycle-access.ts';
import { nextSelector, type SelectorOptions } from './next-selector.ts';
import type { KeyNaming } from './policy.ts';

/**
 * Making keys, each once. The journal gets an intent with selector and algorithm before the back
 * end is asked; a run that finds an open intent (no key of that intent is in the manifest) goes
 * on with it, and the back end adopts what the killed run made. So a kill leaves neither a second
 * key nor one that nobody knows.
 */

export const CREATE_EVENTS = {
  intended: 'key-intended',
  created: 'key-created',
} as const;

export interface CreateOptions {
  readonly backend: BackendName;
  readonly ttlS: number;
  readonly names: KeyNaming;
  /** Does the domain sign for its subdomains? undefined: as it stands, and no for a new one. */
  readonly subdomains: boolean | undefined;
  /** TTL of negative answers in the zone, in seconds; for slots. */
  readonly negativeTtlS: number;
  /** Regions of the new keys, home first; undefined: as a run that was killed began, else `usualRegions`. */
  readonly regions?: readonly string[] | undefined;
  /** Of one new key; undefined: as configured. */
  readonly usualRegions?: (
    algorithm: KeyAlgorithm,
    backend: BackendName,
  ) => readonly string[] | undefined;
  /** The keys are made for a rotation that is under way. */
  readonly rotating?: boolean;
}

export interface CreatedKeys {
  readonly entry: ManifestDomain;
  readonly added: readonly ManifestKey[];
  readonly warnings: readonly string[];
}

interface Intent {
  readonly id: string;
  readonly selector: string;
  readonly algorithm: KeyAlgorithm;
  /** Regions that the journal has of it: a key that was made already is there. */
  readonly regions: readonly string[] | undefined;
  /** Whether an earlier run may have made the key. */
  readonly begun: 'now' | 'perhaps-before';
}

/**
 * Makes one key for each algorithm, in state `created`, under the domain's lease. Makes the master
 * key too where there is none and nothing was encrypted yet.
 *
 * @param choose the algorithms, decided on the newest entry; none: nothing is made
 * @throws KeysRefusal `key-name-too-long`, `key-no-slot`; what back ends throw
 */
export async function createKeysOf(
  access: LeaseAccess,
  domain: string,
  options: CreateOptions,
  choose: (entry: ManifestDomain) => Promise<readonly string[]>,
): Promise<CreatedKeys> {
  // What can be refused is refused before the lease enters a new domain into the keyring.
  if (!fitsInDns('wx000000r1', domain)) {
    throw new KeysRefusal('key-name-too-long', `a selector and ${domain} are too long for DNS`);
  }
  const backend = await access.connect(options.backend, 'make-if-first');
  return await underLease(access, domain, async (held) => {
    const algorithms = await choose(held.entry);
    return await makeKeys(access, held, backend, algorithms, options);
  });
}

async function makeKeys(
  access: LeaseAccess,
  held: LeasedDomain,
  backend: KeyBackend,
  algorithms: readonly string[],
  options: CreateOptions,
): Promise<CreatedKeys> {
  const { domain, keys: before } = held.entry;
  const open = await openIntents(access, held.entry, options.backend);
  const added: ManifestKey[] = [];
  const requestIds = new Map<string, readonly string[]>();
  for (const name of algorithms) {
    const algorithm = keyAlgorithmNamed(name);
    if (algorithm === undefined) throw new RangeError(`no such algorithm: ${name}`);
    const at = open.findIndex((intent) => intent.algorithm.name === name);
    const [begun] = at < 0 ? [] : open.splice(at, 1);
    const isTaken = async (selector: string) =>
      open.some((other) => other.selector === selector) ||
      (await backend.holds({ domain, selector }));
    const entry = { ...held.entry, keys: [...before, ...added] };
    const intent = begun ?? (await newIntent(access, entry, algorithm, { ...options, isTaken }));
    const regions = namedRegions(options) ?? intent.regions;
    const there =
      regions === undefined
        ? backend
        : await access.connect(options.backend, 'must-exist', { regions });
    added.push(await makeKey(access, domain, there, intent, options));
    requestIds.set(intent.id, takeRequestIds());
  }
  if (added.length === 0) return { entry: held.entry, added, warnings: backend.warnings };
  const rotatingSince = options.rotating === true ? isoTime(access.clock.wallMs()) : undefined;
  // All of the set in one write: half a set would be taken for the whole one by the next run.
  const entry = await held.write((current) => ({
    ...current,
    subdomains: options.subdomains ?? current.subdomains,
    rotatingSince: current.rotatingSince ?? rotatingSince,
    // A slot's new key takes the place of the destroyed one.
    keys: [...current.keys.filter((key) => !isNamedIn(added, key)), ...added],
  }));
  for (const { selector, intent } of added) {
    if (intent === undefined) continue; // each of them has one
    const ids = { intent, requestIds: requestIds.get(intent) ?? [] };
    await note(access, { event: CREATE_EVENTS.created, domain, selector, ...ids });
  }
  return { entry, added, warnings: backend.warnings };
}

/** Of a back end that has any. */
function namedRegions({ backend, regions }: CreateOptions): readonly string[] | undefined {
  return BACKENDS[backend].regionsOf === undefined ? undefined : regions;
}

async function makeKey(
  access: LeaseAccess,
  domain: string,
  backend: KeyBackend,
  { id, selector, algorithm, begun }: Intent,
  options: CreateOptions,
): Promise<ManifestKey> {
  const kept = await backend.create({ domain, selector, algorithm: algorithm.name }, id, begun);
  return {
    selector,
    algorithm: algorithm.name,
    backend: options.backend,
    state: 'created',
    publicKey: algorithm.recordOctets(kept.publicKey).toString('base64'),
    ttlS: options.ttlS,
    createdAt: isoTime(access.clock.wallMs()),
    activatedAt: undefined,
    retiringSince: undefined,
    intent: id,
    material: kept.material,
  };
}

function isNamedIn(keys: readonly ManifestKey[], { selector }: ManifestKey): boolean {
  return keys.some((key) => key.selector === selector);
}

async function newIntent(
  access: LeaseAccess,
  entry: ManifestDomain,
  algorithm: KeyAlgorithm,
  options: CreateOptions & SelectorOptions,
): Promise<Intent> {
  const { domain } = entry;
  const found = await nextSelector(entry, algorithm, access.clock.wallMs(), options);
  if (found.kind === 'refused') {
    throw new KeysRefusal(found.code, found.why, { hint: found.hint });
  }
  const id = randomUUID();
  const regions = namedRegions(options) ?? options.usualRegions?.(algorithm, options.backend);
  const details = {
    algorithm: algorithm.name,
    backend: options.backend,
    ...(regions === undefined ? {} : { regions: regions.join(',') }),
  };
  const { selector } = found;
  await note(access, { event: CREATE_EVENTS.intended, domain, selector, intent: id, details });
  return { id, selector, algorithm, regions, begun: 'now' };
}

/** Intents of which no key is in the manifest, and none was; and whose selector is still free. */
async function openIntents(
  access: LeaseAccess,
  entry: ManifestDomain,
  backend: BackendName,
): Promise<Intent[]> {
  const open = new Map<string, Intent>();
  for await (const { event, intent, selector, details } of access.journal.read(entry)) {
    if (intent === undefined || selector === undefined) continue;
    if (event === CREATE_EVENTS.created) open.delete(intent);
    if (event !== CREATE_EVENTS.intended || details?.backend !== backend) continue;
    const algorithm = keyAlgorithmNamed(details.algorithm ?? '');
    if (algorithm !== undefined) {
      const regions = details.regions?.split(',');
      open.set(intent, { id: intent, selector, algorithm, regions, begun: 'perhaps-before' });
    }
  }
  const listed = entry.keys.filter((key) => key.state !== 'destroyed');
  return [...open.values()].filter(
    ({ id, selector }) =>
      !entry.keys.some((key) => key.intent === id) &&
      !listed.some((key) => key.selector === selector),
  );
}
