import { randomUUID } from 'node:crypto';
import { errorMessage, WaxsealError } from '../../base/errors.ts';
import { withActive } from '../activate-keys.ts';
import { BY_HAND } from '../dns/publisher.ts';
import { isFallBackOf } from '../fall-back.ts';
import { familyOf } from '../key-algorithm.ts';
import type { KeyringSnapshot } from '../keyring-store.ts';
import { KeysRefusal } from '../keys-error.ts';
import type { ManifestDomain, ManifestKey } from '../manifest.ts';
import { liveSharersOf } from '../shared-keys.ts';
import { storedKey } from '../stored-key.ts';
import { chooseKeys, LIVE_STATES } from './choose-keys.ts';
import { nextSet } from './fresh-steps.ts';
import { activeKeys, isoTime, withKeys, withRetiring } from './key-changes.ts';
import { isLeaseLost, type LeasedDomain, underLease } from './leased-domain.ts';
import { type LifecycleAccess, note } from './lifecycle-access.ts';
import { lookAtKey } from './look-at-dns.ts';
import { handOver, publish, stopOf } from './publish-step.ts';
import { confirmWithdrawal } from './revoke-step.ts';
import type { StepResult } from './step-outcome.ts';
import type { StepRun, StepWork } from './step-work.ts';
import { standsIn } from './take-back.ts';

/**
 * Any state → revoked, at once: for a key that somebody else may have. The order is the one in
 * which harm ends soonest:
 *
 * 1. the lease, taken away from whoever has it (a running rotation stops, see `rotation-watch.ts`);
 * 2. the manifest: the keys are revoked, so relays stop signing with them within seconds;
 * 3. the standby of the same family signs, if its record is still seen; else mail gets 451;
 * 4. the records become empty (`p=`), which ends verification as caches run out;
 * 5. the back end disables the private keys.
 *
 * A fault of 3 or 4, be it that the lease ran out over a slow DNS, does not keep the rest from being
 * tried. The journal names the keys before anything is done; a run that was killed, or in which
 * something failed, is taken up by the next one with those very keys, so that the standby is not
 * taken for the culprit.
 */
export async function emergency(
  work: StepWork,
  entry: ManifestDomain,
  named: readonly string[],
): Promise<StepRun> {
  const { access, wishes } = work;
  const { domain } = entry;
  const isTakeOver = true;
  const run = await underLease(
    access,
    domain,
    async (held) => {
      const { intents, selectors, note: told } = await choose(work, held.entry, named);
      const details = { selectors: selectors.join(' ') };
      const reason = wishes.reason ?? '';
      const tell = async (event: string) => {
        for (const intent of intents) {
          await note(access, { event, domain, intent, reason, details });
        }
      };
      await tell(EMERGENCY_EVENTS.begun);
      const nowMs = access.clock.wallMs();
      const left = await held.write((now) => stopped(now, selectors, wishes.force, nowMs));
      const faults: StepResult[] = [];
      const switched = await tried(async () => await switchToStandby(work, held, selectors));
      const standby = switched.kind === 'done' ? switched.result : [];
      if (switched.kind !== 'done') faults.push(switched);
      // Not under the lease: whoever has it by now keeps no key from being withdrawn.
      const read = await tried(async () => await access.store.read());
      const snapshot = read.kind === 'done' ? read.result : undefined;
      const after = snapshot?.domains.get(domain) ?? left;
      const keys = after.keys.filter((key) => selectors.includes(key.selector));
      const wishesNow = keys.map((key) => ({ key, record: 'revoked' as const }));
      const published = await tried(async () => await publish(work, domain, wishesNow));
      const stop = published.kind === 'done' ? stopOf(published.result.result) : published;
      if (stop !== undefined) faults.push(stop);
      for (const key of keys) faults.push(...(await disable(access, domain, key)));
      if (faults.length === 0) await tell(EMERGENCY_EVENTS.done);
      const byHand = published.kind === 'done' ? handOver(published.result.result) : [];
      const others = snapshot === undefined ? [] : sharedWith(snapshot, domain, keys);
      const again = told === undefined ? [] : [told];
      const notes = [...again, ...byHand, ...others, ...consequences(after, keys, standby)];
      return { entry: after, selectors, result: together(faults), notes };
    },
    isTakeOver,
  );
  if (run.result.kind !== 'done') return run;
  const { selectors } = run;
  const confirmed = await confirmWithdrawal(work, { entry: run.entry, selectors });
  const { entry: after, result } = confirmed;
  const { notes } = run;
  if (result.kind !== 'waiting') return { entry: after, selectors, result: run.result, notes };
  const publisher = access.publisherFor(domain);
  publisher.close();
  return { entry: after, selectors, result: unseen(result, publisher.name === BY_HAND), notes };
}

/** All is done but what DNS shows: receivers still take what the thief signs. */
function unseen({ why }: { readonly why: string }, isByHand: boolean): StepResult {
  const done = 'the keys are revoked and disabled';
  if (!isByHand) {
    const missing = `${done}, but not every server shows the withdrawal yet: ${why}`;
    return { kind: 'waiting', why: missing, atMs: undefined };
  }
  const missing = `${done}, but emptying their records is left to you: ${why}`;
  const action = 'put the records into DNS as printed, then run the command again: it looks at DNS';
  return { kind: 'operator', why: missing, action };
}

export const EMERGENCY_EVENTS = { begun: 'emergency-begun', done: 'emergency-done' } as const;

/** Said again within this time without names, it is not about the keys that took over. */
const REPEAT_MS = 3_600_000;

/** What was begun longer ago and did not end is none of today's emergency. */
const RESUME_MS = 86_400_000;

interface Choice {
  /** Ids in the journal; several where several were begun and none ended. */
  readonly intents: readonly string[];
  readonly selectors: readonly string[];
  /** For the operator. */
  readonly note?: string;
}

/** The keys of an emergency that is not over; else the named ones, or all that sign or have signed. */
async function choose(
  work: StepWork,
  entry: ManifestDomain,
  named: readonly string[],
): Promise<Choice> {
  const { open, last } = await earlier(work.access, entry.domain);
  if (named.length > 0) {
    const selectors = chooseKeys(entry, named, LIVE_STATES).map((key) => key.selector);
    return { intents: [randomUUID()], selectors };
  }
  const live = entry.keys.filter((key) => key.state !== 'destroyed').map((key) => key.selector);
  const unfinished = [...new Set([...open.values()].flat())].filter((name) => live.includes(name));
  if (unfinished.length > 0) return { intents: [...open.keys()], selectors: unfinished };
  const sinceMs = work.access.clock.wallMs() - last.atMs;
  if (sinceMs < RESUME_MS) {
    // Said again, as it asks for, to see whether DNS shows the withdrawal: that may take a day.
    const unseenYet = entry.keys
      .filter(({ state, revokedAt }) => state === 'revoked' && revokedAt === undefined)
      .map((key) => key.selector)
      .filter((selector) => last.selectors.includes(selector));
    if (unseenYet.length > 0) {
      const note = `looked again at the emergency of ${isoTime(last.atMs)}; keys that took over are left alone, --selector names those in danger too`;
      return { intents: [], selectors: unseenYet, note };
    }
  }
  if (sinceMs < REPEAT_MS) {
    const message = `the emergency of ${entry.domain} was carried out at ${isoTime(last.atMs)}`;
    throw new KeysRefusal('key-emergency-done', message, {
      hint: 'if the keys that took over are in danger too, name them with --selector',
    });
  }
  const selectors = signersOf(work, entry);
  if (selectors.length > 0) return { intents: [randomUUID()], selectors };
  throw new KeysRefusal('key-choice', `no key of ${entry.domain} signs or has signed lately`, {
    hint: 'name the keys with --selector',
  });
}

/**
 * The keys that sign or have signed. One that stands in for them is among these: it may have signed,
 * and whoever got into a relay has it, unlike the one in KMS.
 */
export function signersOf(
  work: Pick<StepWork, 'fallBacks'>,
  entry: ManifestDomain,
): readonly string[] {
  return entry.keys
    .filter(
      (key) => key.state === 'active' || key.state === 'retiring' || standsIn(work, entry, key),
    )
    .map((key) => key.selector);
}

async function earlier(
  access: LifecycleAccess,
  domain: string,
): Promise<{
  readonly open: ReadonlyMap<string, readonly string[]>;
  /** The one that was done last. */
  readonly last: { readonly atMs: number; readonly selectors: readonly string[] };
}> {
  const open = new Map<string, readonly string[]>();
  let last: { atMs: number; selectors: readonly string[] } = {
    atMs: Number.NEGATIVE_INFINITY,
    selectors: [],
  };
  const sinceMs = access.clock.wallMs() - RESUME_MS;
  for await (const { event, intent, details, at } of access.journal.read({ domain })) {
    if (intent === undefined) continue;
    const selectors = (details?.selectors ?? '').split(' ');
    if (event === EMERGENCY_EVENTS.begun && Date.parse(at) >= sinceMs) open.set(intent, selectors);
    if (event !== EMERGENCY_EVENTS.done) continue;
    open.delete(intent);
    last = { atMs: Date.parse(at), selectors };
  }
  return { open, last };
}

/** None of the keys signs; an Ed25519 key that would be left alone does not either. */
function stopped(
  entry: ManifestDomain,
  selectors: readonly string[],
  force: boolean,
  nowMs: number,
): ManifestDomain {
  const after = withKeys(entry, selectors, (key) =>
    key.state === 'revoked' ? {} : { state: 'revoked', revokedAt: undefined },
  );
  const left = activeKeys(after);
  if (force || left.some((key) => familyOf(key) === 'rsa')) return after;
  const alone = left.map((key) => key.selector);
  return withRetiring(after, alone, nowMs);
}

/** The verified keys of the families that lost theirs, where DNS still shows them. */
async function switchToStandby(
  work: StepWork,
  held: LeasedDomain,
  selectors: readonly string[],
): Promise<readonly string[]> {
  const { access, wishes } = work;
  const entry = await held.write((current) => current);
  const signing = new Set(activeKeys(entry).map(familyOf));
  const lost = entry.keys.filter((key) => selectors.includes(key.selector));
  const onlyStandsIn = (key: ManifestKey) => lost.some((one) => isFallBackOf(one, key));
  const ready = { ...entry, keys: entry.keys.filter(({ state }) => state === 'verified') };
  // What was kept to stand in comes after the successors that were kept ready.
  const successors = new Map([...nextSet(ready), ...nextSet(ready, onlyStandsIn)]);
  const candidates = [...successors].flatMap(([family, key]) => {
    const isNeeded = !signing.has(family) && !selectors.includes(key.selector);
    return isNeeded ? [key] : [];
  });
  const reports = await Promise.all(
    candidates.map((key) => lookAtKey(access, entry.domain, key, wishes.seen)),
  );
  const seen = candidates.filter((_key, index) => reports[index]?.verdict === 'seen');
  const families = new Set([...signing, ...seen.map(familyOf)]);
  if (seen.length === 0 || (!families.has('rsa') && !wishes.force)) return [];
  const chosen = seen.map((key) => key.selector);
  await held.write((current) =>
    withActive(
      current,
      current.keys.filter((key) => chosen.includes(key.selector) && key.state === 'verified'),
      access.clock.wallMs(),
    ),
  );
  for (const selector of chosen) {
    await note(access, { event: 'activated', domain: entry.domain, selector });
  }
  return chosen;
}

type Tried<Result> =
  | { readonly kind: 'done'; readonly result: Result }
  | Extract<StepResult, { kind: 'failed' | 'overtaken' }>;

/** What goes wrong is told in the end, and keeps nothing else from being tried. */
async function tried<Result>(act: () => Promise<Result>): Promise<Tried<Result>> {
  try {
    return { kind: 'done', result: await act() };
  } catch (error) {
    if (!(error instanceof WaxsealError)) throw error;
    if (isLeaseLost(error)) return { kind: 'overtaken' };
    return { kind: 'failed', why: error.message, action: AGAIN };
  }
}

const AGAIN = 'run the command again; it goes on where it stopped';

async function disable(
  access: LifecycleAccess,
  domain: string,
  key: ManifestKey,
): Promise<readonly StepResult[]> {
  const { selector } = key;
  try {
    const backend = await access.connect(key.backend, 'must-exist');
    await backend.disable(storedKey(domain, key));
    await note(access, { event: 'disabled', domain, selector });
    return [];
  } catch (error) {
    const why = `the private key of ${selector} is not disabled: ${errorMessage(error)}`;
    return [{ kind: 'failed', why, action: AGAIN }];
  }
}

/** What is left to do is tried again at once where only the lease was lost. */
function together(faults: readonly StepResult[]): StepResult {
  const [first] = faults.toSorted((one, other) => rank(one) - rank(other));
  if (first === undefined || first.kind === 'done') return { kind: 'done' };
  const whys = faults.flatMap((fault) => ('why' in fault ? [fault.why] : []));
  return 'action' in first ? { ...first, why: whys.join('; ') } : first;
}

function rank({ kind }: StepResult): number {
  return kind === 'overtaken' ? 1 : 0;
}

/** Whoever has a key that several domains share can forge mail of all of them. */
function sharedWith(
  snapshot: KeyringSnapshot,
  domain: string,
  keys: readonly ManifestKey[],
): readonly string[] {
  return keys.flatMap((key) =>
    liveSharersOf(snapshot, domain, key).map(
      (other) =>
        `the same private key is ${other.key.state} as ${other.key.selector} of ${other.domain}, and is not withdrawn there: ` +
        `"waxseal keys emergency ${other.domain} --selector ${other.key.selector}" does that`,
    ),
  );
}

/** What nobody can prevent any more, said plainly. */
function consequences(
  after: ManifestDomain,
  revoked: readonly ManifestKey[],
  standby: readonly string[],
): readonly string[] {
  const { domain } = after;
  const names = revoked.map((key) => key.selector).join(', ');
  const ttlS = Math.max(0, ...revoked.map((key) => key.ttlS));
  const active = activeKeys(after).map((key) => key.selector);
  const signing =
    active.length > 0
      ? `${domain} signs with ${active.join(', ')} now${standby.length > 0 ? ' (the standby)' : ''}`
      : `mail of ${domain} is answered 451 until a new key is active: "waxseal keys rotate ${domain}"`;
  return [
    `mail under way that was signed with ${names} will fail DKIM, and may be rejected`,
    `forgeries made with the key still pass where the old record is cached: for up to ${ttlS} seconds after the servers show the new one`,
    signing,
  ];
}
