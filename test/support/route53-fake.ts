import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Clock } from '../../src/base/clock.ts';

/** What happens to one request in place of a proper answer. */
export type Route53Fault =
  | 'throttled'
  | 'prior-request-not-complete'
  | 'internal-error'
  | 'access-denied'
  /** The change is made, and the connection is cut before the answer. */
  | 'lost-answer';

export interface Route53Request {
  readonly operation: 'change' | 'get-change' | 'list';
  /** By the clock that the fake was given. */
  readonly atMs: number;
  /** Actions of a change, e.g. `CREATE a.example.test. TXT`. */
  readonly actions: readonly string[];
}

interface RecordSet {
  readonly name: string;
  readonly type: string;
  readonly ttlS: number;
  /** As they stand in the XML, unescaped. */
  readonly values: readonly string[];
}

const NAMESPACE = 'xmlns="https://route53.amazonaws.com/doc/2013-04-01/"';
const ERRORS: Readonly<Record<string, readonly [number, string, string]>> = {
  throttled: [400, 'Throttling', 'Rate exceeded'],
  'prior-request-not-complete': [400, 'PriorRequestNotComplete', 'The request was rejected'],
  'internal-error': [500, 'InternalFailure', 'oops'],
  'access-denied': [403, 'AccessDenied', 'not authorized to perform ChangeResourceRecordSets'],
};

/**
 * One zone of Route 53 over HTTP, for what an emulator does not do: throttling, PENDING, lost
 * answers. CREATE and DELETE keep the rules of the API reference.
 */
export class Route53Fake {
  readonly requests: Route53Request[] = [];
  /** Taken one after the other, one for each request. */
  readonly faults: Route53Fault[] = [];
  /** Polls that a change stays PENDING. */
  pendingPolls = 0;
  readonly #server: Server;
  readonly #clock: Clock;
  readonly #sets = new Map<string, RecordSet>();
  /** Polls left, by change. */
  readonly #polls = new Map<string, number>();

  private constructor(server: Server, clock: Clock) {
    this.#server = server;
    this.#clock = clock;
    server.on('request', (request, response) => void this.#onRequest(request, response));
  }

  static async start(clock: Clock): Promise<Route53Fake> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Route53Fake(server, clock);
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Puts a record there that nobody's publisher wrote. */
  set(name: string, type: string, ttlS: number, ...values: readonly string[]): void {
    this.#sets.set(`${name}. ${type}`, { name: `${name}.`, type, ttlS, values });
  }

  values(name: string, type: string): readonly string[] | undefined {
    return this.#sets.get(`${name}. ${type}`)?.values;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = '';
    for await (const piece of request) body += String(piece);
    const url = new URL(request.url ?? '/', 'http://fake');
    const changes = readChanges(body);
    this.requests.push({
      operation:
        request.method === 'POST'
          ? 'change'
          : url.pathname.includes('/change/')
            ? 'get-change'
            : 'list',
      atMs: this.#clock.monotonicMs(),
      actions: changes.map(({ action, set }) => `${action} ${set.name} ${set.type}`),
    });
    const fault = this.faults.shift();
    const error = ERRORS[fault ?? ''];
    if (error !== undefined) return refuse(response, ...error);
    if (request.method === 'POST') {
      const message = this.#change(changes);
      if (fault === 'lost-answer') {
        request.socket.destroy();
      } else if (message !== undefined) {
        refuse(response, 400, 'InvalidChangeBatch', `[${message}]`);
      } else {
        const id = `C${this.#polls.size + 1}`;
        this.#polls.set(id, this.pendingPolls);
        answer(response, 200, this.#changeInfo('ChangeResourceRecordSetsResponse', id));
      }
      return;
    }
    if (url.pathname.includes('/change/')) {
      const id = url.pathname.split('/').at(-1) ?? '';
      this.#polls.set(id, (this.#polls.get(id) ?? 0) - 1);
      answer(response, 200, this.#changeInfo('GetChangeResponse', id));
      return;
    }
    answer(response, 200, this.#list(url.searchParams.get('name') ?? ''));
  }

  #change(changes: ReturnType<typeof readChanges>): string | undefined {
    const after = new Map(this.#sets);
    for (const { action, set } of changes) {
      const key = `${set.name} ${set.type}`;
      const what = `resource record set [name='${set.name}', type='${set.type}']`;
      if (action === 'DELETE') {
        if (JSON.stringify(after.get(key)) !== JSON.stringify(set)) {
          return `Tried to delete ${what} but the values provided do not match the current values`;
        }
        after.delete(key);
        continue;
      }
      const hasAlias = after.has(`${set.name} CNAME`) && set.type !== 'CNAME';
      if (hasAlias) return `RRSet of type ${set.type} conflicts with a CNAME: ${what}`;
      if (after.has(key) && action === 'CREATE')
        return `Tried to create ${what} but it already exists`;
      after.set(key, set);
    }
    this.#sets.clear();
    for (const [key, set] of after) this.#sets.set(key, set);
    return undefined;
  }

  #changeInfo(element: string, id: string): string {
    const status = (this.#polls.get(id) ?? 0) > 0 ? 'PENDING' : 'INSYNC';
    return `<${element} ${NAMESPACE}><ChangeInfo><Id>/change/${id}</Id><Status>${status}</Status><SubmittedAt>2026-11-25T00:00:00Z</SubmittedAt></ChangeInfo></${element}>`;
  }

  #list(name: string): string {
    const sets = [...this.#sets.values()].filter((set) => set.name >= name).toSorted(byName);
    const rows = sets.map(({ name: owner, type, ttlS, values }) => {
      const records = values.map(
        (value) => `<ResourceRecord><Value>${escapeXml(value)}</Value></ResourceRecord>`,
      );
      return `<ResourceRecordSet><Name>${owner}</Name><Type>${type}</Type><TTL>${ttlS}</TTL><ResourceRecords>${records.join('')}</ResourceRecords></ResourceRecordSet>`;
    });
    return `<ListResourceRecordSetsResponse ${NAMESPACE}><ResourceRecordSets>${rows.join('')}</ResourceRecordSets><IsTruncated>false</IsTruncated><MaxItems>20</MaxItems></ListResourceRecordSetsResponse>`;
  }
}

function readChanges(body: string): { action: string; set: RecordSet }[] {
  return [...body.matchAll(/<Change>(.*?)<\/Change>/gs)].map(([, change = '']) => ({
    action: text(change, 'Action')[0] ?? '',
    set: {
      name: text(change, 'Name')[0] ?? '',
      type: text(change, 'Type')[0] ?? '',
      ttlS: Number(text(change, 'TTL')[0]),
      values: text(change, 'Value'),
    },
  }));
}

function text(xml: string, element: string): string[] {
  return [...xml.matchAll(new RegExp(`<${element}>(.*?)</${element}>`, 'gs'))].map(
    ([, inner = '']) =>
      inner.replaceAll('&quot;', '"').replaceAll('&lt;', '<').replaceAll('&amp;', '&'),
  );
}

function escapeXml(value: string): string {
  return value.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}

function byName(one: RecordSet, other: RecordSet): number {
  return one.name < other.name ? -1 : 1;
}

function refuse(response: ServerResponse, status: number, code: string, message: string): void {
  answer(
    response,
    status,
    `<ErrorResponse ${NAMESPACE}><Error><Type>Sender</Type><Code>${code}</Code><Message>${escapeXml(message)}</Message></Error><RequestId>r1</RequestId></ErrorResponse>`,
  );
}

function answer(response: ServerResponse, status: number, xml: string): void {
  response.writeHead(status, { 'content-type': 'text/xml' });
  response.end(`<?xml version="1.0" encoding="UTF-8"?>\n${xml}`);
}
