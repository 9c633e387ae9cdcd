import type { SeenReport } from '../dns/seen.ts';
import type { ManifestDomain } from '../manifest.ts';
import { probeSigner } from '../probe-signer.ts';
import { storedKey } from '../stored-key.ts';
import { withSet } from './activate-step.ts';
import { leasedCommit } from './leased-commit.ts';
import { lookAtKey, missingText, serverTexts } from './look-at-dns.ts';
import type { StepRun, StepWork } from './step-work.ts';

/**
 * Activation in one step: of a retiring key that comes back, and by force. All authoritative
 * servers are asked; `--force` goes on whatever they say, and what they say goes into the journal.
 * The keys must be able to sign here, by force too.
 *
 * @param selectors keys that are not active; at most one of each family
 * @throws KeysError `key-unusable`; KeysRefusal `keyring-changed`
 */
export async function activateAtOnce(
  work: StepWork,
  entry: ManifestDomain,
  selectors: readonly string[],
): Promise<StepRun> {
  const { access, wishes } = work;
  const { domain } = entry;
  const keys = entry.keys.filter((key) => selectors.includes(key.selector));
  for (const key of keys) {
    const backend = await access.connect(key.backend, 'must-exist');
    await probeSigner(backend, storedKey(domain, key));
  }
  const reports = new Map<string, SeenReport>();
  await Promise.all(
    keys.map(async (key) => {
      reports.set(key.selector, await lookAtKey(access, domain, key, wishes.seen));
    }),
  );
  const unseen = [...reports.values()].filter((report) => report.verdict !== 'seen');
  const notes = [...new Set([...reports.values()].flatMap((report) => report.warnings))];
  if (unseen.length > 0 && !wishes.force) {
    const why = unseen.map(missingText).join('; ');
    return { entry, result: { kind: 'operator', why, action: waysOn(domain) }, notes };
  }
  const commit = leasedCommit(access, (selector) => {
    const report = reports.get(selector);
    const isForced = report !== undefined && report.verdict !== 'seen';
    return {
      ...(wishes.reason === undefined ? {} : { reason: wishes.reason }),
      ...(isForced ? { details: { force: missingText(report) } } : {}),
    };
  });
  await commit(access, entry, withSet(work, entry, keys));
  const after = (await access.store.read()).domains.get(domain) ?? entry;
  const said = unseen.length === 0 ? [] : [...unseen.flatMap(serverTexts), forced(wishes.reason)];
  return { entry: after, result: { kind: 'done' }, notes: [...notes, ...said] };
}

function waysOn(domain: string): string {
  return `put the record back as "waxseal keys export-dns ${domain}" prints it; a server that is out of service for long is left out by --ignore-server ADDRESS --reason TEXT; --force goes on all the same, and receivers may then reject mail`;
}

function forced(reason: string | undefined): string {
  const why = reason === undefined ? 'no reason was given (--reason)' : `because: ${reason}`;
  return `activated by force, although DNS does not show it everywhere; ${why}`;
}
