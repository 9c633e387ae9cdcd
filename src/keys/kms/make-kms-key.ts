import { recordName } from '../key-name.ts';
import type { KeysRefusal } from '../keys-error.ts';
import type { KeyIdentity } from '../sealed-key.ts';
import type { Kms } from './kms.ts';
import { KmsError } from './kms-fault.ts';
import type { KmsKeySpec } from './kms-key-spec.ts';
import { describeKmsKey, enabledKmsKey, type KmsKeyFacts } from './kms-keys.ts';
import { type TaggedKey, type TaggedKeys, taggedKeys, tagsFor, tagsHidden } from './kms-tags.ts';
import { waitMs } from './wait.ts';

/**
 * Makes a signing key in KMS once for each intent. CreateKey has no token that would make it
 * idempotent, so the intent goes into it as a tag: whoever does not know whether a key was made
 * looks for that tag. Lists and tags of KMS lag behind, so looking once is not enough. Who may not
 * look makes no second key.
 */

/** Pauses before each look for a key that may have been made; 15 s in all. */
const LOOKS_MS = [0, 1000, 2000, 4000, 8000];
/** CreateKey calls of which nobody knows how they ended, before we give up. */
const MAX_MAKINGS = 3;

/** A key to make. */
export interface KmsKeyOrder {
  readonly identity: KeyIdentity;
  readonly intent: string;
  readonly spec: KmsKeySpec;
  /** Home first; the others get replicas. */
  readonly regions: readonly string[];
}

/**
 * @param mayExist the intent may have been used before
 * @returns the ARN of a key that is enabled in each of the Regions
 * @throws KmsError, KeysError; KeysRefusal `key-tags-hidden`
 */
export async function makeKmsKey(kms: Kms, order: KmsKeyOrder, mayExist: boolean): Promise<string> {
  const [home = '', ...replicaRegions] = order.regions;
  let arn = mayExist ? await madeBefore(kms, order, home) : undefined;
  for (let making = 1; arn === undefined; making += 1) {
    try {
      arn = await createKey(kms, order, home);
    } catch (error) {
      const unknown = error instanceof KmsError && error.row.unknownOutcome;
      if (!unknown) throw error;
      arn = await madeBefore(kms, order, home);
      if (arn === undefined && making >= MAX_MAKINGS) throw error;
    }
  }
  const facts = await enabledKmsKey(kms, arn, home);
  for (const region of replicaRegions) {
    if (!facts.regions.includes(region)) await replicate(kms, order, arn, home, region);
    await enabledKmsKey(kms, arn, region);
  }
  return arn;
}

async function createKey(kms: Kms, order: KmsKeyOrder, home: string): Promise<string> {
  const { identity, intent, spec, regions } = order;
  const { KeyMetadata } = await kms.caller.call({
    operation: 'CreateKey',
    family: 'CreateKey',
    regions: [home],
    input: () => ({
      KeySpec: spec.keySpec,
      KeyUsage: 'SIGN_VERIFY',
      MultiRegion: regions.length > 1,
      Description: descriptionOf(identity),
      Tags: tagsFor(identity, intent),
    }),
  });
  if (KeyMetadata?.Arn !== undefined) return KeyMetadata.Arn;
  throw new KmsError('other', `KMS in ${home}, CreateKey: the answer has no ARN`);
}

/** Looks for a key with the intent's tag, and takes none that is on its way out. */
async function madeBefore(
  kms: Kms,
  { identity, intent, regions }: KmsKeyOrder,
  home: string,
): Promise<string | undefined> {
  const known = new Map<string, TaggedKey>();
  const strange = new Set<string>();
  for (const pauseMs of LOOKS_MS) {
    await waitMs(kms.clock, pauseMs, undefined);
    const { ours, hidden, isBlind } = await look(kms, identity, home, known);
    for (const key of ours) {
      const isIt =
        key.intent === intent &&
        key.domain === identity.domain &&
        key.selector === identity.selector;
      if (!isIt) continue;
      const facts = await describeKmsKey(kms, key.arn, home);
      // A key of one Region never becomes a multi-Region key; `keys orphans` tells of it.
      const fits = facts?.multiRegion === true || regions.length === 1;
      if (fits && isUsable(facts)) return key.arn;
    }
    const unseen = hidden.filter((arn) => !strange.has(arn));
    if (isBlind || (await hasOneOf(kms, identity, home, unseen))) {
      throw mayBeMade(identity, home, 'ListResourceTags');
    }
    for (const arn of unseen) strange.add(arn);
  }
  return undefined;
}

async function look(
  kms: Kms,
  identity: KeyIdentity,
  home: string,
  known: Map<string, TaggedKey>,
): Promise<TaggedKeys> {
  try {
    return await taggedKeys(kms, home, known);
  } catch (error) {
    if (!(error instanceof KmsError) || error.kind !== 'access-denied') throw error;
    throw mayBeMade(identity, home, 'ListKeys');
  }
}

/** Among keys whose tags are hidden: is there one that we described as this? Others keep us out. */
async function hasOneOf(
  kms: Kms,
  identity: KeyIdentity,
  home: string,
  arns: readonly string[],
): Promise<boolean> {
  for (const arn of arns) {
    try {
      const facts = await describeKmsKey(kms, arn, home);
      if (isUsable(facts) && facts?.description === descriptionOf(identity)) return true;
    } catch (error) {
      if (!(error instanceof KmsError) || !error.row.holdsKey) throw error;
    }
  }
  return false;
}

function isUsable(facts: KmsKeyFacts | undefined): boolean {
  return facts?.state === 'Enabled' || facts?.state === 'Creating';
}

function mayBeMade(identity: KeyIdentity, home: string, operation: string): KeysRefusal {
  const name = recordName(identity.selector, identity.domain);
  return tagsHidden(
    home,
    operation,
    `the key of ${name} may have been made before: no second one is made`,
  );
}

async function replicate(
  kms: Kms,
  { identity, intent }: KmsKeyOrder,
  arn: string,
  home: string,
  region: string,
): Promise<void> {
  try {
    await kms.caller.call({
      operation: 'ReplicateKey',
      family: 'ReplicateKey',
      regions: [home],
      input: () => ({
        KeyId: arn,
        ReplicaRegion: region,
        Description: descriptionOf(identity),
        Tags: tagsFor(identity, intent),
      }),
    });
  } catch (error) {
    // It may have been made by a call of which we did not hear: then it is there.
    if ((await describeKmsKey(kms, arn, region)) === undefined) throw error;
  }
}

/** Shown in the console of AWS; also tells our keys where their tags are hidden. */
function descriptionOf({ domain, selector }: KeyIdentity): string {
  return `DKIM key ${recordName(selector, domain)} (waxseal)`;
}
