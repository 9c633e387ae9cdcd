import { getServers } from 'node:dns';
import type { Command } from 'commander';
import { systemClock } from '../base/clock.ts';
import { StubResolver } from '../base/resolver.ts';
import { authoritativeRecords } from '../keys/import/standing-record.ts';
import { resolverTxtLookup } from '../keys/txt-lookup.ts';
import type { CliContext } from './context.ts';
import { addKeysActivate } from './keys-activate.ts';
import type { AddKeysCommand, KeysParts, KeysSettings } from './keys-command.ts';
import { addKeysCreate } from './keys-create.ts';
import { addKeysDns } from './keys-dns.ts';
import { addKeysImport } from './keys-import.ts';
import { addKeysList } from './keys-list.ts';

const HELP = `
The way of a key:
  1. waxseal keys create example.com     makes it; it signs nothing yet
  2. put the printed TXT record into DNS ("waxseal keys dns example.com" prints it again)
  3. waxseal keys activate example.com   looks at DNS; from the next reload on it signs
`;

/** In the order in which help shows them. */
const COMMANDS: readonly AddKeysCommand[] = [
  addKeysCreate,
  addKeysImport,
  addKeysDns,
  addKeysActivate,
  addKeysList,
];

const SYSTEM_PARTS: KeysParts = {
  clock: systemClock,
  openLookup: ({ dns }) => {
    const resolver = openResolver(dns);
    return { ...resolverTxtLookup(resolver), close: () => resolver.close() };
  },
  openStanding: ({ dns }) => {
    const resolver = openResolver(dns);
    const { timeoutMs, attempts } = dns;
    const records = authoritativeRecords({ resolver, clock: systemClock, timeoutMs, attempts });
    return { records, close: () => resolver.close() };
  },
};

function openResolver(dns: KeysSettings['dns']): StubResolver {
  return new StubResolver({
    servers: dns.servers.length > 0 ? dns.servers : getServers(),
    timeoutMs: dns.timeoutMs,
    attempts: dns.attempts,
    cacheEntries: 100,
    maxTtlS: 60, // one run asks each name once
    maxNegativeTtlS: 60,
    clock: systemClock,
  });
}

/**
 * Mounts `keys create|import|dns|activate|list`.
 *
 * @param parts clock and DNS look-up; the machine's own by default
 */
export function registerKeys(
  program: Command,
  context: CliContext<KeysSettings>,
  parts: KeysParts = SYSTEM_PARTS,
): void {
  const keys = program
    .command('keys')
    .summary('make, import, activate and show DKIM keys')
    .description('DKIM keys: make them, put them into DNS, let them sign.')
    .addHelpText('after', HELP);
  for (const add of COMMANDS) add(keys, context, parts);
}
