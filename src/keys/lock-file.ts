import { createHash, randomBytes } from 'node:crypto';
import { link, readFile, stat, unlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../base/clock.ts';
import { createFileAtomic } from './atomic-write.ts';
import { KeysError, systemCode } from './keys-error.ts';

/**
 * One writer at a time. The lock is a file that names its owner; it appears whole or not at all.
 * A lock whose owner is dead (on this machine: no such process, or another one with its number)
 * is taken over. An owner on another machine cannot be checked: its lock is waited for, and after
 * that a person decides.
 */

export interface LockOptions {
  readonly clock: Clock;
  /** How long to wait for another writer, in milliseconds. */
  readonly waitMs: number;
}

export interface Lock {
  /**
   * Call it right before a write takes effect.
   *
   * @throws KeysError `keyring-lock-lost` when somebody took the lock away
   */
  check(): Promise<void>;
  release(): Promise<void>;
}

interface Owner {
  readonly pid: number;
  readonly host: string;
  /** Start of the process in clock ticks, where the system tells; distinguishes reused numbers. */
  readonly started: string;
  readonly token: string;
  readonly since: string;
}

const RETRY_MS = 50;
/** After so long a claim to a dead owner's lock was left by a process that was killed with it. */
const CLAIM_MS = 5000;

/**
 * Takes the lock.
 *
 * @throws KeysError `keyring-locked` when another writer held it for all of `waitMs`
 */
export async function acquireLock(file: string, options: LockOptions): Promise<Lock> {
  const { clock, waitMs } = options;
  const owner: Owner = {
    pid: process.pid,
    host: hostname(),
    started: (await processStart(process.pid)) ?? '',
    token: randomBytes(12).toString('hex'),
    since: new Date(clock.wallMs()).toISOString(),
  };
  const deadline = clock.monotonicMs() + waitMs;
  for (;;) {
    const holder = await readOwner(file);
    if (holder === undefined) {
      if (await tryCreate(file, owner)) return heldLock(file, owner.token);
    } else if (holder !== 'unreadable' && (await isDead(holder))) {
      await takeAway(file, holder);
    } else {
      if (clock.monotonicMs() >= deadline) throw locked(file, holder);
      await sleep(RETRY_MS); // not the clock's timer, which would let the process end here
    }
  }
}

async function tryCreate(file: string, owner: Owner): Promise<boolean> {
  try {
    const text = Buffer.from(`${JSON.stringify(owner)}\n`);
    await createFileAtomic(file, text, 0o640, 'process');
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  }
}

function heldLock(file: string, token: string): Lock {
  const isOurs = async () => {
    const owner = await readOwner(file);
    return owner !== undefined && owner !== 'unreadable' && owner.token === token;
  };
  return {
    check: async () => {
      if (await isOurs()) return;
      throw new KeysError(
        'keyring-lock-lost',
        `${file}: the lock was taken away; nothing written`,
        {
          hint: 'run the command again',
        },
      );
    },
    release: async () => {
      if (await isOurs()) await unlink(file);
    },
  };
}

async function readOwner(file: string): Promise<Owner | 'unreadable' | undefined> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const value: unknown = JSON.parse(text);
    return isOwner(value) ? value : 'unreadable';
  } catch {
    return 'unreadable';
  }
}

function isOwner(value: unknown): value is Owner {
  if (typeof value !== 'object' || value === null) return false;
  const has = (name: string, type: string) =>
    typeof Object.getOwnPropertyDescriptor(value, name)?.value === type;
  return (
    has('pid', 'number') &&
    ['host', 'started', 'token', 'since'].every((name) => has(name, 'string'))
  );
}

async function isDead(owner: Owner): Promise<boolean> {
  if (owner.host !== hostname()) return false;
  try {
    process.kill(owner.pid, 0); // signal 0 only asks whether the process is there
  } catch (error) {
    return systemCode(error) === 'ESRCH';
  }
  const started = await processStart(owner.pid);
  return started !== undefined && owner.started !== '' && started !== owner.started;
}

/** Field 22 of /proc/PID/stat (proc(5)); undefined where there is no such file. */
export async function processStart(pid: number): Promise<string | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The command name, in parentheses, may hold blanks; field 3 comes after the last one.
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

/**
 * Removes a dead owner's lock. Many may be about to, and one of them may have the lock by now: so a
 * taker claims that very lock first, by a name that its token gives and that is had only once, and
 * looks whether it is the dead one's. A lock of a living owner is never moved.
 */
async function takeAway(file: string, dead: Owner): Promise<void> {
  const digest = createHash('sha256').update(dead.token).digest('hex').slice(0, 12);
  const claim = path.join(path.dirname(file), `.${path.basename(file)}.${digest}.tmp`);
  try {
    await link(file, claim);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'EEXIST') return await waitForClaim(claim);
    if (code === 'ENOENT') return;
    throw error;
  }
  const claimed = await readOwner(claim);
  const isDeads = claimed !== undefined && claimed !== 'unreadable' && claimed.token === dead.token;
  if (isDeads) await removed(file);
  await removed(claim);
}

/** Another one takes the lock away; where that one was killed, its claim goes. */
async function waitForClaim(claim: string): Promise<void> {
  await sleep(RETRY_MS);
  const stats = await stat(claim).catch(() => undefined);
  if (stats !== undefined && Math.abs(Date.now() - stats.ctimeMs) > CLAIM_MS) await removed(claim);
}

async function removed(file: string): Promise<void> {
  try {
    await unlink(file);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
}

function locked(file: string, holder: Owner | 'unreadable'): KeysError {
  const who =
    holder === 'unreadable'
      ? 'somebody'
      : `process ${holder.pid} on ${holder.host} since ${holder.since}`;
  return new KeysError('keyring-locked', `${file}: locked for a change by ${who}`, {
    hint: 'wait until it has ended; if you are sure that it does not run any more, delete that file',
  });
}
