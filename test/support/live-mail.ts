import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LiveVerifier, Verdict } from './live-verifiers.ts';
import type { LoadMail, MailLoad } from './mail-load.ts';
import { waitFor } from './wait-for.ts';

/** Messages for one process of a verifier. */
const BATCH = 500;
/** Between two batches, so that a process has something to do. */
const PAUSE_MS = 250;

/** The mail of a load: verified as it arrives, and again when the test says so. */
export class LiveMail {
  readonly #dir: string;
  readonly #load: MailLoad;
  readonly #verifiers: readonly LiveVerifier[];
  readonly #verified = new Set<LoadMail>();
  #isOn = true;
  #failure: unknown;
  readonly #work: Promise<void>;

  /** @param dir an empty folder for the messages */
  constructor(dir: string, load: MailLoad, verifiers: readonly LiveVerifier[]) {
    this.#dir = dir;
    this.#load = load;
    this.#verifiers = verifiers;
    this.#work = this.#followArrivals().catch((error: unknown) => {
      this.#failure = error;
    });
  }

  /** Waits until these were verified after their arrival. @throws when one that arrived did not pass */
  async verifiedOnArrival(mails: readonly LoadMail[]): Promise<void> {
    const isDone = () => mails.every((mail) => this.#verified.has(mail));
    await waitFor('the verifiers', () => this.#failure !== undefined || isDone(), 120_000);
    if (this.#failure !== undefined) throw this.#failure;
  }

  /**
   * Has every signature of every message verified by all, as DNS is now.
   *
   * @param verdictOf what is to be said of a selector's signature
   */
  async verify(
    mails: readonly LoadMail[],
    verdictOf: (selector: string) => Verdict['verdict'],
  ): Promise<void> {
    for (let from = 0; from < mails.length; from += BATCH) {
      const batch = mails.slice(from, from + BATCH);
      const files = batch.map(fileOf);
      const found = await Promise.all(
        this.#verifiers.map(async (verify) => await verify(this.#dir, files)),
      );
      for (const [which, results] of found.entries()) {
        for (const [index, mail] of batch.entries()) {
          const words = (results[index] ?? []).map((one) => `${one.selector} ${one.verdict}`);
          const wanted = mail.signedBy.map((selector) => `${selector} ${verdictOf(selector)}`);
          const about = `verifier ${which}, message ${mail.number}`;
          assert.equal(words.sort().join(', '), wanted.sort().join(', '), about);
          assert.ok(wanted.length > 0, `${about}: unsigned`);
        }
      }
    }
  }

  /** Verifies no more arrivals. */
  async close(): Promise<void> {
    this.#isOn = false;
    await this.#work;
  }

  async #followArrivals(): Promise<void> {
    let done = 0;
    while (this.#isOn) {
      const batch = this.#load.arrived.slice(done, done + BATCH);
      done += batch.length;
      for (const mail of batch) {
        await writeFile(join(this.#dir, fileOf(mail)), mail.content ?? Buffer.alloc(0));
      }
      await this.verify(batch, () => 'pass');
      for (const mail of batch) this.#verified.add(mail);
      await sleep(PAUSE_MS);
    }
  }
}

function fileOf({ number }: LoadMail): string {
  return `${number}.eml`;
}
