import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { WaxsealError } from '../base/errors.ts';

/**
 * The file of users who may send with AUTH: one `name:scrypt$N$r$p$salt$hash` a line (salt and
 * hash in base64, scrypt of RFC 7914), `#` starts a comment line. The clear password is nowhere.
 */

/** One stored password. */
export interface PasswordHash {
  /** CPU and memory cost, a power of two; memory is 128 × cost × blockSize octets. */
  readonly cost: number;
  readonly blockSize: number;
  readonly parallelization: number;
  readonly salt: Buffer;
  readonly hash: Buffer;
}

/** User names and their stored passwords. */
export type Users = ReadonlyMap<string, PasswordHash>;

/**
 * What checking a password came to; `busy`: too many checks are waiting, try later; `blocked`: not
 * checked, since its guard said so.
 */
export type PasswordVerdict = 'right' | 'wrong' | 'busy' | 'blocked';

const DEFAULT_COST = 32768;
const DEFAULT_BLOCK_SIZE = 8;
const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** A hash in the file may ask for this much memory at most. */
const MAX_MEMORY_BYTES = 128 * 1024 * 1024;
const MAX_PARALLELIZATION = 4;
/** scrypt needs a little more than its nominal 128 × N × r octets. */
const MEMORY_SLACK_BYTES = 1024 * 1024;
const MAX_NAME_LENGTH = 255;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a name must not hold
const FORBIDDEN_IN_NAME = /[\u0000-\u001f\u007f-\u009f:]/;

/**
 * Hashes a new password with a fresh salt.
 *
 * @returns the text that stands after `name:` in the users file
 */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const parameters = {
    cost: DEFAULT_COST,
    blockSize: DEFAULT_BLOCK_SIZE,
    parallelization: 1,
    salt,
    hash: Buffer.alloc(HASH_BYTES),
  };
  const hash = await derive(password, parameters);
  return [
    'scrypt',
    DEFAULT_COST,
    DEFAULT_BLOCK_SIZE,
    1,
    salt.toString('base64'),
    hash.toString('base64'),
  ].join('$');
}

/** True if a name can stand in the users file: no colon, no control character, 1 to 255 long. */
export function isUserName(name: string): boolean {
  return name.length > 0 && name.length <= MAX_NAME_LENGTH && !FORBIDDEN_IN_NAME.test(name);
}

/**
 * Reads the text of a users file.
 *
 * @throws WaxsealError `users-file-invalid`, naming the line but nothing of the hash
 */
export function parseUsers(text: string): Users {
  const users = new Map<string, PasswordHash>();
  for (const [index, rawLine] of text.split('\n').entries()) {
    const line = rawLine.trim();
    if (line === '' || line.startsWith('#')) continue;
    const colon = line.indexOf(':');
    const name = line.slice(0, colon);
    if (colon < 0 || !isUserName(name)) throw invalid(index, 'no user name before a colon');
    if (users.has(name)) throw invalid(index, `the user ${name} stands in the file twice`);
    const hash = parseHash(line.slice(colon + 1));
    if (typeof hash === 'string') throw invalid(index, hash);
    users.set(name, hash);
  }
  return users;
}

/** @returns the hash, or what is wrong with it */
function parseHash(text: string): PasswordHash | string {
  const [scheme, cost, blockSize, parallelization, salt, hash, more] = text.split('$');
  if (scheme !== 'scrypt' || salt === undefined || hash === undefined || more !== undefined) {
    return 'the password is not of the form scrypt$N$r$p$salt$hash';
  }
  const parsed: PasswordHash = {
    cost: decimal(cost),
    blockSize: decimal(blockSize),
    parallelization: decimal(parallelization),
    salt: Buffer.from(salt, 'base64'),
    hash: Buffer.from(hash, 'base64'),
  };
  const powerOfTwo = parsed.cost > 1 && (parsed.cost & (parsed.cost - 1)) === 0;
  if (!powerOfTwo || parsed.blockSize < 1 || parsed.parallelization < 1) {
    return 'the scrypt parameters N, r, p are not valid';
  }
  if (memoryBytes(parsed) > MAX_MEMORY_BYTES || parsed.parallelization > MAX_PARALLELIZATION) {
    return 'the scrypt parameters N, r, p ask for too much memory or time';
  }
  if (parsed.salt.length < 8 || parsed.hash.length < 16 || parsed.hash.length > 64) {
    return 'salt or hash are too short, too long or not base64';
  }
  return parsed;
}

function decimal(text: string | undefined): number {
  return text !== undefined && /^[1-9]\d{0,8}$/.test(text) ? Number(text) : 0;
}

function invalid(index: number, what: string): WaxsealError {
  return new WaxsealError('users-file-invalid', `users file, line ${index + 1}: ${what}`, {
    hint: 'write the line anew with: waxseal users add NAME',
  });
}

function memoryBytes(hash: PasswordHash): number {
  return 128 * hash.cost * hash.blockSize;
}

function derive(password: string, parameters: PasswordHash): Promise<Buffer> {
  const { cost, blockSize, parallelization, salt, hash } = parameters;
  const maxmem = memoryBytes(parameters) + parallelization * 128 * blockSize + MEMORY_SLACK_BYTES;
  return new Promise((resolve, reject) => {
    const options = { N: cost, r: blockSize, p: parallelization, maxmem };
    scrypt(password.normalize('NFC'), salt, hash.length, options, (error, derived) => {
      if (error === null) resolve(derived);
      else reject(error);
    });
  });
}

/** Says whether an attempt may be heard, and hears how it ended. */
export interface AttemptGuard {
  /** Asked when the attempt is made and again after each verdict while it waits. */
  isBlocked(): boolean;
  /** Called before any attempt that waits is looked at. */
  judged(right: boolean): void;
}

const UNGUARDED: AttemptGuard = { isBlocked: () => false, judged: () => {} };

interface WaitingAttempt {
  readonly users: Users;
  readonly name: string;
  readonly password: string;
  readonly guard: AttemptGuard;
  readonly settle: (verdict: PasswordVerdict | Promise<PasswordVerdict>) => void;
}

/**
 * Checks passwords one at a time, so that a burst of AUTH leaves the thread pool to signing and
 * its memory (32 MiB for each hash) is bounded. Make one for the whole process.
 */
export class PasswordChecker {
  readonly #maxWaiting: number;
  #waiting: WaitingAttempt[] = [];
  #checking = false;

  /** @param maxWaiting checks that may wait for their turn; more are answered `busy` */
  constructor(maxWaiting = 64) {
    this.#maxWaiting = maxWaiting;
  }

  /**
   * Checks a password. An unknown user costs the same time as a known one.
   *
   * @param guard attempts that it blocks are not checked, not even those that wait already
   */
  check(
    users: Users,
    name: string,
    password: string,
    guard: AttemptGuard = UNGUARDED,
  ): Promise<PasswordVerdict> {
    if (guard.isBlocked()) return Promise.resolve('blocked');
    if (this.#waiting.length >= this.#maxWaiting) return Promise.resolve('busy');
    return new Promise((settle) => {
      this.#waiting.push({ users, name, password, guard, settle });
      this.#next();
    });
  }

  #next(): void {
    if (this.#checking) return;
    const attempt = this.#waiting.shift();
    if (attempt === undefined) return;
    this.#checking = true;
    const verdict = this.#judge(attempt).finally(() => {
      this.#checking = false;
      this.#next();
    });
    attempt.settle(verdict);
  }

  async #judge({ users, name, password, guard }: WaitingAttempt): Promise<PasswordVerdict> {
    const right = await verify(users, name, password);
    guard.judged(right);
    if (!right) this.#dismissBlocked();
    return right ? 'right' : 'wrong';
  }

  /** Those who guess leave their places in the queue to others. */
  #dismissBlocked(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const attempt of waiting) {
      if (attempt.guard.isBlocked()) attempt.settle('blocked');
      else this.#waiting.push(attempt);
    }
  }
}

/** Stands in for the hash of a user who does not exist. */
const NOBODY: PasswordHash = {
  cost: DEFAULT_COST,
  blockSize: DEFAULT_BLOCK_SIZE,
  parallelization: 1,
  salt: randomBytes(SALT_BYTES),
  hash: randomBytes(HASH_BYTES),
};

async function verify(users: Users, name: string, password: string): Promise<boolean> {
  const known = users.get(name);
  const stored = known ?? users.values().next().value ?? NOBODY;
  const derived = await derive(password, stored);
  return timingSafeEqual(derived, stored.hash) && known !== undefined;
}
