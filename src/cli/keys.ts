import { getServers } from 'node:dns';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { systemClock } from '../base/clock.ts';
import { StubResolver } from '../base/resolver.ts';
import { Publishers, publisherParts } from '../keys/dns/publishers.ts';
import { checkSeen } from '../keys/dns/seen.ts';
import { seenOptions } from '../keys/dns/seen-options.ts';
import type { LifecycleAccess } from '../keys/lifecycle/lifecycle-access.ts';
import { processHolder } from '../keys/lifecycle/process-holder.ts';
import { resolverTxtLookup } from '../keys/txt-lookup.ts';
import { awsCallerName, callerName } from './caller-name.ts';
import type { CliContext } from './context.ts';
import { listenForEarlyEnd } from './interruption.ts';
import { addKeysAbort } from './keys-abort.ts';
import { addKeysActivate } from './keys-activate.ts';
import { addKeysCancelDestroy } from './keys-cancel-destroy.ts';
import type { AddKeysCommand, KeysParts, KeysSettings } from './keys-command.ts';
import { addKeysCreate } from './keys-create.ts';
import { addKeysDestroy } from './keys-destroy.ts';
import { addKeysDns } from './keys-dns.ts';
import { addKeysEmergency } from './keys-emergency.ts';
import { addKeysHistory } from './keys-history.ts';
import { addKeysImport } from './keys-import.ts';
import { SYSTEM_IMPORT_PARTS } from './keys-import-parts.ts';
import { addKeysList } from './keys-list.ts';
import { addKeysOrphans } from './keys-orphans.ts';
import { addKeysPublish } from './keys-publish.ts';
import { addKeysRetire } from './keys-retire.ts';
import { addKeysRevoke } from './keys-revoke.ts';
import { addKeysRollback } from './keys-rollback.ts';
import { addKeysRotate } from './keys-rotate.ts';
import { addKeysStatus } from './keys-status.ts';
import { addKeysTest } from './keys-test.ts';
import { addKeysVerify } from './keys-verify.ts';

const HELP = `
New keys for a domain, the first ones too, until they sign:
     waxseal keys rotate example.com
  and from a scheduled job, all that falls due in all domains: waxseal keys rotate --due --step

The same, step by step:
  1. waxseal keys create example.com     makes the keys; nothing signs with them yet
  2. waxseal keys publish example.com    has their TXT records written, or says what to write
  3. waxseal keys verify example.com     waits until DNS shows them everywhere
  4. waxseal keys activate example.com   relays sign with them within seconds; the old ones retire
  5. waxseal keys revoke example.com     a week later: the old records become empty
  6. waxseal keys destroy example.com --reason "…"   a month later

Is a private key in wrong hands? waxseal keys emergency example.com --reason "…"
`;

/** In the order in which help shows them. */
const COMMANDS: readonly AddKeysCommand[] = [
  addKeysRotate,
  addKeysStatus,
  addKeysList,
  addKeysDns,
  addKeysTest,
  addKeysHistory,
  addKeysCreate,
  addKeysImport,
  addKeysPublish,
  addKeysVerify,
  addKeysActivate,
  addKeysRetire,
  addKeysRevoke,
  addKeysDestroy,
  addKeysCancelDestroy,
  addKeysAbort,
  addKeysRollback,
  addKeysEmergency,
  addKeysOrphans,
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
  listenForEarlyEnd,
  openLifecycle: async (settings, { command, progress, keyring, earlyEnd }) => {
    const publishers = new Publishers(settings.publishers ?? [], publisherParts(systemClock));
    const seen = seenOptions(settings.dns, getServers(), systemClock);
    const access: LifecycleAccess = {
      ...keyring,
      publisherFor: (domain) => publishers.publisherFor(domain),
      seen: async (expectation, choice) => await checkSeen(expectation, { ...seen, ...choice }),
      caller: async () => callerName(),
      command,
      holder: await processHolder(),
      interruption: earlyEnd,
      sleep: async (ms) => await sleepUnless(earlyEnd.signal, ms),
      progress,
    };
    const awsCaller = async () => await awsCallerName(settings.kms);
    return { access, awsCaller, close: () => publishers.close() };
  },
};

/** Waits, and no longer than until the signal. */
async function sleepUnless(signal: AbortSignal, ms: number): Promise<void> {
  await sleep(ms, undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}

/**
 * Mounts the commands under `keys`.
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
    .summary('make, rotate, import and show DKIM keys')
    .description('DKIM keys: make them, put them into DNS, let them sign.')
    .addHelpText('after', HELP);
  for (const add of COMMANDS) add(keys, context, parts);
}
