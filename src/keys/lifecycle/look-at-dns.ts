import type { SeenReport, ServerAnswer } from '../dns/seen.ts';
import { KEY_STATE_ROWS } from '../key-state.ts';
import type { ManifestKey } from '../manifest.ts';
import type { LifecycleAccess, SeenChoice } from './lifecycle-access.ts';

/** Looks whether DNS shows what the state of a key asks for. */
export async function lookAtKey(
  access: Pick<LifecycleAccess, 'seen'>,
  domain: string,
  key: ManifestKey,
  choice?: SeenChoice,
): Promise<SeenReport> {
  const kind = KEY_STATE_ROWS[key.state].record;
  const { selector } = key;
  const record = kind === 'none' ? { kind } : { kind, key };
  // A record that goes may stay in caches for its TTL.
  const more = kind === 'none' ? { oldTtlS: key.ttlS, ...choice } : choice;
  return await access.seen({ domain, selector, record }, more);
}

/** True when every authoritative server has the record, whatever resolvers still hold. */
export function seenByServers(report: SeenReport): boolean {
  const counted = report.servers.filter((server) => server.verdict !== 'ignored');
  return counted.length > 0 && counted.every((server) => server.verdict === 'seen');
}

/** What is missing where: one line for each server that does not show the record. */
export function missingText(report: SeenReport): string {
  const others = [...report.servers, ...report.resolvers].filter(
    ({ verdict }) => verdict !== 'seen' && verdict !== 'ignored',
  );
  const lines = others.slice(0, MAX_SHOWN).map(serverText);
  const more = others.length > MAX_SHOWN ? [`${others.length - MAX_SHOWN} more`] : [];
  const missing = [...lines, ...more].join('; ');
  return `${report.name}: ${missing === '' ? report.summary : missing}`;
}

const MAX_SHOWN = 8;
const MAX_TOLD = 30;

/** What every server said, seen or not: one line for each. */
export function serverTexts(report: SeenReport): readonly string[] {
  const all = [...report.servers, ...report.resolvers];
  if (all.length === 0) return [`${report.name}: ${report.summary}`];
  const more = all.length > MAX_TOLD ? [`${all.length - MAX_TOLD} more`] : [];
  const lines = [...all.slice(0, MAX_TOLD).map(serverText), ...more];
  return lines.map((line) => `${report.name}: ${line}`);
}

export function serverText(server: ServerAnswer): string {
  return `${server.host} (${server.address}): ${server.verdict}${server.detail === '' ? '' : `, ${server.detail}`}`;
}
