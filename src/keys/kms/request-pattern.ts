import { createHmac, createSecretKey, hash, type KeyObject, randomUUID } from 'node:crypto';
import type { HttpAnswer, HttpCall } from './http-connections.ts';

/**
 * A request to KMS after the pattern of one that the AWS SDK made itself. Of an hour's hundred
 * thousand signatures only body, date, credentials and an id differ; to work out everything else
 * anew (endpoint, headers, the choice how to sign) takes more than half of a call. So the SDK makes a
 * request now and then, and in between only what differs is put in, and signed anew by Signature
 * Version 4: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */
export interface RequestPattern {
  readonly call: HttpCall;
  /** Names of the headers that are signed, sorted. */
  readonly signed: readonly string[];
  readonly region: string;
  readonly service: string;
}

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

const ALGORITHM = 'AWS4-HMAC-SHA256';
const AUTHORIZATION =
  /^AWS4-HMAC-SHA256 Credential=[^/]+\/\d{8}\/([^/]+)\/([^/]+)\/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=[0-9a-f]{64}$/;
/** Made anew for each request, where the pattern has them. */
const OWN_HEADERS: ReadonlySet<string> = new Set([
  'authorization',
  'content-length',
  'x-amz-date',
  'x-amz-content-sha256',
  'x-amz-security-token',
  'amz-sdk-invocation-id',
]);

/** @returns undefined for a request that is not of the kind that can be repeated */
export function patternOf(call: HttpCall): RequestPattern | undefined {
  const match = AUTHORIZATION.exec(call.headers.authorization ?? '');
  const [, region, service, names] = match ?? [];
  const isPlain =
    call.method === 'POST' && call.path === '/' && Object.keys(call.query ?? {}).length === 0;
  if (region === undefined || service === undefined || names === undefined || !isPlain) {
    return undefined;
  }
  const signed = names.split(';');
  const isWhole = signed.every((name) => call.headers[name] !== undefined);
  return isWhole ? { call, signed, region, service } : undefined;
}

/** Signs requests. The key of the day is kept, as long as the credentials stay. */
export class PatternSigner {
  #day: { readonly secret: string; readonly scope: string; readonly key: KeyObject } | undefined;

  /**
   * @param body JSON
   * @param wallMs time of the signature, as AWS's clock has it
   */
  request(
    pattern: RequestPattern,
    body: string,
    credentials: Credentials,
    wallMs: number,
    invocationId: string = randomUUID(),
  ): HttpCall {
    const date = new Date(wallMs).toISOString().replace(/[-:]|\.\d+/g, '');
    const bodyHash = hash('sha256', body);
    const own: Record<string, string | undefined> = {
      'content-length': String(Buffer.byteLength(body)),
      'x-amz-date': date,
      'x-amz-content-sha256': bodyHash,
      'x-amz-security-token': credentials.sessionToken,
      'amz-sdk-invocation-id': invocationId,
    };
    const headers: Record<string, string> = {};
    for (const [name, text] of Object.entries(pattern.call.headers)) {
      const value = OWN_HEADERS.has(name) ? own[name] : text;
      if (value !== undefined) headers[name] = value;
    }
    const token = credentials.sessionToken;
    if (token !== undefined) headers['x-amz-security-token'] = token;
    const names = signedNames(pattern.signed, token !== undefined);
    const lines = names.map((name) => `${name}:${trimmed(headers[name] ?? '')}\n`).join('');
    const canonical = `POST\n/\n\n${lines}\n${names.join(';')}\n${bodyHash}`;
    const scope = `${date.slice(0, 8)}/${pattern.region}/${pattern.service}/aws4_request`;
    const key = this.#keyFor(credentials.secretAccessKey, scope);
    const toSign = `${ALGORITHM}\n${date}\n${scope}\n${hash('sha256', canonical)}`;
    const signature = createHmac('sha256', key).update(toSign).digest('hex');
    headers.authorization = `${ALGORITHM} Credential=${credentials.accessKeyId}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`;
    return { ...pattern.call, headers, body };
  }

  #keyFor(secret: string, scope: string): KeyObject {
    const known = this.#day;
    if (known?.secret === secret && known.scope === scope) return known.key;
    let octets = Buffer.from(`AWS4${secret}`);
    for (const part of scope.split('/')) {
      octets = createHmac('sha256', octets).update(part).digest();
    }
    const key = createSecretKey(octets); // an HMAC with octets takes six times as long
    this.#day = { secret, scope, key };
    return key;
  }
}

/** A pattern may be from a time of other credentials, with a session token or without. */
function signedNames(signed: readonly string[], hasToken: boolean): readonly string[] {
  const TOKEN = 'x-amz-security-token';
  if (signed.includes(TOKEN) === hasToken) return signed;
  return hasToken ? [...signed, TOKEN].sort() : signed.filter((name) => name !== TOKEN);
}

function trimmed(value: string): string {
  return value.trim().replace(/ +/g, ' ');
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
