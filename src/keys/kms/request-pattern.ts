import { randomUUID } from 'node:crypto';
import type { HttpAnswer, HttpCall } from './http-connections.ts';

/**
 * A request to KMS after the pattern of one that the AWS SDK made itself. Of an hour's hundred
 * thousand signatures only body, date, credentials and an id differ; to work out everything else
 * anew (endpoint, headers, the choice how to sign) takes most of a call. So the SDK makes a request
 * now and then, and in between only what differs is put in, and signed by the SDK's own signer.
 */
export interface RequestPattern {
  /** Without what is made anew for each request. */
  readonly call: HttpCall;
  readonly region: string;
  readonly service: string;
}

/** The SDK's signer of requests (Signature Version 4), with its credentials. */
export interface RequestSigner {
  /** Adds date, hash, session token and authorization. */
  sign(
    call: HttpCall,
    options: {
      readonly signingDate: Date;
      readonly signingRegion: string;
      readonly signingService: string;
    },
  ): Promise<HttpCall>;
}

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html */
const AUTHORIZATION = /^AWS4-HMAC-SHA256 Credential=[^/]+\/\d{8}\/([^/]+)\/([^/]+)\/aws4_request, /;
/** Made by the signer. */
const SIGNED_HEADERS: ReadonlySet<string> = new Set([
  'authorization',
  'x-amz-date',
  'x-amz-content-sha256',
  'x-amz-security-token',
]);

/** @returns undefined for a request that is not of the kind that can be repeated */
export function patternOf(call: HttpCall): RequestPattern | undefined {
  const match = AUTHORIZATION.exec(call.headers.authorization ?? '');
  const [, region, service] = match ?? [];
  const isPlain =
    call.method === 'POST' && call.path === '/' && Object.keys(call.query ?? {}).length === 0;
  if (region === undefined || service === undefined || !isPlain) return undefined;
  const kept = Object.entries(call.headers).filter(([name]) => !SIGNED_HEADERS.has(name));
  return { call: { ...call, headers: Object.fromEntries(kept) }, region, service };
}

/**
 * @param body JSON
 * @param wallMs time of the signature, as AWS's clock has it
 * @throws what the signer throws: no credentials
 */
export async function requestAfter(
  { call, region, service }: RequestPattern,
  body: string,
  signer: RequestSigner,
  wallMs: number,
): Promise<HttpCall> {
  const headers = {
    ...call.headers,
    'content-length': String(Buffer.byteLength(body)),
    'amz-sdk-invocation-id': randomUUID(),
  };
  return await signer.sign(
    { ...call, headers, body },
    { signingDate: new Date(wallMs), signingRegion: region, signingService: service },
  );
}

/**
 * An answer as the SDK would give it.
 *
 * @throws Error with name, message and `$metadata` as the SDK's have them, for all but 200:
 *   https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html#operation-error-serialization
 */
export function answerOf({ statusCode, headers, body }: HttpAnswer): {
  readonly fields: Readonly<Record<string, unknown>>;
  readonly $metadata: { readonly httpStatusCode: number; readonly requestId?: string };
} {
  const requestId = headers['x-amzn-requestid'];
  const $metadata = {
    httpStatusCode: statusCode,
    ...(requestId === undefined ? {} : { requestId }),
  };
  const fields = fieldsOf(body);
  if (statusCode === 200 && fields !== undefined) return { fields, $metadata };
  const text = (name: string) => (typeof fields?.[name] === 'string' ? String(fields[name]) : '');
  const type = text('__type') || (headers['x-amzn-errortype'] ?? '');
  const error = new Error(text('message') || text('Message'));
  error.name = type.split(':')[0]?.split('#').at(-1) || 'UnknownError';
  throw Object.assign(error, { $metadata });
}

function fieldsOf(body: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(body).toString());
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}
