import type { Publisher } from '../dns/publisher.ts';
import type { SeenExpectation, SeenReport } from '../dns/seen.ts';
import type { KeyringAccess } from '../keyring-access.ts';
import { takeRequestIds } from '../request-trace.ts';
import type { Journal, JournalEntry } from '../store/journal.ts';
import type { RelayReport } from '../store/relay-reports.ts';
import { isoTime } from './key-changes.ts';

/** A choice for one look at DNS. */
export interface SeenChoice {
  /** Name servers that need not answer, by address; journaled. */
  readonly ignored?: readonly { readonly address: string; readonly reason: string }[];
  /** The longest TTL in seconds that another record had under this name (a slot). */
  readonly oldTtlS?: number;
}

/** Somebody wants the command to end early, e.g. by SIGINT. Steps are finished, none is begun. */
export interface Interruption {
  /** Aborted when that is so. */
  readonly signal: AbortSignal;
  /** True when that is so; whoever asks leaves what is not begun yet to the next run. */
  heed(): boolean;
}

/** What the steps of a key's life work with. */
export interface LifecycleAccess extends KeyringAccess {
  readonly journal: Journal;
  publisherFor(domain: string): Publisher;
  seen(expectation: SeenExpectation, choice?: SeenChoice): Promise<SeenReport>;
  /** What relays say; empty where none reports. */
  reports(): Promise<readonly RelayReport[]>;
  /** Who does it, for the journal: STS ARN, or user and host. Asked when something is journaled. */
  caller(): Promise<string>;
  /** The command line without its arguments, e.g. `keys rotate`. */
  readonly command: string;
  /** Who does it, for leases: see `process-holder.ts`. */
  readonly holder: string;
  /** undefined: nobody can. */
  readonly interruption?: Interruption;
  /** Waits, and keeps the process alive meanwhile; not longer than until an interruption. */
  sleep(ms: number): Promise<void>;
  /** Tells a person what is waited for. */
  progress(text: string): void;
}

/** What changing a domain under its lease works with. */
export type LeaseAccess = Omit<LifecycleAccess, 'publisherFor' | 'seen' | 'reports' | 'sleep'>;

/** Appends to the journal with time, caller, command and the ids of AWS's requests filled in. */
export async function note(
  access: Pick<LifecycleAccess, 'clock' | 'journal' | 'caller' | 'command'>,
  entry: Omit<JournalEntry, 'at' | 'caller' | 'command'>,
): Promise<void> {
  const { command } = access;
  const caller = await access.caller();
  const requestIds = [...(entry.requestIds ?? []), ...takeRequestIds()];
  const at = isoTime(access.clock.wallMs());
  const { requestIds: _, ...rest } = entry;
  const ids = requestIds.length === 0 ? {} : { requestIds };
  await access.journal.append({ at, caller, command, ...rest, ...ids });
}
