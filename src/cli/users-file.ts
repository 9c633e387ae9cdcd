import { readFile } from 'node:fs/promises';
import { parseUsers } from '../accept/users.ts';
import { systemClock } from '../base/clock.ts';
import { errorMessage, WaxsealError } from '../base/errors.ts';
import { writeFileAtomic } from '../keys/atomic-write.ts';
import { acquireLock } from '../keys/lock-file.ts';

const LOCK_WAIT_MS = 5000;

/** The file of user names and password hashes, changed line by line: comments stay. */
export class UsersFile {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** @returns the names in the order of the file; none when there is no file */
  async names(): Promise<readonly string[]> {
    return [...parseUsers((await this.#read()) ?? '').keys()];
  }

  /** Adds a user or replaces the hash of one. */
  async put(name: string, hash: string): Promise<'added' | 'changed'> {
    let outcome: 'added' | 'changed' = 'added';
    await this.#change((lines) => {
      const index = lines.findIndex((line) => belongsTo(line, name));
      if (index < 0) return [...lines, `${name}:${hash}`];
      outcome = 'changed';
      return lines.with(index, `${name}:${hash}`);
    });
    return outcome;
  }

  /** @throws WaxsealError `user-unknown` when there is no such user */
  async remove(name: string): Promise<void> {
    await this.#change((lines) => {
      const rest = lines.filter((line) => !belongsTo(line, name));
      if (rest.length < lines.length) return rest;
      throw new WaxsealError('user-unknown', `There is no user ${name} in ${this.path}`, {
        hint: 'List them with: waxseal users list',
      });
    });
  }

  async #change(edit: (lines: readonly string[]) => readonly string[]): Promise<void> {
    const lock = await this.#translate('cannot be locked', () =>
      acquireLock(`${this.path}.lock`, { clock: systemClock, waitMs: LOCK_WAIT_MS }),
    );
    try {
      const text = (await this.#read()) ?? '';
      parseUsers(text); // a file that is broken is not written over
      const lines = text.split('\n');
      if (lines.at(-1) === '') lines.pop();
      const changed = `${edit(lines).join('\n')}\n`;
      await lock.check();
      await this.#translate('cannot be written', () =>
        writeFileAtomic(this.path, Buffer.from(changed), 0o600),
      );
    } finally {
      await lock.release();
    }
  }

  async #read(): Promise<string | undefined> {
    try {
      return await readFile(this.path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw this.#failed('cannot be read', error);
    }
  }

  async #translate<Result>(what: string, action: () => Promise<Result>): Promise<Result> {
    try {
      return await action();
    } catch (error) {
      throw error instanceof WaxsealError ? error : this.#failed(what, error);
    }
  }

  #failed(what: string, cause: unknown): WaxsealError {
    const message = `The users file ${this.path} ${what}: ${errorMessage(cause)}`;
    return new WaxsealError('users-file', message, { cause });
  }
}

function belongsTo(line: string, name: string): boolean {
  const text = line.trim();
  return !text.startsWith('#') && text.slice(0, text.indexOf(':')) === name;
}
