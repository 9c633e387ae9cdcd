import {
  type ClientRequest,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
} from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';

/**
 * How the AWS SDK's requests get onto the wire, in place of the SDK's own handler (decision 041): a
 * signature is 700 octets there and 900 back, for which that handler makes a stream, two timers and
 * copies of all headers. Here a request is one write, and its answer is collected as it comes. The
 * SDK's credential chain sends its requests this way too.
 */

/** What the SDK hands over: `HttpRequest` of https://smithy.io. */
export interface HttpCall {
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number;
  readonly method: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | string[] | null>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** The whole answer. */
export interface HttpAnswer {
  readonly statusCode: number;
  readonly headers: Record<string, string>;
  readonly body: Uint8Array;
}

export interface HttpConnectionsOptions {
  /** Most at the same time; further requests wait for one. */
  readonly connections: number;
  /** A connection on which nothing moves for so long is closed; its request fails. */
  readonly idleMs?: number;
}

const IDLE_MS = 60_000;
/** An answer of KMS is small; a page of ListKeys, the largest, takes some 200 KB. */
const MAX_ANSWER_BYTES = 2 * 1024 * 1024;

/** Connections that stay open for the next request. */
export class HttpConnections {
  readonly #http: HttpAgent;
  readonly #https: HttpsAgent;

  constructor({ connections, idleMs = IDLE_MS }: HttpConnectionsOptions) {
    const options = { keepAlive: true, maxSockets: connections, timeout: idleMs };
    this.#http = new HttpAgent(options);
    this.#https = new HttpsAgent(options);
  }

  /**
   * Sends a request and collects its answer.
   *
   * @param signal ends it
   * @throws Error of the operating system, with its code; `AbortError` after an abort
   */
  send(call: HttpCall, signal: AbortSignal | undefined): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      const request = this.#open(call, (response) => collect(response, resolve, reject));
      request.on('error', reject);
      request.on('timeout', () => request.destroy(codedError('ETIMEDOUT', 'nothing moves')));
      if (signal !== undefined) endWith(request, signal);
      request.end(call.body);
    });
  }

  /** Closes all of them. */
  close(): void {
    this.#http.destroy();
    this.#https.destroy();
  }

  #open(call: HttpCall, onResponse: (response: IncomingMessage) => void): ClientRequest {
    const { protocol, hostname, port, method, headers } = call;
    // The brackets of an IPv6 address belong to the URL only.
    const host = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
    const options = { host, port, method, headers, path: call.path + queryText(call.query) };
    return protocol === 'https:'
      ? httpsRequest({ ...options, agent: this.#https }, onResponse)
      : httpRequest({ ...options, agent: this.#http }, onResponse);
  }
}

function collect(
  response: IncomingMessage,
  resolve: (answer: HttpAnswer) => void,
  reject: (error: Error) => void,
): void {
  const parts: Buffer[] = [];
  let length = 0;
  response.on('data', (part: Buffer) => {
    parts.push(part);
    length += part.length;
    if (length > MAX_ANSWER_BYTES) response.destroy(codedError('EMSGSIZE', 'answer too large'));
  });
  response.on('error', reject);
  response.on('end', () => {
    const [only] = parts;
    const body = parts.length === 1 && only !== undefined ? only : Buffer.concat(parts);
    resolve({ statusCode: response.statusCode ?? 0, headers: joined(response.headers), body });
  });
}

/** Node gives a header that may stand several times as a list. */
function joined(headers: IncomingHttpHeaders): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) texts[name] = typeof value === 'string' ? value : value.join(',');
  }
  return texts;
}

function endWith(request: ClientRequest, signal: AbortSignal): void {
  const stop = () => {
    const error = new Error('Request aborted');
    error.name = 'AbortError';
    request.destroy(error);
  };
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop, { once: true });
  request.once('close', () => signal.removeEventListener('abort', stop));
}

/** As the signature of the request counts it: RFC 3986 section 2.1, names sorted. */
function queryText(query: HttpCall['query']): string {
  if (query === undefined) return '';
  const pairs = Object.keys(query)
    .sort()
    .flatMap((name) => {
      const value = query[name];
      if (value === null || value === undefined) return [escaped(name)];
      const values = typeof value === 'string' ? [value] : value;
      return values.map((text) => `${escaped(name)}=${escaped(text)}`);
    });
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
}

function escaped(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function codedError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
