import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** What a ConfigMap looks like on the wire, as far as it matters here. */
interface ConfigMap {
  readonly metadata: {
    readonly name: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly resourceVersion: string;
    readonly creationTimestamp: string;
  };
  readonly data: Readonly<Record<string, string>>;
}

type Body = { metadata: Partial<ConfigMap['metadata']>; data: Record<string, string> };

/** Of a ConfigMap's `data` (core/v1, MaxSecretSize and the validation of ConfigMaps). */
const MAX_DATA_BYTES = 1024 * 1024;

/**
 * The part of a Kubernetes API server that keeps ConfigMaps, over a real socket, with its rules: one
 * `resourceVersion` that rises with every write; 409 for a PUT that names another one and for a
 * POST of a name that is taken; 404, 401, 422; label selectors; lists in pages, as metadata if the
 * client asks for that. The real one is met in `test/e2e/kubernetes.test.ts`.
 */
export class FakeKubernetes {
  readonly dir: string;
  readonly tokenFile: string;
  readonly requests: string[] = [];
  /** Called before each request; an answer ends it. */
  onRequest: (method: string, name: string) => number | 'hang-up' | undefined = () => undefined;
  /** Does the work and then closes the connection without an answer. */
  loseAnswerTo: (method: string, name: string) => boolean = () => false;
  /** The clock of the server. */
  nowMs: () => number = Date.now;
  token = 'token-1';
  readonly #server: Server;
  readonly #maps = new Map<string, ConfigMap>();
  #version = 100;

  private constructor(dir: string) {
    this.dir = dir;
    this.tokenFile = path.join(dir, 'token');
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  static async start(): Promise<FakeKubernetes> {
    const api = new FakeKubernetes(await mkdtemp(path.join(tmpdir(), 'waxseal-kubernetes-')));
    await writeFile(api.tokenFile, `${api.token}\n`);
    await writeFile(path.join(api.dir, 'namespace'), 'mail');
    await new Promise<void>((resolve) => api.#server.listen(0, '127.0.0.1', resolve));
    return api;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get names(): readonly string[] {
    return [...this.#maps.keys()].sort();
  }

  text(name: string): string {
    return this.#maps.get(name)?.data.text ?? '';
  }

  /** What `kubectl edit` would do. */
  edit(name: string, text: string): void {
    const map = this.#maps.get(name)!;
    this.#maps.set(name, { metadata: { ...map.metadata, ...this.#next() }, data: { text } });
  }

  delete(name: string): void {
    this.#maps.delete(name);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    await rm(this.dir, { recursive: true, force: true });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const url = new URL(request.url ?? '', 'http://x');
    const match = /^\/api\/v1\/namespaces\/mail\/configmaps(?:\/([^/]+))?$/.exec(url.pathname);
    const method = request.method ?? '';
    const name = decodeURIComponent(match?.[1] ?? '');
    this.requests.push(`${method} ${name}`);
    const fault = this.onRequest(method, name);
    if (fault === 'hang-up') {
      request.socket.destroy();
      return;
    }
    const [status, body] =
      fault !== undefined
        ? [fault, this.#status(fault, 'injected')]
        : request.headers.authorization !== `Bearer ${this.token}`
          ? [401, this.#status(401, 'Unauthorized')]
          : match === null
            ? [404, this.#status(404, 'the server could not find the requested resource')]
            : this.#handle(method, name, url, request, Buffer.concat(chunks).toString());
    if (this.loseAnswerTo(method, name)) {
      request.socket.destroy();
      return;
    }
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  }

  #handle(
    method: string,
    name: string,
    url: URL,
    request: IncomingMessage,
    text: string,
  ): [number, unknown] {
    const standing = this.#maps.get(name);
    if (method === 'GET' && name === '') return this.#list(url, request.headers.accept ?? '');
    if (method === 'POST') return this.#create(JSON.parse(text) as Body);
    if (standing === undefined) return [404, this.#status(404, `configmaps "${name}" not found`)];
    if (method === 'GET') return [200, standing];
    if (method === 'DELETE') {
      this.#maps.delete(name);
      return [200, this.#status(200, '')];
    }
    const body = JSON.parse(text) as Body;
    const expected = body.metadata.resourceVersion;
    if (expected !== undefined && expected !== standing.metadata.resourceVersion) {
      return [409, this.#status(409, 'the object has been modified; please apply your changes')];
    }
    return this.#store(name, body, standing.metadata.creationTimestamp, 200);
  }

  #create(body: Body): [number, unknown] {
    const name = body.metadata.name ?? '';
    if (this.#maps.has(name))
      return [409, this.#status(409, `configmaps "${name}" already exists`)];
    if (!/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(name) || name.length > 253) {
      return [422, this.#status(422, `ConfigMap "${name}" is invalid: metadata.name`)];
    }
    return this.#store(name, body, new Date(this.nowMs()).toISOString(), 201);
  }

  #store(name: string, body: Body, created: string, status: number): [number, unknown] {
    const bytes = Object.values(body.data).reduce((sum, text) => sum + Buffer.byteLength(text), 0);
    if (bytes > MAX_DATA_BYTES)
      return [422, this.#status(422, 'Too long: must have at most 1048576 bytes')];
    const metadata = { name, labels: body.metadata.labels ?? {}, creationTimestamp: created };
    const map = { metadata: { ...metadata, ...this.#next() }, data: body.data };
    this.#maps.set(name, map);
    return [status, map];
  }

  #list(url: URL, accept: string): [number, unknown] {
    const wanted = (url.searchParams.get('labelSelector') ?? '')
      .split(',')
      .map((one) => one.split('='));
    const found = this.names
      .map((name) => this.#maps.get(name)!)
      .filter(({ metadata }) =>
        wanted.every(([key = '', value]) => metadata.labels[key] === value),
      );
    const start = Number(url.searchParams.get('continue') ?? 0);
    const end = start + Math.min(Number(url.searchParams.get('limit') ?? 500), 3); // small pages
    const items = found.slice(start, end);
    const isMetadata = accept.includes('as=PartialObjectMetadataList');
    return [
      200,
      {
        metadata: end < found.length ? { continue: String(end) } : {},
        items: isMetadata ? items.map(({ metadata }) => ({ metadata })) : items,
      },
    ];
  }

  #next(): { readonly resourceVersion: string } {
    this.#version += 1;
    return { resourceVersion: String(this.#version) };
  }

  #status(code: number, message: string): unknown {
    return { kind: 'Status', apiVersion: 'v1', code, message };
  }
}
