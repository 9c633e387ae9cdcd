import type { PublishResult } from '../dns/publisher.ts';
import { KEY_STATE_ROWS } from '../key-state.ts';
import type { ManifestKey } from '../manifest.ts';
import { isoTime, withKeys } from './key-changes.ts';
import { note } from './lifecycle-access.ts';
import type { StepResult } from './step-outcome.ts';
import { type StepRun, type StepTarget, type StepWork, underLeaseIn } from './step-work.ts';
import { type RecordWish, writeRecords } from './write-records.ts';

/** created → published: the record is written by a publisher, or handed to a person. */
export async function publishStep(work: StepWork, target: StepTarget): Promise<StepRun> {
  const isCreated = (key: ManifestKey) => key.state === 'created';
  return await underLeaseIn(work, target, isCreated, async (held, keys) => {
    const wishes = keys.map((key): RecordWish => ({ key, record: 'key' }));
    const { result, publisher } = await publish(work, held.entry.domain, wishes);
    const stop = stopOf(result);
    if (stop !== undefined) {
      return { entry: held.entry, result: otherNames(stop, held.entry.domain), notes: [] };
    }
    const publishedAt = isoTime(work.access.clock.wallMs());
    const selectors = keys.map((key) => key.selector);
    const entry = await held.write((current) =>
      withKeys(current, selectors, () => ({ state: 'published', publishedAt, publisher })),
    );
    for (const selector of selectors) {
      await note(work.access, { event: 'published', domain: entry.domain, selector });
    }
    return { entry, result: { kind: 'done' }, notes: handOver(result) };
  });
}

/**
 * Writes the records of keys in later states again, as their states ask: one that we wrote may have
 * been lost with a zone. No state changes.
 */
export async function republish(work: StepWork, target: StepTarget): Promise<StepRun> {
  const hasRecord = (key: ManifestKey) => KEY_STATE_ROWS[key.state].record !== 'none';
  return await underLeaseIn(work, target, hasRecord, async (held, keys) => {
    const wishes = keys.map(
      (key): RecordWish => ({ key, record: KEY_STATE_ROWS[key.state].record }),
    );
    const { result } = await publish(work, held.entry.domain, wishes);
    const stop = stopOf(result) ?? { kind: 'done' };
    return { entry: held.entry, result: stop, notes: handOver(result) };
  });
}

/** A foreign record need not go: other keys get other names. */
function otherNames(stop: StepResult, domain: string): StepResult {
  if (stop.kind !== 'operator') return stop;
  const action = `${stop.action}; or "waxseal keys abort ${domain}" and rotate again, which takes other names`;
  return { ...stop, action };
}

/** Has records written by the domain's publisher. To be called under the domain's lease. */
export async function publish(
  work: StepWork,
  domain: string,
  wishes: readonly RecordWish[],
): Promise<{ readonly result: PublishResult; readonly publisher: string }> {
  const publisher = work.access.publisherFor(domain);
  try {
    const { adopt } = work.wishes;
    const result = await writeRecords(work.access, publisher, domain, wishes, { adopt });
    return { result, publisher: publisher.name };
  } finally {
    publisher.close();
  }
}

/** Why the step cannot go on; undefined when the records are written or handed over. */
export function stopOf(result: PublishResult): StepResult | undefined {
  switch (result.kind) {
    case 'written':
    case 'by-hand':
      return undefined;
    case 'in-the-way': {
      const found = result.found.slice(0, 5).join(' | ');
      const why = `DNS holds something that Waxseal did not write: ${found === '' ? '(nothing)' : found}`;
      return { kind: 'operator', why, action: result.hint };
    }
    case 'failed':
      return { kind: 'failed', why: result.reason, action: result.hint };
  }
}

/** What a person has to do, where one has to. */
export function handOver(result: PublishResult): readonly string[] {
  return result.kind === 'by-hand' ? [result.instructions] : [];
}
