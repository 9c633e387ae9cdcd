import { getServers } from 'node:dns';
import type { Command } from 'commander';
import { systemClock } from '../base/clock.ts';
import { StubResolver } from '../base/resolver.ts';
import { resolverTxtLookup } from '../keys/txt-lookup.ts';
import type { CliContext } from './context.ts';
import { addKeysActivate } from './keys-activate.ts';
import type { AddKeysCommand, KeysParts, KeysSettings } from './keys-command.ts';
import { addKeysCreate } from './keys-create.ts';
import { addKeysDns } from './keys-dns.ts';
import { addKeysImport } from './keys-import.ts';
import { SYSTEM_IMPORT_PARTS } from './keys-import-parts.ts';
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
  ...SYSTEM_IMPORT_PARTS,
  clock: systemClock,
  openLookup: ({ dns }) => {
    const resolver = new StubResolver({
      servers: dns.servers.length > 0 ? dns.servers : getServers(),
      timeoutMs: dns.timeoutMs,
      attempts: dns.attempts,
      cacheEntries: 100,
      maxTtlS: 60, // one run asks each name once
      maxNegativeTtlS: 60,
      clock: systemClock,
    });
    return { ...resolverTxtLookup(resolver), close: () => resolver.close() };
  },
};

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
