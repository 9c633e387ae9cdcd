import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

interface Version {
  readonly id: string;
  /** Undefined: a delete marker. */
  readonly text: string | undefined;
  readonly changed: Date;
}

/**
 * The part of S3 that the keyring uses, over a real socket, in a bucket that keeps versions:
 * conditional writes (412, and 409 where a test asks for it), If-None-Match on reads, deletion by
 * version id, listing in pages. For the faults that an emulator does not make; wire format is
 * checked against ministack.
 */
export class FakeS3 {
  readonly requests: string[] = [];
  /** Called before each request; an answer ends it with that status and code. */
  onRequest: (method: string, key: string) => [number, string] | undefined = () => undefined;
  /** Does the work and then closes the connection without an answer, once for each true. */
  loseAnswerTo: (method: string, key: string) => boolean = () => false;
  /** Answers 409 and does the work when `land` is called: an earlier attempt that is still under way. */
  postpone: (method: string, key: string) => boolean = () => false;
  /** When what is written now was written. */
  nowMs: () => number = Date.now;
  #postponed: (() => void)[] = [];
  readonly #server: Server;
  readonly #objects = new Map<string, Version[]>();
  #count = 0;

  private constructor() {
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  static async start(): Promise<FakeS3> {
    const s3 = new FakeS3();
    await new Promise<void>((resolve) => s3.#server.listen(0, '127.0.0.1', resolve));
    return s3;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Keys of what stands, without delete markers. */
  get keys(): readonly string[] {
    return [...this.#objects.keys()].filter((key) => this.text(key) !== undefined).sort();
  }

  text(key: string): string | undefined {
    return this.#objects.get(key)?.at(-1)?.text;
  }

  /** All that anybody could still read of a key, old versions included. */
  versions(key: RegExp): readonly string[] {
    return [...this.#objects].flatMap(([name, versions]) =>
      key.test(name) ? versions.flatMap(({ text }) => text ?? []) : [],
    );
  }

  land(): void {
    for (const work of this.#postponed.splice(0)) work();
  }

  delete(key: string): void {
    this.#objects.delete(key);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const url = new URL(request.url ?? '', 'http://x');
    const [, , ...rest] = decodeURIComponent(url.pathname).split('/');
    const key = rest.join('/');
    const method = request.method ?? '';
    this.requests.push(`${method} ${key}`);
    const fault = this.onRequest(method, key);
    const work = () =>
      this.#handle(method, key, url, request.headers, Buffer.concat(chunks).toString());
    const isLate = this.postpone(method, key);
    if (isLate) this.#postponed.push(work);
    const [status, headers, body] = isLate
      ? failure(409, 'ConditionalRequestConflict')
      : fault === undefined
        ? work()
        : failure(...fault);
    if (this.loseAnswerTo(method, key)) {
      request.socket.destroy();
      return;
    }
    response.writeHead(status, headers);
    response.end(body);
  }

  #handle(
    method: string,
    key: string,
    url: URL,
    headers: IncomingMessage['headers'],
    text: string,
  ): [number, Record<string, string>, string] {
    if (key === '' && url.searchParams.has('versions')) return this.#listVersions(url);
    if (key === '') return this.#list(url);
    const standing = this.text(key);
    if (method === 'GET') {
      if (standing === undefined) return failure(404, 'NoSuchKey');
      if (headers['if-none-match'] === etag(standing)) return [304, {}, ''];
      return [200, { etag: etag(standing), 'content-type': 'application/json' }, standing];
    }
    if (method === 'PUT') {
      if (headers['if-none-match'] === '*' && standing !== undefined) {
        return failure(412, 'PreconditionFailed');
      }
      const expected = headers['if-match'];
      if (expected !== undefined && standing === undefined) return failure(404, 'NoSuchKey');
      if (expected !== undefined && expected !== etag(standing ?? '')) {
        return failure(412, 'PreconditionFailed');
      }
      return [200, { etag: etag(text), 'x-amz-version-id': this.#push(key, text) }, ''];
    }
    const id = url.searchParams.get('versionId');
    if (id === null) this.#push(key, undefined);
    else {
      const versions = this.#objects.get(key) ?? [];
      const left = versions.filter((version) => version.id !== id);
      if (left.length === 0) this.#objects.delete(key);
      else this.#objects.set(key, left);
    }
    return [204, {}, ''];
  }

  #push(key: string, text: string | undefined): string {
    this.#count += 1;
    const version = { id: `v${this.#count}`, text, changed: new Date(this.nowMs()) };
    this.#objects.set(key, [...(this.#objects.get(key) ?? []), version]);
    return version.id;
  }

  #listVersions(url: URL): [number, Record<string, string>, string] {
    const prefix = url.searchParams.get('prefix') ?? '';
    const found = [...this.#objects]
      .filter(([key]) => key.startsWith(prefix))
      .flatMap(([key, versions]) => versions.map((version) => ({ key, ...version })))
      .sort((one, other) => (one.id < other.id ? -1 : 1));
    const after = url.searchParams.get('version-id-marker') ?? '';
    const left = found.filter(({ id }) => id > after);
    const page = left.slice(0, 2); // small pages
    const items = page.map(({ key, id, text }) => {
      const element = text === undefined ? 'DeleteMarker' : 'Version';
      return `<${element}><Key>${key}</Key><VersionId>${id}</VersionId></${element}>`;
    });
    const last = page.at(-1);
    const next =
      page.length < left.length && last !== undefined
        ? `<NextKeyMarker>${last.key}</NextKeyMarker><NextVersionIdMarker>${last.id}</NextVersionIdMarker>`
        : '';
    const body = `<?xml version="1.0"?><ListVersionsResult>${items.join('')}${next}<IsTruncated>${next !== ''}</IsTruncated></ListVersionsResult>`;
    return [200, { 'content-type': 'application/xml' }, body];
  }

  #list(url: URL): [number, Record<string, string>, string] {
    const prefix = url.searchParams.get('prefix') ?? '';
    const after = url.searchParams.get('continuation-token') ?? '';
    const found = this.keys.filter((key) => key.startsWith(prefix) && key > after);
    const page = found.slice(0, 3); // small pages
    const next =
      page.length < found.length
        ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>`
        : '';
    const contents = page.map((key) => {
      const changed = this.#objects.get(key)!.at(-1)!.changed.toISOString();
      const tag = etag(this.text(key) ?? '').replaceAll('"', '&quot;');
      return `<Contents><Key>${key}</Key><ETag>${tag}</ETag><LastModified>${changed}</LastModified></Contents>`;
    });
    const body = `<?xml version="1.0"?><ListBucketResult>${contents.join('')}${next}<IsTruncated>${next !== ''}</IsTruncated></ListBucketResult>`;
    return [200, { 'content-type': 'application/xml' }, body];
  }
}

function etag(text: string): string {
  return `"${createHash('md5').update(text).digest('hex')}"`;
}

function failure(status: number, code: string): [number, Record<string, string>, string] {
  const body = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>no</Message></Error>`;
  return [status, { 'content-type': 'application/xml' }, body];
}
