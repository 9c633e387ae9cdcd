import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A TXT record, its strings joined. */
export interface ZoneText {
  readonly name: string;
  readonly ttlS: number;
  readonly value: string;
}

/** One change of a zone, as its server keeps it for secondaries (RFC 1995). */
export interface ZoneChange extends ZoneText {
  readonly kind: 'added' | 'removed';
}

/**
 * The TXT records of a zone as it stands (AXFR).
 *
 * @param dig path of the program, see `requirePeer`
 */
export async function zoneTexts(dig: string, port: number, zone: string): Promise<ZoneText[]> {
  return (await transfer(dig, port, zone, 'AXFR')).flatMap(({ text }) => text ?? []);
}

/** Every TXT record that was ever added or removed since serial 1 (IXFR), in order. */
export async function zoneHistory(dig: string, port: number, zone: string): Promise<ZoneChange[]> {
  const [, ...rows] = await transfer(dig, port, zone, 'IXFR=1');
  const changes: ZoneChange[] = [];
  // After the newest SOA come pairs: an old SOA and what goes, a new SOA and what comes.
  let kind: ZoneChange['kind'] = 'added';
  for (const { text } of rows) {
    if (text === undefined) kind = kind === 'added' ? 'removed' : 'added';
    else changes.push({ kind, ...text });
  }
  return changes;
}

/** SOA (no `text`) and TXT records, in the order of the transfer. */
async function transfer(
  dig: string,
  port: number,
  zone: string,
  type: string,
): Promise<{ readonly text?: ZoneText }[]> {
  const how = ['+tcp', '+nocomments', '+nocmd', '+nostats', '+onesoa'];
  const where = ['@127.0.0.1', '-p', String(port), zone, type];
  const { stdout } = await run(dig, [...where, ...how], { maxBuffer: 64 * 1024 * 1024 });
  return stdout.split('\n').flatMap((line) => {
    const match = /^(\S+)\.\s+(\d+)\s+IN\s+(SOA|TXT)\s+(.*)$/.exec(line);
    if (match === null) return [];
    const [, name = '', ttl, kind, data = ''] = match;
    if (kind === 'SOA') return [{}];
    const strings = [...data.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, string = '']) => string);
    const value = strings.join('').replace(/\\(.)/g, '$1');
    return [{ text: { name: name.toLowerCase(), ttlS: Number(ttl), value } }];
  });
}
