import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../../src/base/clock.ts';
import type { KeysParts, KeysSettings } from '../../src/cli/keys-command.ts';
import { Publishers, publisherParts } from '../../src/keys/dns/publishers.ts';
import { checkSeen, type SeenExpectation } from '../../src/keys/dns/seen.ts';
import { seenOptions } from '../../src/keys/dns/seen-options.ts';
import type { SeenChoice } from '../../src/keys/lifecycle/lifecycle-access.ts';
import { processHolder } from '../../src/keys/lifecycle/process-holder.ts';
import type { AheadClock } from './ahead-clock.ts';
import { TxtTable } from './keyring.ts';
import { type Ran, runKeysCommandLine } from './run-keys.ts';

/** Between two looks at DNS, which keeps the machine's time. */
const PAUSE_MS = 20;

/**
 * Runs `waxseal keys ARGS` with everything real, store, publisher and DNS, but on a clock that the
 * test moves: what the command waits for passes on it at once. What talks to servers (time-outs, the
 * time in TSIG) is on the machine's own.
 */
export async function runCompressed(
  settings: KeysSettings,
  clock: AheadClock,
  args: readonly string[],
): Promise<Ran> {
  const parts: KeysParts = {
    clock,
    openLookup: () => Object.assign(new TxtTable(), { close: () => {} }),
    openLifecycle: async ({ dns, publishers: rows = [] }, { command, progress, keyring }) => {
      const publishers = new Publishers(rows, publisherParts(systemClock));
      const seen = seenOptions(dns, [], systemClock);
      const access = {
        ...keyring,
        publisherFor: (domain: string) => publishers.publisherFor(domain),
        seen: async (expectation: SeenExpectation, choice?: SeenChoice) =>
          await checkSeen(expectation, { ...seen, ...choice }),
        caller: async () => 'operator',
        command,
        holder: await processHolder(),
        sleep: async (ms: number) => {
          clock.pass(ms);
          await sleep(PAUSE_MS);
        },
        progress,
      };
      return { access, close: () => publishers.close() };
    },
  };
  return await runKeysCommandLine(args, async () => settings, parts);
}
