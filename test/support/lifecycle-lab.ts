import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { KeyBackend, StoredKey } from '../../src/keys/backend.ts';
import type { Publisher, RecordChange } from '../../src/keys/dns/publisher.ts';
import type { SeenExpectation, SeenReport, ServerAnswer } from '../../src/keys/dns/seen.ts';
import { keyAlgorithmNamed } from '../../src/keys/key-algorithm.ts';
import { recordName } from '../../src/keys/key-name.ts';
import { recordValue, revokedRecordValue } from '../../src/keys/key-record.ts';
import type { KeyringChange, KeyringSnapshot, KeyringStore } from '../../src/keys/keyring-store.ts';
import { KeysRefusal } from '../../src/keys/keys-error.ts';
import type { LifecycleAccess, SeenChoice } from '../../src/keys/lifecycle/lifecycle-access.ts';
import { DEFAULT_POLICY, type RotationPolicy } from '../../src/keys/lifecycle/policy.ts';
import { RelayIndex } from '../../src/keys/lifecycle/relay-index.ts';
import type { StepWishes, StepWork } from '../../src/keys/lifecycle/step-work.ts';
import { localSigner } from '../../src/keys/local-signer.ts';
import type { ManifestDomain } from '../../src/keys/manifest.ts';
import type { Journal, JournalEntry } from '../../src/keys/store/journal.ts';
import type { RelayReport } from '../../src/keys/store/relay-reports.ts';
import { ManualClock } from './manual-clock.ts';

/** The process dies here: nothing after it happens. */
export class Crash extends Error {}

interface LabKey {
  readonly pair: KeyPair;
  readonly state: 'live' | 'disabled' | 'gone';
}

interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

/** One process. */
interface Life {
  dead: boolean;
}

/** When an effect lets the process die. */
export interface CrashPoint {
  /** The how many-th effect, from 1. */
  readonly at: number;
  readonly when: 'before' | 'after';
}

/**
 * A keyring with everything around it, in memory and on a hand-moved clock: store, journal, DNS,
 * back end. Each effect can be the last one of a process (`crashAt`).
 */
export class LifecycleLab {
  readonly clock = new ManualClock(Date.parse('2026-11-21T09:00:00Z'));
  readonly journal: JournalEntry[] = [];
  readonly zone = new Map<string, { value: string; ttlS: number }>();
  readonly keys = new Map<string, LabKey>();
  readonly progress: string[] = [];
  reports: RelayReport[] = [];
  /** Domains of which the publisher hands records to a person. */
  byHand = false;
  publisherFails = false;
  /** Why a part of the keyring with other domains cannot be used. */
  broken: Error | undefined;
  settleMs = 0;
  /** Of each look at DNS. */
  warnings: readonly string[] = [];
  /** A name server that does not answer, beside the one that does. */
  lame: string | undefined;
  /** Names that no server shows yet. */
  readonly hidden = new Set<string>();
  destroyScheduled = false;
  /** The back end can make a private key public. */
  givesOut = true;
  effects = 0;
  /** A process died; its lease stands. */
  died = false;
  crashAt: CrashPoint | undefined;
  /** Called with each entry that is written, and the one before. */
  onWrite: (before: ManifestDomain | undefined, after: ManifestDomain) => void = () => {};
  sleep: (ms: number) => Promise<void> = async (ms) => this.clock.advance(ms);
  #generation = 0;
  #idle = 0;
  #domains = new Map<string, ManifestDomain>();
  #writer: Promise<unknown> = Promise.resolve();

  /** Ends the command that runs early; set while one runs. */
  interrupt: () => void = () => {};

  /** A new process: what died is gone, what was written is there. */
  access(command = 'keys rotate', holder = 'process 1.1 on elsewhere'): LifecycleAccess {
    const life: Life = { dead: false };
    return {
      store: this.#store(life),
      clock: this.clock,
      connect: async () => this.#backend(life),
      journal: this.#journal(life),
      publisherFor: () => this.#publisher(life),
      seen: async (expectation, choice) => this.seen(expectation, choice),
      reports: async () => this.reports,
      caller: async () => 'tester',
      command,
      holder,
      sleep: async (ms) => await this.sleep(ms),
      progress: (text) => this.progress.push(text),
    };
  }

  work(wishes: Partial<StepWishes> = {}, policy: Partial<RotationPolicy> = {}): StepWork {
    const access = this.access();
    const whole = { ...DEFAULT_POLICY, ...policy };
    return {
      access,
      policy: whole,
      wishes: {
        wish: { kind: 'asked', sinceMs: this.clock.wallMs(), again: false },
        algorithms: [],
        backend: undefined,
        ttlS: 3600,
        subdomains: undefined,
        force: false,
        adopt: false,
        seen: {},
        reason: undefined,
        ...wishes,
      },
      usableAtOnce: new Set(['file']),
      relays: new RelayIndex(access.reports, this.clock),
      fallBacks: false,
      isShared: () => false,
    };
  }

  entry(domain = 'example.com'): ManifestDomain {
    return this.#domains.get(domain) ?? { domain, subdomains: false, keys: [] };
  }

  put(entry: ManifestDomain): void {
    this.#domains.set(entry.domain, entry);
  }

  states(domain = 'example.com'): Record<string, string> {
    return Object.fromEntries(this.entry(domain).keys.map((key) => [key.selector, key.state]));
  }

  seen({ domain, selector, record }: SeenExpectation, choice: SeenChoice = {}): SeenReport {
    const name = recordName(selector, domain);
    const found = this.hidden.has(name) ? undefined : this.zone.get(name)?.value;
    const wanted =
      record.kind === 'none'
        ? undefined
        : record.kind === 'key'
          ? recordValue(record.key)
          : revokedRecordValue(record.key);
    const verdict = found === wanted ? 'seen' : found === undefined ? 'absent' : 'mismatch';
    const isOld = record.kind === 'revoked' && verdict === 'mismatch';
    const server: ServerAnswer = {
      zone: domain,
      host: 'ns.example',
      address: '192.0.2.1',
      verdict,
      detail: '',
      found: found === undefined ? [] : [found],
    };
    const isIgnored = choice.ignored?.some(({ address }) => address === this.lame) === true;
    const lame = { ...server, address: this.lame ?? '', found: [], detail: 'no answer' };
    const silent: ServerAnswer = { ...lame, verdict: isIgnored ? 'ignored' : 'unreachable' };
    const isSilent = this.lame !== undefined && !isIgnored;
    return {
      verdict:
        verdict === 'seen' && !isSilent
          ? 'seen'
          : verdict === 'mismatch' && !isOld
            ? 'conflict'
            : 'not-yet',
      name,
      servers: this.lame === undefined ? [server] : [server, silent],
      resolvers: [],
      warnings: this.warnings,
      settleMs: this.settleMs,
      summary: verdict,
    };
  }

  async #effect<Result>(life: Life, act: () => Result): Promise<Result> {
    if (life.dead) throw new Crash(); // what stands in `finally` is not run by a killed process
    this.effects += 1;
    const dies = this.crashAt?.at === this.effects ? this.crashAt.when : undefined;
    life.dead = dies !== undefined;
    this.died ||= life.dead;
    if (dies === 'before') throw new Crash();
    const result = act();
    if (dies === 'after') throw new Crash();
    return result;
  }

  #snapshot(): KeyringSnapshot {
    return {
      generation: this.#generation,
      generations: new Map(),
      domains: new Map(this.#domains),
      files: new Map(),
    };
  }

  #store(life: Life): KeyringStore {
    const sound = this.#soundStore(life);
    const refuse = () => {
      if (this.broken !== undefined) throw this.broken;
    };
    return {
      read: async () => {
        refuse();
        return await sound.read();
      },
      change: async (edit) => {
        refuse();
        return await sound.change(edit);
      },
      around: () => sound,
    };
  }

  #soundStore(life: Life): Pick<KeyringStore, 'read' | 'change'> {
    return {
      read: async () => this.#snapshot(),
      change: async <Result>(
        edit: (current: KeyringSnapshot) => Promise<KeyringChange<Result>>,
      ): Promise<Result> => {
        const run = this.#writer.then(async () => {
          if (life.dead) throw new Crash();
          const { domain, result } = await edit(this.#snapshot());
          if (domain === undefined) {
            this.#idle += 1;
            if (this.#idle > 1000)
              throw new Error('somebody waits for a lease that nobody gives up');
            return result;
          }
          this.#idle = 0;
          return await this.#effect(life, () => {
            const before = this.#domains.get(domain.domain);
            this.#generation += 1;
            this.#domains.set(domain.domain, domain);
            this.onWrite(before, domain);
            return result;
          });
        });
        this.#writer = run.catch(() => undefined);
        return await run;
      },
    };
  }

  #journal(life: Life): Journal {
    const { journal } = this;
    return {
      append: async (entry) => await this.#effect(life, () => void journal.push(entry)),
      read: async function* ({ domain, intent }) {
        for (const entry of [...journal]) {
          if (domain !== undefined && entry.domain !== domain) continue;
          if (intent === undefined || entry.intent === intent) yield entry;
        }
      },
    };
  }

  /** Keeps the rules of a publisher: nothing that differs from `before` is touched. */
  #publisher(life: Life): Publisher {
    const isInTheWay = ({ name, before }: RecordChange) =>
      this.zone.get(name)?.value !== before?.value;
    return {
      name: this.byHand ? 'print' : 'lab',
      close: () => {},
      apply: async (changes) => {
        if (this.byHand) {
          const lines = changes.map(({ name, after }) => `  ${name} TXT ${after}`);
          return { kind: 'by-hand', instructions: ['Add to the zone:', ...lines].join('\n') };
        }
        if (this.publisherFails) {
          return { kind: 'failed', reason: 'the server does not answer', hint: 'try again' };
        }
        return await this.#effect(life, () => {
          const bad = changes.filter(isInTheWay);
          if (bad.length > 0) {
            const found = bad.flatMap(({ name }) => this.zone.get(name)?.value ?? []);
            return { kind: 'in-the-way', found, hint: 'look at it' } as const;
          }
          for (const { name, after, ttlS } of changes) {
            if (after === undefined) this.zone.delete(name);
            else this.zone.set(name, { value: after, ttlS });
          }
          return { kind: 'written', detail: 'written' } as const;
        });
      },
    };
  }

  #backend(life: Life): KeyBackend {
    const { keys } = this;
    const idOf = ({ domain, selector }: { domain: string; selector: string }) =>
      `${selector}.${domain}`;
    return {
      warnings: [],
      create: async (identity, intent) =>
        await this.#effect(life, () => {
          const known = [...keys.keys()].find((id) => id.endsWith(`#${intent}`));
          const id = known ?? `${idOf(identity)}#${intent}`;
          const key: LabKey = keys.get(id) ?? { pair: pairFor(identity.algorithm), state: 'live' };
          keys.set(id, key);
          return { publicKey: key.pair.publicKey, material: { id } };
        }),
      keep: () => Promise.reject(new Error('not here')),
      holds: async (identity) =>
        [...keys].some(
          ([id, { state }]) => id.startsWith(`${idOf(identity)}#`) && state === 'live',
        ),
      open: async ({ algorithm, material }) => {
        const key = keys.get(material?.id ?? '');
        const row = keyAlgorithmNamed(algorithm);
        if (key?.state !== 'live' || row === undefined) {
          return { kind: 'unusable', scope: 'key', reason: `it is ${key?.state}` };
        }
        return { kind: 'open', signer: localSigner(row, key.pair.privateKey) };
      },
      disable: async (key) =>
        await this.#effect(life, () => this.#setState(key.material?.id, 'disabled')),
      destroy: async (key) =>
        await this.#effect(life, () => {
          this.#setState(key.material?.id, 'gone');
          return this.destroyScheduled
            ? ({ kind: 'scheduled', until: '2027-01-01T00:00:00Z' } as const)
            : ({ kind: 'done' } as const);
        }),
      cancelDestroy: async (key) => {
        if (!this.destroyScheduled) throw new KeysRefusal('key-destroyed', 'it is erased');
        await this.#effect(life, () => this.#setState(key.material?.id, 'disabled'));
      },
      orphans: async () => [],
      ...(this.givesOut && {
        reveal: async ({ material }: StoredKey) => {
          const key = keys.get(material?.id ?? '');
          if (key?.state !== 'live') throw new Error(`it is ${key?.state}`);
          return key.pair.privateKey;
        },
      }),
    };
  }

  /** Called before a private key is given up. */
  onDestroy: (id: string) => void = () => {};

  #setState(id: string | undefined, state: 'disabled' | 'gone'): void {
    const key = this.keys.get(id ?? '');
    if (key === undefined) throw new Error(`no key ${id}`);
    if (state === 'gone' && key.state !== 'gone') this.onDestroy(id ?? '');
    this.keys.set(id ?? '', { ...key, state });
  }
}

/** RSA keys take long to make; records need not differ in more than a few. */
const POOL: Record<string, { pairs: KeyPair[]; next: number }> = {};

function pairFor(algorithm: string): KeyPair {
  POOL[algorithm] ??= { pairs: [], next: 0 };
  const pool = POOL[algorithm];
  pool.next += 1;
  const known = pool.pairs[pool.next % 8];
  if (pool.pairs.length >= 8 && known !== undefined) return known;
  const pair =
    algorithm === 'ed25519'
      ? generateKeyPairSync('ed25519')
      : generateKeyPairSync('rsa', { modulusLength: 2048 });
  pool.pairs.push(pair);
  return pair;
}
