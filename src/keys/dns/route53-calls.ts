import { setMaxListeners } from 'node:events';
import {
  type Change,
  ChangeResourceRecordSetsCommand,
  GetChangeCommand,
  ListResourceRecordSetsCommand,
  type ResourceRecordSet,
  type Route53Client,
} from '@aws-sdk/client-route-53';
import type { Clock } from '../../base/clock.ts';
import { pause } from '../../base/pause.ts';
import { printable } from '../../base/printable.ts';
import { traceRequest } from '../request-trace.ts';
import type { RequestPace } from './request-pace.ts';
import type { BatchRefusal } from './zone-batches.ts';

/** A call that did not succeed. */
export type CallFailure =
  /** InvalidChangeBatch: a record stands there, or does not, or has another value. */
  BatchRefusal | { readonly kind: 'failed'; readonly reason: string; readonly hint: string };

/** A change that Route 53 has taken. */
export interface ChangeMade {
  readonly kind: 'made';
  readonly id: string;
  readonly isInsync: boolean;
}

export interface Route53CallsOptions {
  readonly client: Route53Client;
  readonly hostedZoneId: string;
  /** Shared by all that use the account: it has 5 requests a second. */
  readonly pace: RequestPace;
  readonly clock: Clock;
  /** 0 (inclusive) to 1; spreads retries. */
  readonly random: () => number;
}

interface MetadataBearer {
  readonly $metadata: { readonly requestId?: string | undefined };
}

type Sent<Output> = { readonly kind: 'ok'; readonly output: Output } | CallFailure;

const MAX_TRIES = 7;
const FIRST_BACK_OFF_MS = 500;
const MAX_BACK_OFF_MS = 20_000;
const POLL_MS = 5000;
/** A change takes about 60 s, by AWS's own word. */
const MAX_POLLS = 60;

const RETRIED: ReadonlySet<string> = new Set([
  'Throttling',
  'ThrottlingException',
  'TooManyRequestsException',
  'RequestLimitExceeded',
  // An earlier change of this zone is not done yet.
  'PriorRequestNotComplete',
  'TimeoutError',
]);

const HINTS: Readonly<Record<string, string>> = {
  AccessDenied:
    'the policy must allow route53:ChangeResourceRecordSets, ListResourceRecordSets and GetChange on this zone',
  NoSuchHostedZone: 'hostedZoneId must be the id of the zone, such as Z0123456789ABC',
  CredentialsProviderError: "look at the AWS credentials, which come by the SDK's default chain",
  ExpiredToken: 'get fresh AWS credentials',
  SignatureDoesNotMatch: 'look at the AWS credentials, and at the clock',
};

/** The three calls that publishing needs, paced, and tried again where that helps. */
export class Route53Calls {
  readonly #options: Route53CallsOptions;
  readonly #closing = new AbortController();

  constructor(options: Route53CallsOptions) {
    this.#options = options;
    setMaxListeners(0, this.#closing.signal);
  }

  /** Ends what is under way with `failed`. */
  close(): void {
    this.#closing.abort();
    this.#options.client.destroy();
  }

  /** Makes all changes or none. The name servers have them when the change is INSYNC. */
  async change(changes: readonly Change[]): Promise<ChangeMade | CallFailure> {
    const { client, hostedZoneId } = this.#options;
    const sent = await this.#send((abortSignal) =>
      client.send(
        new ChangeResourceRecordSetsCommand({
          HostedZoneId: hostedZoneId,
          ChangeBatch: { Changes: [...changes], Comment: 'waxseal' },
        }),
        { abortSignal },
      ),
    );
    if (sent.kind !== 'ok') return sent;
    const { Id: id = '', Status: status } = sent.output.ChangeInfo ?? {};
    return { kind: 'made', id, isInsync: status === 'INSYNC' };
  }

  /** The sets of exactly this name. */
  async list(name: string): Promise<{ kind: 'sets'; sets: ResourceRecordSet[] } | CallFailure> {
    const { client, hostedZoneId } = this.#options;
    const sent = await this.#send((abortSignal) =>
      client.send(
        new ListResourceRecordSetsCommand({
          HostedZoneId: hostedZoneId,
          StartRecordName: `${name}.`,
          MaxItems: 20,
        }),
        { abortSignal },
      ),
    );
    if (sent.kind !== 'ok') return sent;
    const sets = (sent.output.ResourceRecordSets ?? []).filter(
      (set) => set.Name?.toLowerCase().replace(/\.$/, '') === name,
    );
    return { kind: 'sets', sets };
  }

  /** Waits until all name servers have a change; undefined when they do. */
  async untilInsync(id: string): Promise<Extract<CallFailure, { kind: 'failed' }> | undefined> {
    const { client } = this.#options;
    for (let poll = 0; poll < MAX_POLLS; poll += 1) {
      const sent = await this.#send(
        (abortSignal) => client.send(new GetChangeCommand({ Id: id }), { abortSignal }),
        POLL_MS,
      );
      if (sent.kind === 'ok') {
        if (sent.output.ChangeInfo?.Status === 'INSYNC') return undefined;
      } else if (sent.kind === 'failed') return sent;
    }
    return {
      kind: 'failed',
      reason: `the change ${id} is still PENDING after ${(MAX_POLLS * POLL_MS) / 1000} s`,
      hint: 'Route 53 is slow; the same command again finds out, and does no harm',
    };
  }

  async #send<Output extends MetadataBearer>(
    call: (signal: AbortSignal) => Promise<Output>,
    firstWaitMs = 0,
  ): Promise<Sent<Output>> {
    const { pace, clock, random } = this.#options;
    const { signal } = this.#closing;
    let isAfterLoss = false;
    try {
      if (firstWaitMs > 0) await pause(clock, firstWaitMs, signal);
      for (let attempt = 1; ; attempt += 1) {
        await pace.turn(signal);
        const sent = await settle(call(signal));
        if (sent.kind === 'ok') return sent;
        if (signal.aborted) break;
        if (!isRetried(sent.error) || attempt === MAX_TRIES) {
          return failureOf(sent.error, isAfterLoss);
        }
        isAfterLoss ||= mayHaveActed(sent.error);
        const backOffMs = Math.min(MAX_BACK_OFF_MS, FIRST_BACK_OFF_MS * 2 ** (attempt - 1));
        await pause(clock, backOffMs * (0.5 + random() / 2), signal);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    const reason = 'the publisher was closed while Route 53 was at work';
    return { kind: 'failed', reason, hint: 'the same command again finds out what came of it' };
  }
}

async function settle<Output extends MetadataBearer>(
  promise: Promise<Output>,
): Promise<{ kind: 'ok'; output: Output } | { kind: 'error'; error: unknown }> {
  try {
    const output = await promise;
    traceRequest(output.$metadata.requestId);
    return { kind: 'ok', output };
  } catch (error) {
    return { kind: 'error', error };
  }
}

function isRetried(error: unknown): boolean {
  const { name, status } = errorParts(error);
  // No status: the connection failed. Whether the call was served then shows at the next one.
  return RETRIED.has(name) || status >= 500 || (status === 0 && isNetworkError(error));
}

/** A call that was refused did nothing; of one that failed on the way, or inside, nobody knows. */
function mayHaveActed(error: unknown): boolean {
  const { name, status } = errorParts(error);
  return status >= 500 || status === 0 || name === 'TimeoutError';
}

function isNetworkError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && /^E[A-Z]+$/.test(String(error.code));
}

function failureOf(error: unknown, isAfterLoss: boolean): CallFailure {
  const { name, message } = errorParts(error);
  const reason = `Route 53 answers ${printable(name, 80)}: ${printable(message, 500)}`;
  if (name === 'InvalidChangeBatch') return { kind: 'refused', reason, isAfterLoss };
  const hint = HINTS[name] ?? (RETRIED.has(name) ? 'try again later' : 'the reason is all we know');
  return { kind: 'failed', reason, hint };
}

function errorParts(error: unknown): { name: string; message: string; status: number } {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error), status: 0 };
  const { $metadata, messages } = error as Error & {
    readonly $metadata?: { readonly httpStatusCode?: number };
    readonly messages?: readonly string[];
  };
  const message = error.message === '' ? (messages ?? []).join('; ') : error.message;
  return { name: error.name, message, status: $metadata?.httpStatusCode ?? 0 };
}
