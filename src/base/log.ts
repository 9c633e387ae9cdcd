import { pino } from 'pino';
import pinoPretty from 'pino-pretty';
import { errorMessage } from './errors.ts';

/**
 * The log's vocabulary: one method for each event, so that this file is the list of what can be
 * logged. Strings that come from a peer are made printable by the caller (`printable`).
 */
export interface Log {
  /** The one terminal record of a transaction. */
  transaction(record: TransactionRecord): void;
  /** A reply of the MX that came after its budget, for a transaction logged as `in-doubt`. */
  lateReply(record: { id: string; host: string; reply: string; afterMs: number }): void;
  started(record: { name: string; listen: readonly string[]; version: string }): void;
  draining(record: { reason: string; sessions: number }): void;
  stopped(record: { drained: boolean }): void;
  reloaded(record: ReloadRecord): void;
  /** A reload, or a part of it, failed; what that is about stays as it was. */
  reloadFailed(record: { reason: string }): void;
  /** A running relay could not take the keyring, or a part of it; what was in force stays. */
  keyringTrouble(record: { reason: string }): void;
  /** It could again. */
  keyringWell(record: { generation: number }): void;
  /**
   * The DNS record of a key that signs, or signed lately, is gone, changed, or cannot be looked up.
   * Signing goes on.
   */
  recordFinding(record: RecordFindingRecord): void;
  /** Such a record is as it must be again. */
  recordWell(record: { domain: string; selector: string; name: string }): void;
  /** A setting that works and that the operator should look at. */
  warning(record: { about: string; message: string }): void;
  /** Calls to AWS KMS since the start, by operation (AWS bills each), and those that failed. */
  kmsCalls(record: {
    calls: Readonly<Record<string, number>>;
    failures: Readonly<Record<string, number>>;
  }): void;
  /** A fault of our own; never contains message content or secrets. */
  fault(where: string, error: unknown): void;
  /** Session-level detail, for `log.level: debug`. */
  debug(event: string, details: Record<string, unknown>): void;
  /** Writes out what is buffered; resolves when it is with the operating system. */
  flush(): Promise<void>;
}

/** A key record that is not as it must be. */
export interface RecordFindingRecord {
  readonly domain: string;
  readonly selector: string;
  readonly name: string;
  readonly verdict: string;
  readonly reasons: readonly string[];
}

/** What was put in force without a restart. */
export interface ReloadRecord {
  readonly what: readonly string[];
  /** `watch`: the relay saw by itself that it changed. */
  readonly by?: 'signal' | 'watch' | undefined;
  readonly generation?: number | undefined;
  /** Signing domains. */
  readonly domains?: number | undefined;
}

/** What is said of a transaction when it has ended. Absent fields were never known. */
export interface TransactionRecord {
  readonly id: string;
  readonly outcome: 'accepted' | 'rejected' | 'deferred' | 'in-doubt';
  readonly client: {
    readonly address: string;
    readonly helo: string;
    readonly protocol: string;
    readonly identity?: string | undefined;
    readonly tls?: string | undefined;
  };
  readonly reversePath: string;
  readonly recipients: readonly {
    readonly address: string;
    readonly outcome: string;
    readonly reply: string;
  }[];
  /** Recipients over the bound of the record; they are counted, not listed. */
  readonly recipientsNotListed?: number | undefined;
  readonly messageId?: string | undefined;
  readonly sizeBytes?: number | undefined;
  readonly signatures?: readonly { readonly d: string; readonly s: string; readonly a: string }[];
  /** Why it went out without a signature, when it did. */
  readonly unsigned?: string | undefined;
  readonly remote?: {
    readonly host: string;
    readonly address: string;
    readonly tls: string;
    /** The connection was that of the session's transaction before. */
    readonly reused?: boolean | undefined;
    readonly reply?: string | undefined;
  };
  /** The reply that the client got last. */
  readonly reply: string;
  /** What the client did, where that ended it: `reset`, `connection-lost` … */
  readonly ended?: string | undefined;
  readonly notes?: readonly string[] | undefined;
  /** Milliseconds by phase. */
  readonly timingsMs: Readonly<Record<string, number>>;
}

export interface LogOptions {
  readonly level: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';
  /** `auto` is pretty on a terminal and JSON elsewhere. */
  readonly format: 'auto' | 'json' | 'pretty';
  /** File descriptor to write to; 1 is standard output. */
  readonly fd: number;
  readonly isTerminal: boolean;
}

/** Octets of log that may wait for a blocked reader before records are dropped (and counted). */
const MAX_BUFFERED_BYTES = 16 * 1024 * 1024;
/**
 * Records are written out when they fill this, or after `FLUSH_MS`: under load one write takes
 * several of them, and a quiet relay's record is still there at once for whoever watches.
 */
const BATCH_BYTES = 8 * 1024;
const FLUSH_MS = 50;

/** Makes the log. Writing is asynchronous; `flush` before the process ends. */
export function createLog(options: LogOptions): Log {
  const destination = pino.destination({
    fd: options.fd,
    sync: false,
    maxLength: MAX_BUFFERED_BYTES,
    minLength: BATCH_BYTES,
    periodicFlush: FLUSH_MS,
  });
  let dropped = 0;
  destination.on('drop', () => {
    dropped += 1;
  });
  const pretty = options.format === 'pretty' || (options.format === 'auto' && options.isTerminal);
  const stream = pretty
    ? pinoPretty({ destination, colorize: options.isTerminal, ignore: 'pid,hostname' })
    : destination;
  const logger = pino(
    { level: options.level, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    stream,
  );
  return {
    transaction: (record) => {
      const withLoss = dropped > 0 ? { ...record, logRecordsDropped: dropped } : record;
      logger.info({ event: 'transaction', ...withLoss }, `transaction ${record.outcome}`);
    },
    lateReply: (record) =>
      logger.warn({ event: 'late-reply', ...record }, 'reply after the time budget'),
    started: (record) => logger.info({ event: 'started', ...record }, 'waxseal is listening'),
    draining: (record) => logger.info({ event: 'draining', ...record }, 'draining'),
    stopped: (record) => logger.info({ event: 'stopped', ...record }, 'stopped'),
    reloaded: (record) => logger.info({ event: 'reloaded', ...record }, 'reloaded'),
    reloadFailed: (record) =>
      logger.error(
        { event: 'reload-failed', ...record },
        'reload failed, the old state of what it is about stays',
      ),
    keyringTrouble: (record) =>
      logger.error({ event: 'keyring-trouble', ...record }, 'the keyring was not taken as it is'),
    keyringWell: (record) =>
      logger.info({ event: 'keyring-well', ...record }, 'the keyring is well again'),
    recordFinding: (record) =>
      logger.error(
        { event: 'record-finding', ...record },
        'a key record in DNS is not as it must be',
      ),
    recordWell: (record) =>
      logger.info({ event: 'record-well', ...record }, 'a key record in DNS is well again'),
    warning: (record) => logger.warn({ event: 'warning', ...record }, record.message),
    kmsCalls: (record) => logger.info({ event: 'kms-calls', ...record }, 'calls to KMS so far'),
    fault: (where, error) =>
      logger.error(
        { event: 'fault', where, stack: error instanceof Error ? error.stack : undefined },
        errorMessage(error),
      ),
    debug: (event, details) => logger.debug({ event, ...details }, event),
    flush: () =>
      new Promise((resolve) => {
        destination.flush(() => resolve());
      }),
  };
}
