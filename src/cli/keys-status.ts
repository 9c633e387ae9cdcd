import { printable } from '../base/printable.ts';
import type { SeenReport } from '../keys/dns/seen.ts';
import { KEY_STATE_ROWS } from '../keys/key-state.ts';
import { timeOf } from '../keys/lifecycle/key-changes.ts';
import { lookAtKey, serverText } from '../keys/lifecycle/look-at-dns.ts';
import type { NextStep } from '../keys/lifecycle/next-steps.ts';
import { daysText } from '../keys/lifecycle/policy.ts';
import { stepsNow } from '../keys/lifecycle/step-work.ts';
import type { ManifestDomain, ManifestKey } from '../keys/manifest.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { type AddKeysCommand, domainArgument } from './keys-command.ts';
import {
  durationArgument,
  entryOf,
  type LifecycleRun,
  runLifecycleCommand,
} from './keys-lifecycle.ts';
import { nextJson, nextTexts, timeText } from './keys-step-report.ts';
import { shownKey } from './keys-text.ts';
import { LiveScreen } from './live-screen.ts';

const HELP = `
For each key: since when it is in use, what every authoritative server says of its record now, and under each
domain what comes next and when. Rows are written as they come; for many domains --no-dns is much faster.
With --json each domain is one object on one line.

--watch redraws the window, and asks for no more domains than fit into it; where the output is no terminal, one
table follows the other. Ctrl-C ends it.

Exit codes: 0 done, 1 failed, 2 wrong command line or configuration, 3 the domain is not in the keyring,
130 ended by Ctrl-C
`;

interface StatusOptions {
  readonly dns: boolean;
  readonly all: boolean;
  readonly watch?: number | true;
  readonly json: boolean;
}

const DEFAULT_WATCH_MS = 10_000;
/** Domains whose servers are asked at the same time. */
const ASKED_AT_ONCE = 8;

/** `keys status [DOMAIN]` */
export const addKeysStatus: AddKeysCommand = (parent, context, parts) => {
  parent
    .command('status')
    .summary('show each key, what DNS says of it, and what comes next')
    .description('Shows keys, what DNS says of their records now, and the next step with its time.')
    .argument('[domain]', 'only this domain', domainArgument)
    .option('--no-dns', 'do not ask DNS')
    .option('--all', 'destroyed keys too', false)
    .option('--watch [time]', 'again and again, every 10s by default', durationArgument)
    .option('--json', 'print JSON, one object a line', false)
    .addHelpText('after', HELP)
    .action(async (domain: string | undefined, options: StatusOptions) => {
      const named = { json: options.json, command: 'keys status', readOnly: true };
      await runLifecycleCommand(context, parts, named, async (run) => {
        if (options.watch !== undefined) return await watch(run, domain, options);
        const tell = (text: string) => context.stderr(`${text}\n`);
        for await (const text of statusTexts(run, domain, options, tell)) context.stdout(text);
        return EXIT.ok;
      });
    });
};

/** On a terminal the window is drawn anew each time; elsewhere one table follows the other. */
async function watch(
  run: LifecycleRun,
  domain: string | undefined,
  options: StatusOptions,
): Promise<ExitCode> {
  const { access, context } = run;
  const screen = context.isTty && !options.json ? new LiveScreen(context) : undefined;
  const everyMs =
    typeof options.watch === 'number' ? Math.max(1000, options.watch) : DEFAULT_WATCH_MS;
  screen?.draw(['asking the name servers …']);
  for (let current = run; ; ) {
    const lines = [`every ${daysText(everyMs)}, until Ctrl-C; ${timeText(access.clock.wallMs())}`];
    const tell = (text: string) =>
      screen === undefined ? context.stderr(`${text}\n`) : lines.push(text);
    for await (const text of statusTexts(current, domain, options, tell)) {
      if (screen === undefined) context.stdout(text);
      else lines.push(...text.trimEnd().split('\n'));
      // What would not be seen need not be asked for.
      if (screen?.isFilledBy(lines) === true) break;
    }
    screen?.draw(lines);
    await access.sleep(everyMs);
    if (access.interruption?.signal.aborted === true) return EXIT.ok;
    current = { ...run, snapshot: await access.store.read() };
  }
}

interface DomainStatus {
  readonly entry: ManifestDomain;
  readonly keys: readonly KeyStatus[];
  readonly next: readonly NextStep[];
}

interface KeyStatus {
  readonly key: ManifestKey;
  readonly dns: SeenReport | undefined;
  /** Relays that cannot use it, and why. */
  readonly complaints: readonly string[];
}

/** One text for the heading, and one for each domain, as they come. @param tell that there is none */
async function* statusTexts(
  run: LifecycleRun,
  domain: string | undefined,
  options: StatusOptions,
  tell: (text: string) => void,
): AsyncGenerator<string> {
  const entries =
    domain === undefined
      ? [...run.snapshot.domains.values()].sort((one, other) =>
          one.domain < other.domain ? -1 : 1,
        )
      : [entryOf(run, domain)];
  const widths = columnWidths(entries);
  if (!run.json && entries.length > 0) yield `${line(HEADING, widths)}\n`;
  for (let start = 0; start < entries.length; start += ASKED_AT_ONCE) {
    // Nobody reads on: ten thousand domains would be asked about for minutes.
    if (run.access.interruption?.signal.aborted === true) break;
    const some = entries.slice(start, start + ASKED_AT_ONCE);
    const states = await Promise.all(some.map((entry) => statusOf(run, entry, options)));
    for (const state of states) {
      yield run.json ? `${JSON.stringify(statusJson(state))}\n` : text(run, state, widths);
    }
  }
  const { relays } = run.work(domain ?? '');
  for (const text of await relays.wrongClocks()) tell(`warning: ${printable(text, 500)}`);
  if (entries.length === 0) tell('the keyring is empty');
}

async function statusOf(
  run: LifecycleRun,
  entry: ManifestDomain,
  options: StatusOptions,
): Promise<DomainStatus> {
  const shown = entry.keys.filter((key) => options.all || key.state !== 'destroyed');
  const work = run.work(entry.domain);
  const { complaints } = await work.relays.of(entry.domain);
  const keys = await Promise.all(
    shown.map(async (key): Promise<KeyStatus> => {
      const isAsked = options.dns && KEY_STATE_ROWS[key.state].record !== 'none';
      const dns = isAsked ? await lookAtKey(run.access, entry.domain, key) : undefined;
      return { key, dns, complaints: complaints.get(key.selector) ?? [] };
    }),
  );
  return { entry, keys, next: await stepsNow(work, entry) };
}

/** Of relays, under a key; all of them often say the same. */
const SHOWN_COMPLAINTS = 3;
const HEADING = ['DOMAIN', 'SELECTOR', 'ALGORITHM', 'BACKEND', 'STATE', 'AGE', 'DNS'];
const AGE_WIDTH = 'xxx.x minutes'.length;

/** From the manifests alone, so that rows need not wait for one another. */
function columnWidths(entries: readonly ManifestDomain[]): readonly number[] {
  const widths = HEADING.map((title) => title.length);
  const widen = (column: number, cell: string) => {
    widths[column] = Math.max(widths[column] ?? 0, cell.length);
  };
  for (const { domain, keys } of entries) {
    widen(0, domain);
    for (const key of keys) {
      [key.selector, key.algorithm, key.backend, key.state].forEach((cell, index) => {
        widen(index + 1, cell);
      });
    }
  }
  widths[5] = AGE_WIDTH;
  return widths;
}

function text(run: LifecycleRun, status: DomainStatus, widths: readonly number[]): string {
  const { domain } = status.entry;
  const nowMs = run.access.clock.wallMs();
  const lines = status.keys.flatMap(({ key, dns, complaints }) => {
    const { selector, algorithm, backend, state } = key;
    const sinceMs = timeOf(key.activatedAt ?? key.createdAt) ?? nowMs;
    const age = daysText(Math.max(0, nowMs - sinceMs));
    const cells = [domain, selector, algorithm, backend, state, age, dnsCell(dns)];
    return [line(cells, widths), ...dnsLines(dns), ...complaintLines(complaints)];
  });
  if (status.keys.length === 0) lines.push(`${domain}  (no keys)`);
  lines.push(...nextTexts(domain, status.next).map((text) => `  next: ${text}`));
  return `${lines.map((text) => printable(text, 2000)).join('\n')}\n`;
}

function dnsCell(dns: SeenReport | undefined): string {
  if (dns === undefined) return '-';
  const seen = dns.servers.filter((server) => server.verdict === 'seen').length;
  const count = dns.servers.length;
  return `${dns.verdict} (${seen} of ${count} ${count === 1 ? 'server' : 'servers'})`;
}

/** Servers and resolvers that say something else. */
function dnsLines(dns: SeenReport | undefined): readonly string[] {
  return [...(dns?.servers ?? []), ...(dns?.resolvers ?? [])]
    .filter(({ verdict }) => verdict !== 'seen')
    .map((server) => `    ${serverText(server)}`);
}

function complaintLines(complaints: readonly string[]): readonly string[] {
  const shown = complaints.slice(0, SHOWN_COMPLAINTS);
  const lines = shown.map((text) => `    a relay cannot use it: ${text}`);
  const more = complaints.length - shown.length;
  return more > 0 ? [...lines, `    and ${more} more`] : lines;
}

function line(cells: readonly string[], widths: readonly number[]): string {
  return cells
    .map((cell, column) => cell.padEnd(widths[column] ?? 0))
    .join('  ')
    .trimEnd();
}

function statusJson({ entry, keys, next }: DomainStatus) {
  return {
    domain: entry.domain,
    keys: keys.map(({ key, dns = null, complaints }) => ({ ...shownKey(key), dns, complaints })),
    next: next.map(nextJson),
  };
}
