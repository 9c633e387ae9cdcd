import { BY_HAND } from '../dns/publisher.ts';
import { KEY_STATE_ROWS } from '../key-state.ts';
import type { ManifestDomain, ManifestKey } from '../manifest.ts';
import { activateAtOnce } from './activate-at-once.ts';
import { activateStep } from './activate-step.ts';
import { relayWait } from './fresh-steps.ts';
import { publishStep } from './publish-step.ts';
import type { StepResult } from './step-outcome.ts';
import type { StepRun, StepWork } from './step-work.ts';
import { verifyStep } from './verify-step.ts';

/**
 * `keys activate`: no step can be skipped by accident. Keys whose records are for a person to write
 * count as published, since `create` has shown them; then the records must be seen everywhere, the
 * time for which caches may hold an older answer must be over, and relays must be able to use the
 * keys. What is not so yet is told, and the same command goes on from there. A retiring key that comes
 * back, alone or with fresh ones, must be seen everywhere too.
 *
 * @param selectors keys that are not active, one of a family
 */
export async function activateByHand(
  work: StepWork,
  start: ManifestDomain,
  selectors: readonly string[],
): Promise<StepRun> {
  let entry = start;
  let notes: readonly string[] = [];
  const inState = (state: ManifestKey['state']) =>
    entry.keys
      .filter((key) => key.state === state && selectors.includes(key.selector))
      .map((key) => key.selector);
  const stopped = (result: StepResult): StepRun => ({ entry, result, notes });
  const created = inState('created');
  if (created.length > 0) {
    const refusal = refusalToPublish(work, entry.domain, created);
    if (refusal !== undefined) return stopped(refusal);
    const published = await publishStep(work, { entry, selectors: created });
    ({ entry } = published);
    if (published.result.kind !== 'done') return stopped(published.result);
  }
  const published = inState('published');
  if (published.length > 0) {
    const verified = await verifyStep(work, { entry, selectors: published });
    ({ entry, notes } = verified);
    if (verified.result.kind !== 'done') return stopped(verified.result);
  }
  const keys = entry.keys.filter((key) => selectors.includes(key.selector));
  const { complaints: relays } = await work.relays.of(entry.domain);
  const facts = { relays, usableAtOnce: work.usableAtOnce };
  const wait = relayWait(keys, work.policy, work.access.clock.wallMs(), facts);
  if (wait !== undefined) return stopped({ kind: 'waiting', ...wait });
  const activated = keys.every((key) => KEY_STATE_ROWS[key.state].fresh)
    ? await activateStep(work, { entry, selectors })
    : await activateAtOnce(work, entry, selectors);
  return { ...activated, notes: [...new Set([...notes, ...activated.notes])] };
}

function refusalToPublish(
  { access }: StepWork,
  domain: string,
  created: readonly string[],
): StepResult | undefined {
  const publisher = access.publisherFor(domain);
  publisher.close();
  if (publisher.name === BY_HAND) return undefined;
  const why = `not published yet: ${created.join(', ')}`;
  const action = `"waxseal keys publish ${domain}" has its record written; "waxseal keys rotate ${domain}" takes all steps`;
  return { kind: 'operator', why, action };
}
