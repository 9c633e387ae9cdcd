import assert from 'node:assert/strict';
import type { KeysSettings } from '../../src/cli/keys-command.ts';
import type { ManifestDomain } from '../../src/keys/manifest.ts';
import type { AheadClock } from './ahead-clock.ts';
import type { CliPlace } from './cli-place.ts';
import { runCompressed } from './compressed-cli.ts';

/** How the commands of a load lab run, and how time passes for them. */
export interface LoadCommands {
  /** On the clock that they go by. */
  nowMs(): number;
  /** Lets time pass, in no time. No command may be under way. */
  pass(ms: number): Promise<void>;
  /** Runs `waxseal keys ARGS`, which is to succeed. */
  run(args: readonly string[]): Promise<void>;
  /** Runs `waxseal keys rotate ARGS` until the new keys are active. */
  rotate(args: readonly string[]): Promise<void>;
}

export interface LoadCommandsParts {
  readonly place: CliPlace;
  readonly settings: KeysSettings;
  /** Moved on with `pass`. */
  readonly clock: AheadClock;
}

export type OpenLoadCommands = (parts: LoadCommandsParts) => Promise<LoadCommands>;

/** In this process, on a clock that is ahead; what they wait for passes on it at once. */
export const commandsInProcess: OpenLoadCommands = async ({ settings, clock }) => {
  const run = async (args: readonly string[]) => {
    const { code, err } = await runCompressed(settings, clock, args);
    assert.equal(code, 0, `${args.join(' ')}: ${err}`);
  };
  return {
    nowMs: () => clock.wallMs(),
    pass: async (ms) => clock.pass(ms),
    run,
    rotate: async (args) => await run(['rotate', ...args]),
  };
};

/** Of the command line. */
const WAITING = 4;
/** What a rotation waits for: negative TTLs, permissions that spread. */
const WAIT_MS = 300_000;
/** More often nothing is waited for. */
const MOST_WAITS = 10;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/**
 * As processes, which know no other clock than the machine's: so it is the times in the manifest
 * that move, into the past. Servers and relays keep the time of the machine.
 */
export const commandsAsProcesses: OpenLoadCommands = async ({ place, settings, clock }) => {
  await place.configure({ ...settings });
  const pass = async (ms: number) => {
    clock.pass(ms);
    const { domains } = await place.store.read();
    for (const domain of domains.keys()) await place.edit(domain, (entry) => aged(entry, ms));
  };
  return {
    nowMs: () => Date.now(),
    pass,
    run: async (args) => {
      const { code, stderr } = await place.run(['keys', ...args]);
      assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
    },
    rotate: async (args) => {
      for (let wait = 0; ; wait += 1) {
        const { code, stderr } = await place.run(['keys', 'rotate', ...args, '--step']);
        if (code === 0) return;
        assert.equal(code, WAITING, stderr);
        assert.ok(wait < MOST_WAITS, stderr);
        await pass(WAIT_MS);
      }
    },
  };
};

function aged(entry: ManifestDomain, ms: number): ManifestDomain {
  const text = JSON.stringify(entry, (_name, value) =>
    typeof value === 'string' && TIME.test(value)
      ? new Date(Date.parse(value) - ms).toISOString()
      : value,
  );
  return JSON.parse(text) as ManifestDomain;
}
