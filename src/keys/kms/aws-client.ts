import type { KMSClient } from '@aws-sdk/client-kms';
import { printable } from '../../base/printable.ts';
import { HttpConnections } from './http-connections.ts';
import { KmsError, type KmsFaultKind } from './kms-fault.ts';
import type { KmsInput, KmsOperation, KmsOutput } from './kms-operation.ts';
import { QuickSign } from './quick-sign.ts';
import type { RequestSigner } from './request-pattern.ts';

/**
 * The border to the AWS SDK: the one file that calls it, and that knows its errors. It is loaded
 * only when a key needs it, since it takes memory and a moment to load. Credentials come from the
 * SDK's default chain.
 */

/** KMS in one Region. */
export interface KmsClient {
  /**
   * One attempt, no more.
   *
   * @throws KmsError
   */
  send<Name extends KmsOperation>(
    name: Name,
    input: KmsInput<Name>,
    signal: AbortSignal,
  ): Promise<KmsOutput<Name>>;
  /** Closes idle connections. */
  close(): void;
}

export interface KmsClientOptions {
  readonly region: string;
  /** undefined: AWS's own for the Region. */
  readonly endpoint: string | undefined;
  /** Most connections at the same time. */
  readonly connections: number;
}

export type OpenKmsClient = (options: KmsClientOptions) => Promise<KmsClient>;

export const openAwsClient: OpenKmsClient = async (options) => {
  const sdk = await import('@aws-sdk/client-kms');
  const connections = new HttpConnections({ connections: options.connections });
  const quick = new QuickSign({
    connections,
    signer: async () => requestSigner(await client.config.signer()),
    clockOffsetMs: () => client.config.systemClockOffset,
    nowMs: () => performance.now(),
  });
  const client: KMSClient = new sdk.KMSClient({
    region: options.region,
    ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint }),
    // Retries are ours: see `kms-caller.ts`.
    maxAttempts: 1,
    requestHandler: handlerOver(connections, quick),
  });
  const senders = sendersOf(sdk, client, quick);
  return {
    send: async (name, input, signal) => {
      try {
        return await senders[name](input, signal);
      } catch (error) {
        throw translated(error, name, options.region);
      }
    },
    close: () => client.destroy(),
  };
};

type SdkSigner = Awaited<ReturnType<KMSClient['config']['signer']>>;

/** The SDK's signer, for requests that the SDK does not make. */
export function requestSigner(signer: SdkSigner): RequestSigner {
  return {
    sign: async (call, options) => {
      const { query = {}, headers, ...others } = call;
      return await signer.sign(
        { ...others, query: { ...query }, headers: { ...headers } },
        options,
      );
    },
  };
}

type SdkHandler = KMSClient['config']['requestHandler'];

function handlerOver(connections: HttpConnections, quick: QuickSign): SdkHandler {
  return {
    metadata: { handlerProtocol: 'http/1.1' },
    handle: async (request, options = {}) => {
      const given = 'abortSignal' in options ? options.abortSignal : undefined;
      const signal = given instanceof AbortSignal ? given : undefined;
      const response = await connections.send(request, signal);
      quick.learn(request, response);
      return { response };
    },
    updateHttpClientConfig: () => undefined,
    httpHandlerConfigs: () => ({}),
    destroy: () => connections.close(),
  };
}

/** The Region of the SDK's own chain (environment, profile), for `kms.regions: []`. */
export async function defaultRegion(): Promise<string> {
  const { KMSClient } = await import('@aws-sdk/client-kms');
  try {
    return await new KMSClient({}).config.region();
  } catch (error) {
    const message = 'no AWS Region is known: set kms.regions, or AWS_REGION';
    throw new KmsError('other', message, { cause: error });
  }
}

type Senders = {
  readonly [Name in KmsOperation]: (
    input: KmsInput<Name>,
    signal: AbortSignal,
  ) => Promise<KmsOutput<Name>>;
};

function sendersOf(
  sdk: typeof import('@aws-sdk/client-kms'),
  client: KMSClient,
  quick: QuickSign,
): Senders {
  const abort = (abortSignal: AbortSignal) => ({ abortSignal });
  return {
    CancelKeyDeletion: (input, signal) =>
      client.send(new sdk.CancelKeyDeletionCommand(input), abort(signal)),
    CreateKey: (input, signal) => client.send(new sdk.CreateKeyCommand(input), abort(signal)),
    Decrypt: async (input, signal) => {
      try {
        return await client.send(new sdk.DecryptCommand(input), abort(signal));
      } finally {
        forgetLastMatch();
      }
    },
    DescribeKey: (input, signal) => client.send(new sdk.DescribeKeyCommand(input), abort(signal)),
    DisableKey: (input, signal) => client.send(new sdk.DisableKeyCommand(input), abort(signal)),
    EnableKey: (input, signal) => client.send(new sdk.EnableKeyCommand(input), abort(signal)),
    Encrypt: (input, signal) => client.send(new sdk.EncryptCommand(input), abort(signal)),
    GenerateDataKeyPairWithoutPlaintext: (input, signal) =>
      client.send(new sdk.GenerateDataKeyPairWithoutPlaintextCommand(input), abort(signal)),
    GetPublicKey: (input, signal) => client.send(new sdk.GetPublicKeyCommand(input), abort(signal)),
    ListKeys: (input, signal) => client.send(new sdk.ListKeysCommand(input), abort(signal)),
    ListResourceTags: (input, signal) =>
      client.send(new sdk.ListResourceTagsCommand(input), abort(signal)),
    ReplicateKey: (input, signal) => client.send(new sdk.ReplicateKeyCommand(input), abort(signal)),
    ScheduleKeyDeletion: (input, signal) =>
      client.send(new sdk.ScheduleKeyDeletionCommand(input), abort(signal)),
    Sign: async (input, signal) =>
      (await quick.sign(input, signal)) ??
      (await client.send(new sdk.SignCommand(input), abort(signal))),
  };
}

/**
 * The SDK checks base64 with a regular expression, and V8 keeps the text of the last match alive
 * (`RegExp.input`): a private key, for as long as nothing else is matched. So something else is.
 */
function forgetLastMatch(): void {
  /x/.test('x');
}

/**
 * Names of errors, from the API reference of KMS, its common errors and the SDK itself:
 * https://docs.aws.amazon.com/kms/latest/APIReference/CommonErrors.html
 */
const KINDS: Readonly<Record<string, KmsFaultKind>> = {
  ThrottlingException: 'throttled',
  Throttling: 'throttled',
  RequestLimitExceeded: 'throttled',
  TooManyRequestsException: 'throttled',
  KMSInternalException: 'unavailable',
  DependencyTimeoutException: 'unavailable',
  KeyUnavailableException: 'unavailable',
  InternalFailure: 'unavailable',
  ServiceUnavailable: 'unavailable',
  TimeoutError: 'timeout',
  ETIMEDOUT: 'timeout',
  RequestTimeout: 'timeout',
  AccessDeniedException: 'access-denied',
  AccessDenied: 'access-denied',
  NotAuthorized: 'access-denied',
  OptInRequired: 'access-denied',
  DisabledException: 'disabled',
  KMSInvalidStateException: 'invalid-state',
  NotFoundException: 'not-found',
  InvalidCiphertextException: 'wrong-context',
  IncorrectKeyException: 'wrong-context',
  RequestTimeTooSkewed: 'clock-skew',
  RequestExpired: 'clock-skew',
  RequestInTheFuture: 'clock-skew',
  CredentialsProviderError: 'credentials',
  TokenProviderError: 'credentials',
  ExpiredTokenException: 'credentials',
  UnrecognizedClientException: 'credentials',
  InvalidClientTokenId: 'credentials',
  IncompleteSignature: 'credentials',
  MissingAuthenticationToken: 'credentials',
  MissingAuthenticationTokenException: 'credentials',
  AbortError: 'aborted',
};

/** Codes of the operating system for connections that failed. */
const CONNECTION_CODES: ReadonlySet<string> = new Set(
  'ECONNREFUSED ECONNRESET EPIPE ENOTFOUND EAI_AGAIN EHOSTUNREACH ENETUNREACH EPROTO'.split(' '),
);

/** The words of AWS may hold ARNs and names, and never key material; they are cut all the same. */
const MAX_MESSAGE_CHARACTERS = 300;

function translated(error: unknown, operation: KmsOperation, region: string): KmsError {
  const thrown = thrownFields(error);
  const kind = kindOf(thrown);
  const words = printable(thrown.message, MAX_MESSAGE_CHARACTERS);
  const message = `KMS in ${region}, ${operation}: ${thrown.name}${words === '' ? '' : `: ${words}`}`;
  // No cause: an SDK error keeps the whole response, and a response may hold plain text.
  return new KmsError(kind, message, { requestId: thrown.requestId });
}

interface Thrown {
  readonly name: string;
  readonly message: string;
  readonly code: string | undefined;
  readonly status: number | undefined;
  readonly requestId: string | undefined;
}

function thrownFields(error: unknown): Thrown {
  if (!(error instanceof Error)) {
    return { name: 'Error', message: '', code: undefined, status: undefined, requestId: undefined };
  }
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  const metadata: unknown = '$metadata' in error ? error.$metadata : undefined;
  const field = (name: string): unknown =>
    typeof metadata === 'object' && metadata !== null
      ? Object.getOwnPropertyDescriptor(metadata, name)?.value
      : undefined;
  const status = field('httpStatusCode');
  const requestId = field('requestId');
  // Of an endpoint with several addresses, all of which failed, Node tells the first one's code.
  const isSystems = error.name === 'Error' || error instanceof AggregateError;
  return {
    name: code !== undefined && isSystems ? code : error.name,
    message: error.message,
    code,
    status: typeof status === 'number' ? status : undefined,
    requestId: typeof requestId === 'string' ? requestId : undefined,
  };
}

function kindOf({ name, message, code, status }: Thrown): KmsFaultKind {
  // A wrong date is told as a wrong signature; only the text says which of the two it is.
  if (name === 'InvalidSignatureException' || name === 'SignatureDoesNotMatch') {
    return /expired|not yet current/i.test(message) ? 'clock-skew' : 'credentials';
  }
  if (code !== undefined && CONNECTION_CODES.has(code)) return 'unavailable';
  if (Object.hasOwn(KINDS, name)) return KINDS[name] ?? 'other';
  return status !== undefined && status >= 500 ? 'unavailable' : 'other';
}
