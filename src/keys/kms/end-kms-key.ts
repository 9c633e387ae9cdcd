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

/** DisableKey in every Region. @throws KmsError, KeysRefusal `key-not-for-signing` */
export async function disableKmsKey(kms: Kms, arn: string, region: string): Promise<void> {
  for (const facts of await replicasFirst(kms, arn, region)) await disable(kms, facts);
}

/** DisableKey, then ScheduleKeyDeletion. @throws KmsError, KeysRefusal `key-not-for-signing` */
export async function destroyKmsKey(kms: Kms, arn: string, region: string): Promise<Destruction> {
  let untilMs: number | undefined;
  const later = (ms: number) => {
    untilMs = Math.max(untilMs ?? 0, ms);
  };
  const regional = await replicasFirst(kms, arn, region);
  // All are disabled before the first is scheduled: nobody may sign by way of another Region.
  for (const facts of regional) await disable(kms, facts);
  for (const facts of regional) later(await schedule(kms, facts, untilMs));
  if (untilMs === undefined) return { kind: 'done' };
  return { kind: 'scheduled', until: new Date(untilMs).toISOString() };
}

/** CancelKeyDeletion and EnableKey. @throws KmsError, KeysRefusal `key-destroyed` */
export async function restoreKmsKey(kms: Kms, arn: string, region: string): Promise<void> {
  const regional = (await replicasFirst(kms, arn, region)).reverse();
  if (regional.length === 0) {
    throw new KeysRefusal('key-destroyed', `the KMS key ${arn} is deleted for good`, {
      hint: '"waxseal keys create" makes a new one',
    });
  }
  for (const facts of regional) {
    if (PENDING.has(facts.state)) await manage(kms, 'CancelKeyDeletion', facts);
    await manage(kms, 'EnableKey', facts);
  }
}

async function replicasFirst(kms: Kms, arn: string, region: string): Promise<KmsKeyFacts[]> {
  const home = await describeKmsKey(kms, arn, region);
  if (home === undefined) return [];
  const found: KmsKeyFacts[] = [];
  for (const name of home.regions.toReversed()) {
    const facts = name === region ? home : await describeKmsKey(kms, arn, name);
    if (facts !== undefined) found.push(facts);
  }
  for (const facts of found) {
    if (facts.usage === 'SIGN_VERIFY') continue;
    const message = `the KMS key ${facts.arn} is for ${facts.usage}, and not for signatures`;
    throw new KeysRefusal('key-not-for-signing', message, {
      hint: 'Waxseal never disables or deletes such a key',
    });
  }
  return found;
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
