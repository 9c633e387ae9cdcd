import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { BackendName } from '../../src/keys/backend-names.ts';
import { DAY_MS } from '../../src/keys/lifecycle/policy.ts';
import { commandsAsProcesses, commandsInProcess, type OpenLoadCommands } from './load-commands.ts';
import { COPIED_ACCESS_KEY_ID, type CopiedReplica, type LoadLab } from './load-lab.ts';
import type { LogRecord } from './waxseal.ts';

/** A process takes longer than a call, and the job has less to do each time. */
const PROCESS_EVERY_MS = 4 * DAY_MS;
/** What one call to Sign takes, on the wire and in KMS. */
const SIGN_MS = 5;

/** What is special about a rotation under load with keys in one back end. */
export interface LoadBackend {
  readonly name: BackendName;
  readonly commands: OpenLoadCommands;
  /** How often the scheduled job runs until the old keys are withdrawn, on the clock of the commands. */
  readonly jobEveryMs: number;
  /** Messages that each replica takes at least in each part of the rotation. */
  readonly some: number;
  /** Before the load begins. */
  prepare?(lab: LoadLab): void;
  /**
   * Sees to it that a relay with a copy of the new manifest cannot use its keys yet. Absent: the
   * manifest is all that it needs.
   */
  keepFrom?(lab: LoadLab, copied: CopiedReplica, fresh: readonly string[]): KeptKeys;
  /** Fails unless the destroyed keys' private halves are gone, and no others. */
  assertGone(
    lab: LoadLab,
    keys: { old: readonly string[]; fresh: readonly string[] },
  ): Promise<void>;
  /** Fails unless the relays asked KMS as often as they should, and never too fast. */
  assertCalls?(lab: LoadLab): void;
}

/** Keys that a relay knows and cannot use. */
export interface KeptKeys {
  /** It has said so. */
  isTold(): boolean;
  release(): Promise<void>;
}

const file: LoadBackend = {
  name: 'file',
  commands: commandsInProcess,
  jobEveryMs: DAY_MS / 2,
  some: 100,
  keepFrom: (_lab, copied) => ({
    isTold: () => copied.events('keyring-trouble').length > 0,
    release: async () => await copied.copy('private keys'),
  }),
  assertGone: async ({ settings, domain }, { fresh }) => {
    const files = await readdir(join(settings.keys.dir, 'private', domain));
    assert.deepEqual(
      files.sort(),
      fresh.map((selector) => `${selector}.key`),
    );
  },
};

const kmsEnvelope: LoadBackend = {
  name: 'kms-envelope',
  commands: commandsAsProcesses,
  jobEveryMs: PROCESS_EVERY_MS,
  some: 25,
  /** Its role may not decrypt them yet. */
  keepFrom: ({ kms }, copied, fresh) => {
    kms.conditions.push(
      ({ operation, accessKeyId, context: { selector = '' } }) =>
        operation !== 'Decrypt' ||
        accessKeyId !== COPIED_ACCESS_KEY_ID ||
        !fresh.includes(selector),
    );
    return {
      isTold: () => copied.events('keyring-trouble').length > 0,
      release: async () => {
        kms.conditions.length = 0;
      },
    };
  },
  assertGone: async (lab, { fresh }) => {
    const wrapped = (await lab.keys()).filter(({ material }) => material?.ciphertext !== undefined);
    assert.deepEqual(wrapped.map(({ selector }) => selector).sort(), fresh);
    for (const { usage, state } of lab.kms.account.keysIn(lab.kms.region().name)) {
      assert.deepEqual({ usage, state }, { usage: 'ENCRYPT_DECRYPT', state: 'Enabled' });
    }
  },
  assertCalls: ({ kms, load }) => {
    assert.equal(kms.count('Sign'), 0);
    assert.ok(kms.count('Decrypt') < load.mails.length / 10, 'by key, not by message');
    assert.equal(kms.region().quotas.throttled, 0);
  },
};

const kmsSign: LoadBackend = {
  name: 'kms-sign',
  commands: commandsAsProcesses,
  jobEveryMs: PROCESS_EVERY_MS,
  some: 25,
  prepare: ({ kms }) =>
    kms.region().faults.inject({ kind: 'latency', ms: SIGN_MS }, { operation: 'Sign' }),
  /** Its role may not sign with them yet: the retiring ones go on. */
  keepFrom: ({ kms }, copied, fresh) => {
    kms.conditions.push(
      ({ operation, accessKeyId, key }) =>
        operation !== 'Sign' ||
        accessKeyId !== COPIED_ACCESS_KEY_ID ||
        !fresh.includes(key?.tags.get('waxseal:selector') ?? ''),
    );
    const isAbout = ({ about, message }: LogRecord) =>
      about === 'kms' && /cannot sign: .*AccessDenied/.test(String(message));
    return {
      isTold: () => copied.events('warning').some(isAbout),
      release: async () => {
        kms.conditions.length = 0;
      },
    };
  },
  assertGone: async (lab, { old, fresh }) => {
    const states = () => {
      const signing = lab.kms.account
        .keysIn(lab.kms.region().name)
        .filter(({ usage }) => usage === 'SIGN_VERIFY');
      return Object.fromEntries(
        signing.map(({ tags, state }) => [tags.get('waxseal:selector'), state]),
      );
    };
    const left = Object.fromEntries(fresh.map((selector) => [selector, 'Enabled']));
    const pending = Object.fromEntries(old.map((selector) => [selector, 'PendingDeletion']));
    assert.deepEqual(states(), { ...left, ...pending });
    lab.clock.pass((lab.settings.kms?.deletionWindowDays ?? 0) * DAY_MS);
    assert.deepEqual(states(), left);
  },
  assertCalls: ({ kms, load }) => {
    // Each signature is a call; so is each try of a new key.
    assert.ok(kms.count('Sign') >= 2 * load.mails.length);
    assert.equal(kms.region().quotas.throttled, 0);
  },
};

export const LOAD_BACKENDS: readonly LoadBackend[] = [file, kmsEnvelope, kmsSign];
