import { readFile } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import type { Clock } from '../../base/clock.ts';
import { KeysError, systemCode, systemReason } from '../keys-error.ts';

/**
 * A thin client of the Kubernetes API: JSON over HTTPS, as the service account of the pod. It knows
 * nothing of objects. (https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/)
 */

export interface KubernetesClientOptions {
  /** `keys.store.kubernetes.server` */
  readonly server: string;
  readonly tokenFile: string;
  /** Empty: the authorities of Node.js. */
  readonly caFile: string;
  readonly timeoutMs: number;
  readonly clock: Clock;
}

export interface KubernetesAnswer {
  readonly status: number;
  /** Parsed JSON; undefined where there was none. */
  readonly body: unknown;
}

export interface KubernetesRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** With the query. */
  readonly path: string;
  readonly body?: unknown;
  readonly accept?: string;
}

/** Tokens of pods are replaced while they run; the file has the newest one. */
const TOKEN_AGE_MS = 60_000;
/** An object has 1 MiB at most; JSON may escape much of it. */
const MAX_ANSWER_BYTES = 8 * 1024 * 1024;
const MAX_SOCKETS = 8;

export class KubernetesClient {
  readonly #options: KubernetesClientOptions;
  readonly #server: URL;
  #agent: http.Agent | undefined;
  #token: { readonly text: string; readonly readMs: number } | undefined;

  /** @throws KeysError `keyring-store` for a server that is no URL */
  constructor(options: KubernetesClientOptions) {
    this.#options = options;
    const server = URL.canParse(options.server) ? new URL(options.server) : undefined;
    if (server === undefined || !['https:', 'http:'].includes(server.protocol)) {
      throw new KeysError('keyring-store', 'keys.store.kubernetes.server is no URL');
    }
    this.#server = server;
  }

  /**
   * Asks once, and once more with a fresh token after 401.
   *
   * @returns the answer whatever its status
   * @throws KeysError `kubernetes-unreachable`: no answer, or one that is too large or no JSON
   */
  async request(request: KubernetesRequest): Promise<KubernetesAnswer> {
    const answer = await this.#send(request, await this.#readToken(false));
    if (answer.status !== 401) return answer;
    return await this.#send(request, await this.#readToken(true));
  }

  close(): void {
    this.#agent?.destroy();
    this.#agent = undefined;
  }

  async #readToken(anew: boolean): Promise<string> {
    const { tokenFile, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    if (!anew && this.#token !== undefined && nowMs - this.#token.readMs < TOKEN_AGE_MS) {
      return this.#token.text;
    }
    try {
      const text = (await readFile(tokenFile, 'utf8')).trim();
      this.#token = { text, readMs: nowMs };
      return text;
    } catch (error) {
      throw new KeysError('keyring-store', `${tokenFile} ${systemReason(error)}`, {
        cause: error,
        hint: 'the pod needs a service account whose token is mounted (automountServiceAccountToken), or set keys.store.kubernetes.tokenFile',
      });
    }
  }

  async #connect(): Promise<http.Agent> {
    if (this.#agent !== undefined) return this.#agent;
    const options = { keepAlive: true, maxSockets: MAX_SOCKETS };
    if (this.#server.protocol === 'http:') {
      this.#agent = new http.Agent(options);
      return this.#agent;
    }
    const { caFile } = this.#options;
    try {
      const ca = caFile === '' ? undefined : await readFile(caFile);
      this.#agent = new https.Agent(ca === undefined ? options : { ...options, ca });
      return this.#agent;
    } catch (error) {
      throw new KeysError('keyring-store', `${caFile} ${systemReason(error)}`, {
        cause: error,
        hint: 'check keys.store.kubernetes.caFile',
      });
    }
  }

  async #send(request: KubernetesRequest, token: string): Promise<KubernetesAnswer> {
    const agent = await this.#connect();
    const signal = AbortSignal.timeout(this.#options.timeoutMs);
    const body = request.body === undefined ? undefined : JSON.stringify(request.body);
    const url = new URL(request.path, this.#server);
    const options: https.RequestOptions = {
      method: request.method,
      agent,
      signal,
      headers: {
        authorization: `Bearer ${token}`,
        accept: request.accept ?? 'application/json',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
    };
    const { protocol } = this.#server;
    try {
      return await exchange(protocol === 'https:' ? https : http, url, options, body);
    } catch (error) {
      // The authority may have been replaced: its file is read again for the next connection.
      if (/CERT|VERIFY|ISSUER/.test(systemCode(error) ?? '')) this.close();
      throw this.#unreachable(error, signal.aborted);
    }
  }

  #unreachable(error: unknown, isLate: boolean): KeysError {
    const { timeoutMs } = this.#options;
    const code = systemCode(error);
    const why = isLate
      ? `did not answer within ${timeoutMs} ms`
      : `cannot be asked (${code ?? 'its answer is bad'})`;
    const message = `the Kubernetes API at ${this.#server.host} ${why}`;
    // The cause would hold the request's headers, and with them the token.
    return new KeysError('kubernetes-unreachable', message, {
      hint: 'check keys.store.kubernetes.server and caFile, and the network policy of the pod',
    });
  }
}

function exchange(
  transport: typeof http | typeof https,
  url: URL,
  options: https.RequestOptions,
  body: string | undefined,
): Promise<KubernetesAnswer> {
  return new Promise((resolve, reject) => {
    const refuse = (error: unknown) => {
      // The server closed an idle connection just now; asking again changes nothing.
      const isStale = request.reusedSocket && systemCode(error) === 'ECONNRESET';
      if (isStale && options.method === 'GET') {
        resolve(exchange(transport, url, options, body)); // each stale one is used up by this
      } else reject(error);
    };
    const request = transport.request(url, options, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MAX_ANSWER_BYTES) request.destroy(new Error('too large'));
        else chunks.push(chunk);
      });
      response.on('error', reject);
      response.on('end', () => {
        try {
          const text = Buffer.concat(chunks).toString('utf8');
          const isJson = response.headers['content-type']?.includes('json') === true;
          resolve({
            status: response.statusCode ?? 0,
            body: isJson ? JSON.parse(text) : undefined,
          });
        } catch (error) {
          reject(error);
        }
      });
    });
    request.on('error', refuse);
    request.end(body);
  });
}
