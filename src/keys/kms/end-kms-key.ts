import type { Destruction } from '../backend.ts';
import { KeysRefusal } from '../keys-error.ts';
import type { Kms } from './kms.ts';
import { KmsError } from './kms-fault.ts';
import { describeKmsKey, type KmsKeyFacts } from './kms-keys.ts';

/**
 * Takes signing keys out of use, in every Region, replicas first: a primary key cannot be deleted
 * before them. Only keys for signatures: the key that wraps others is for encryption and is never
 * touched here, whatever a manifest says.
 */

const DAY_MS = 86_400_000;
const PENDING: ReadonlySet<string> = new Set(['PendingDeletion', 'PendingReplicaDeletion']);

/** A key and where it is. */
export interface KmsPlace {
  readonly arn: string;
  /** The ARN's Region. */
  readonly home: string;
  /** As the manifest knows them. */
  readonly regions: readonly string[];
}

/**
 * DisableKey in every Region. One that does not answer keeps no other from being done.
 *
 * @throws KmsError, KeysRefusal `key-not-for-signing`
 */
export async function disableKmsKey(kms: Kms, place: KmsPlace): Promise<void> {
  const { found, failure } = await replicasFirst(kms, place);
  let first = failure;
  for (const facts of found) {
    await disable(kms, facts).catch((error: unknown) => {
      first ??= error;
    });
  }
  if (first !== undefined) throw first;
}

/** DisableKey, then ScheduleKeyDeletion. @throws KmsError, KeysRefusal `key-not-for-signing` */
export async function destroyKmsKey(kms: Kms, place: KmsPlace): Promise<Destruction> {
  // All are disabled before the first is scheduled: nobody may sign by way of another Region.
  await disableKmsKey(kms, place);
  const { found, failure } = await replicasFirst(kms, place);
  if (failure !== undefined) throw failure;
  let untilMs: number | undefined;
  for (const facts of found) {
    untilMs = Math.max(untilMs ?? 0, await schedule(kms, facts, untilMs));
  }
  if (untilMs === undefined) return { kind: 'done' };
  return { kind: 'scheduled', until: new Date(untilMs).toISOString() };
}

/** CancelKeyDeletion and EnableKey. @throws KmsError, KeysRefusal `key-destroyed` */
export async function restoreKmsKey(kms: Kms, place: KmsPlace): Promise<void> {
  const { found, failure } = await replicasFirst(kms, place);
  if (failure !== undefined) throw failure;
  if (found.length === 0) {
    throw new KeysRefusal('key-destroyed', `the KMS key ${place.arn} is deleted for good`, {
      hint: '"waxseal keys create" makes a new one',
    });
  }
  for (const facts of found.reverse()) {
    if (PENDING.has(facts.state)) await manage(kms, 'CancelKeyDeletion', facts);
    await manage(kms, 'EnableKey', facts);
  }
}

interface RegionalKeys {
  readonly found: KmsKeyFacts[];
  /** Why nothing is known of a Region. */
  readonly failure: unknown;
}

/** What KMS knows of replicas counts beside what the manifest knows: it may be newer. */
async function replicasFirst(kms: Kms, { arn, home, regions }: KmsPlace): Promise<RegionalKeys> {
  const byRegion = new Map<string, KmsKeyFacts>();
  const names = new Set([home, ...regions]);
  let failure: unknown;
  // A Set hands out what is added to it meanwhile, too.
  for (const name of names) {
    try {
      const facts = await describeKmsKey(kms, arn, name);
      if (facts === undefined) continue;
      byRegion.set(name, facts);
      for (const replica of facts.regions) names.add(replica);
    } catch (error) {
      failure ??= error;
    }
  }
  for (const facts of byRegion.values()) refuseOtherUse(facts);
  const [primary = home] = [...byRegion.values()][0]?.regions ?? [];
  const order = [...names].filter((name) => name !== primary);
  const found = [...order, primary].flatMap((name) => byRegion.get(name) ?? []);
  return { found, failure };
}

function refuseOtherUse({ arn, usage }: KmsKeyFacts): void {
  if (usage === 'SIGN_VERIFY') return;
  const message = `the KMS key ${arn} is for ${usage}, and not for signatures`;
  throw new KeysRefusal('key-not-for-signing', message, {
    hint: 'Waxseal never disables or deletes such a key',
  });
}

async function disable(kms: Kms, facts: KmsKeyFacts): Promise<void> {
  if (facts.state === 'Disabled' || PENDING.has(facts.state)) return;
  await manage(kms, 'DisableKey', facts);
}

/** @returns when the key is gone, milliseconds since the epoch */
async function schedule(
  kms: Kms,
  facts: KmsKeyFacts,
  replicasUntilMs: number | undefined,
): Promise<number> {
  const days = kms.settings.deletionWindowDays;
  // A primary with replicas is told no date: its waiting period begins when the last one is gone.
  const guessMs = (replicasUntilMs ?? kms.clock.wallMs()) + days * DAY_MS;
  if (PENDING.has(facts.state)) return dateMs(facts.deletionAt) ?? guessMs;
  try {
    const { DeletionDate } = await kms.caller.call({
      operation: 'ScheduleKeyDeletion',
      family: 'ScheduleKeyDeletion',
      regions: [facts.region],
      input: () => ({ KeyId: facts.arn, PendingWindowInDays: days }),
    });
    return DeletionDate?.getTime() ?? guessMs;
  } catch (error) {
    // Another run, or our own call of which we did not hear, was faster.
    const raced = error instanceof KmsError && error.kind === 'invalid-state';
    const now = raced ? await describeKmsKey(kms, facts.arn, facts.region) : undefined;
    if (now === undefined || !PENDING.has(now.state)) throw error;
    return dateMs(now.deletionAt) ?? guessMs;
  }
}

async function manage(
  kms: Kms,
  operation: 'DisableKey' | 'EnableKey' | 'CancelKeyDeletion',
  { arn, region }: KmsKeyFacts,
): Promise<void> {
  await kms.caller.call({
    operation,
    family: operation,
    regions: [region],
    input: () => ({ KeyId: arn }),
  });
}

function dateMs(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Date.parse(text);
}
