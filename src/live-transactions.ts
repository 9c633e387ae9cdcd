import type { Clock } from './base/clock.ts';
import type { Log } from './base/log.ts';
import { newId } from './base/new-id.ts';
import type { Config } from './config/config.ts';
import type { Client } from './mail/client.ts';
import { DEFAULT_MAX_FIELDS } from './mail/header-collector.ts';
import type { SigningKeyring } from './mail/signer.ts';
import type { SessionTransactions, TransactionFactory } from './mail/transaction.ts';
import { MessageIntake } from './message-intake.ts';
import { MessageSeal } from './message-seal.ts';
import { raceConnect } from './relay/connect.ts';
import { DeadHosts } from './relay/dead-hosts.ts';
import { KeptConnection } from './relay/kept-connection.ts';
import { Leg, type LegDependencies, RelayTls } from './relay/leg.ts';
import type { Router } from './relay/route.ts';
import { canonicalizations, type SignatureOptions } from './sign/dkim-signature.ts';
import { HeaderSelection } from './sign/header-selection.ts';
import type { Spool } from './spool/spool.ts';
import { LiveTransaction, type TransactionParts } from './transaction.ts';

/** What all transactions of a server share. */
export interface LiveParts {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly keyring: SigningKeyring;
  readonly router: Router;
  readonly spool: Spool;
  /** Authorities for `verify`, as PEM, besides the usual ones. */
  readonly ca: string | undefined;
}

/** How long a reply that missed the final dot's budget is still listened for, for the log. */
const LATE_REPLY_MS = 120_000;
/** Upper bound of a Received field and of one DKIM-Signature field, for SIZE (RFC 1870). */
const RECEIVED_BYTES = 1000;
const SIGNATURE_BYTES = 2000;
/** RSA and Ed25519. */
const SIGNATURES_OF_A_DOMAIN = 2;

/** Makes the transactions of a server out of its parts, and knows which of them run. */
export class LiveTransactions implements TransactionFactory {
  readonly #clock: Clock;
  readonly #partsFor: (kept: KeptConnection) => TransactionParts;
  readonly #keepConnectionMs: number;
  readonly #running = new Set<LiveTransaction>();
  #whenIdle: (() => void)[] = [];

  constructor(live: LiveParts) {
    this.#clock = live.clock;
    this.#keepConnectionMs = live.config.relay.keepConnectionMs;
    this.#partsFor = transactionParts(live, (transaction) => this.#ended(transaction));
  }

  openSession(): SessionTransactions {
    const kept = new KeptConnection(this.#clock, this.#keepConnectionMs);
    const parts = this.#partsFor(kept);
    return {
      begin: (client) => this.#begin(client, parts),
      close: () => kept.close(),
    };
  }

  /** Resolves when none runs, also none whose client has gone and whose MX has not answered yet. */
  idle(): Promise<void> {
    if (this.#running.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  /** Ends those that still run, each with its record. @returns how many there were */
  abandon(): number {
    const running = [...this.#running];
    for (const transaction of running) transaction.abandon();
    return running.length;
  }

  #begin(client: Client, parts: TransactionParts): LiveTransaction {
    const transaction = new LiveTransaction(newId(this.#clock), client, parts);
    this.#running.add(transaction);
    return transaction;
  }

  #ended(transaction: LiveTransaction): void {
    this.#running.delete(transaction);
    if (this.#running.size > 0) return;
    const waiting = this.#whenIdle;
    this.#whenIdle = [];
    for (const resolve of waiting) resolve();
  }
}

/** @returns makes the parts for one client session */
function transactionParts(
  live: LiveParts,
  onEnded: TransactionParts['onEnded'],
): (kept: KeptConnection) => TransactionParts {
  const { config, clock, log, keyring, router, spool } = live;
  const { signing, limits, content } = config;
  const signature: SignatureOptions = {
    canonicalization: signing.canonicalization,
    selection: new HeaderSelection(signing.headers),
    expireAfterS: signing.expireAfterS,
    identity: signing.identity,
  };
  const headerLimits = { maxHeaderBytes: limits.headerBytes, maxFields: DEFAULT_MAX_FIELDS };
  const signatures = SIGNATURES_OF_A_DOMAIN * (1 + signing.alsoSignAs.length);
  const extraBytes = RECEIVED_BYTES + signatures * SIGNATURE_BYTES;
  const legs = legDependencies(live);
  const { body } = canonicalizations(signature);
  const shared: Omit<TransactionParts, 'openLeg'> = {
    clock,
    log,
    onEnded,
    keyringFault: () => keyring.fault,
    maxMessageBytes: limits.messageBytes,
    allowAddressLiterals: config.relay.allowAddressLiterals,
    finalDotBudgetMs: config.relay.finalDotBudgetMs,
    destinationFor: (domain) => router.destinationFor(domain),
    openIntake: () => new MessageIntake(spool.open(), headerLimits, body),
    seal: new MessageSeal({
      clock,
      keyring,
      content: {
        strayLineEnds: content.strayLineEnds,
        longLines: content.longLines,
        maxHops: limits.hops,
      },
      signing,
      signature,
      by: config.server.name,
      hideClient: config.received.hideClient,
      addDate: content.addDate,
      addMessageId: content.addMessageId,
    }),
  };
  return (kept) => ({
    ...shared,
    openLeg: (destination, mail) => new Leg(legs, destination, { mail, extraBytes, kept }),
  });
}

function legDependencies({ config, clock, router, ca }: LiveParts): LegDependencies {
  const { relay } = config;
  const { ipv4, ipv6 } = relay.sourceAddress;
  return {
    candidates: (destination, signal) => router.candidates(destination, signal),
    raceConnect,
    deadHosts: new DeadHosts({ clock, deadHostMs: relay.deadHostMs }),
    tls: new RelayTls(ca),
    clock,
    options: {
      ehloName: relay.ehloName,
      connectTimeoutMs: relay.connectTimeoutMs,
      greetingTimeoutMs: relay.greetingTimeoutMs,
      rcptBudgetMs: relay.rcptBudgetMs,
      dataBudgetMs: relay.dataBudgetMs,
      lateReplyMs: LATE_REPLY_MS,
      sourceAddress: { ...(ipv4 === '' ? {} : { ipv4 }), ...(ipv6 === '' ? {} : { ipv6 }) },
    },
  };
}
