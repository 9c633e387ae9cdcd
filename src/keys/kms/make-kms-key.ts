import type { KeyIdentity } from '../sealed-key.ts';
import type { Kms } from './kms.ts';
import { KmsError } from './kms-fault.ts';
import type { KmsKeySpec } from './kms-key-spec.ts';
import { describeKmsKey, enabledKmsKey } from './kms-keys.ts';
import { type TaggedKey, taggedKeys, tagsFor } from './kms-tags.ts';
import { waitMs } from './wait.ts';

/**
 * Makes a signing key in KMS once for each intent. CreateKey has no token that would make it
 * idempotent, so the intent goes into it as a tag: whoever does not know whether a key was made
 * looks for that tag. Lists and tags of KMS lag behind, so looking once is not enough.
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
 * @throws KmsError, KeysError
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
  for (const pauseMs of LOOKS_MS) {
    await waitMs(kms.clock, pauseMs, undefined);
    for (const key of await taggedKeys(kms, home, known)) {
      const isOurs =
        key.intent === intent &&
        key.domain === identity.domain &&
        key.selector === identity.selector;
      if (!isOurs) continue;
      const facts = await describeKmsKey(kms, key.arn, home);
      // A key of one Region never becomes a multi-Region key; `keys orphans` tells of it.
      const fits = facts?.multiRegion === true || regions.length === 1;
      if (fits && (facts?.state === 'Enabled' || facts?.state === 'Creating')) return key.arn;
    }
  }
  return undefined;
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

/** Shown in the console of AWS. */
function descriptionOf({ domain, selector }: KeyIdentity): string {
  return `DKIM key ${selector}._domainkey.${domain} (waxseal)`;
}
