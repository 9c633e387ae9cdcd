import { randomUUID } from 'node:crypto';
import type { BackendName } from '../backend-names.ts';
import { type KeyAlgorithm, keyAlgorithmNamed } from '../key-algorithm.ts';
import { KeysRefusal } from '../keys-error.ts';
import type { ManifestDomain, ManifestKey } from '../manifest.ts';
import { isoTime } from './key-changes.ts';
import type { LeasedDomain } from './leased-domain.ts';
import { type LifecycleAccess, note } from './lifecycle-access.ts';
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
}

/** Makes one key for each algorithm, in state `created`. To be called under the domain's lease. */
export async function makeKeys(
  access: LifecycleAccess,
  held: LeasedDomain,
  algorithms: readonly string[],
  options: CreateOptions,
): Promise<CreatedKeys> {
  const backend = await access.connect(options.backend, 'make-if-first');
  let { entry } = held;
  const { domain } = entry;
  const open = await openIntents(access, entry, options.backend);
  const added: ManifestKey[] = [];
  for (const name of algorithms) {
    const algorithm = keyAlgorithmNamed(name);
    if (algorithm === undefined) throw new RangeError(`no such algorithm: ${name}`);
    const at = open.findIndex((intent) => intent.algorithm.name === name);
    const [begun] = at < 0 ? [] : open.splice(at, 1);
    const isTaken = async (selector: string) =>
      open.some((other) => other.selector === selector) ||
      (await backend.holds({ domain, selector }));
    const intent = begun ?? (await newIntent(access, entry, algorithm, { ...options, isTaken }));
    const { id, selector } = intent;
    const kept = await backend.create({ domain, selector, algorithm: name }, id);
    const key: ManifestKey = {
      selector,
      algorithm: name,
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
    entry = await held.write((current) => ({
      ...current,
      subdomains: options.subdomains ?? current.subdomains,
      // A slot's new key takes the place of the destroyed one.
      keys: [...current.keys.filter((other) => other.selector !== selector), key],
    }));
    await note(access, { event: CREATE_EVENTS.created, domain, selector, intent: id });
    added.push(key);
  }
  return { entry, added, warnings: backend.warnings };
}

async function newIntent(
  access: LifecycleAccess,
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
  const details = { algorithm: algorithm.name, backend: options.backend };
  const { selector } = found;
  await note(access, { event: CREATE_EVENTS.intended, domain, selector, intent: id, details });
  return { id, selector, algorithm };
}

/** Intents of which no key is in the manifest, and none was; and whose selector is still free. */
async function openIntents(
  access: LifecycleAccess,
  entry: ManifestDomain,
  backend: BackendName,
): Promise<Intent[]> {
  const open = new Map<string, Intent>();
  for await (const { event, intent, selector, details } of access.journal.read(entry)) {
    if (intent === undefined || selector === undefined) continue;
    if (event === CREATE_EVENTS.created) open.delete(intent);
    if (event !== CREATE_EVENTS.intended || details?.backend !== backend) continue;
    const algorithm = keyAlgorithmNamed(details.algorithm ?? '');
    if (algorithm !== undefined) open.set(intent, { id: intent, selector, algorithm });
  }
  const listed = entry.keys.filter((key) => key.state !== 'destroyed');
  return [...open.values()].filter(
    ({ id, selector }) =>
      !entry.keys.some((key) => key.intent === id) &&
      !listed.some((key) => key.selector === selector),
  );
}
