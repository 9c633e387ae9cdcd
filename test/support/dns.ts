import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import {
  AUTHORITATIVE_ANSWER,
  decode,
  encode,
  type Packet,
  RECURSION_AVAILABLE,
  type ResourceRecord,
  TRUNCATED_RESPONSE,
} from 'dns-packet';
import type { RecordType } from '../../src/base/resolver.ts';
import { asResourceRecords, type RecordValues, type ZoneRecords } from './dns-records.ts';

export type { RecordValues, ZoneRecords } from './dns-records.ts';

/** Owner name (lower case, no trailing dot) to records by type. */
export type Zone = Readonly<Record<string, ZoneRecords>>;

/** What the server does instead of answering properly. */
export type DnsFault =
  /** No answer at all, over UDP and TCP. */
  | 'timeout'
  | 'servfail'
  | 'refused'
  /** FORMERR to queries with EDNS, a proper answer to others. */
  | 'no-edns'
  /** Every UDP answer is truncated; TCP is proper. */
  | 'truncate'
  /** Truncated over UDP, and TCP closes without an answer. */
  | 'truncate-tcp-closes'
  /** A wrong id, and nothing else. */
  | 'wrong-id'
  /** Forged answers first (wrong id, wrong question, not a response), then the proper one. */
  | 'forged-first'
  /** NOERROR with only NS records of another zone. */
  | 'lame'
  /** The right id, then octets that are no DNS message. */
  | 'garbage'
  /** NOERROR, no answer, no SOA: negative, and not to be cached. */
  | 'empty';

export interface QuerySeen {
  readonly name: string;
  readonly type: string;
  readonly transport: 'udp' | 'tcp';
  readonly edns: boolean;
  /** Source port of the query. */
  readonly port: number;
}

export interface FakeDnsOptions {
  /** TTL of records in seconds where `set` says none; default 300. */
  readonly ttlS?: number;
  /** TTL and MINIMUM of the SOA in negative answers; default 60. */
  readonly negativeTtlS?: number;
  /** Answer only the first CNAME, as a server does whose target lies in another zone. */
  readonly oneCname?: boolean;
}

/** Starts a DNS server on a loopback port, UDP and TCP. `close` it in the same test. */
export async function startDns(zone: Zone = {}, options: FakeDnsOptions = {}): Promise<FakeDns> {
  for (let attempt = 0; ; attempt += 1) {
    const udp = createSocket('udp4');
    udp.bind(0, '127.0.0.1');
    await once(udp, 'listening');
    const { port } = udp.address();
    const tcp = createServer();
    try {
      tcp.listen(port, '127.0.0.1');
      await once(tcp, 'listening');
      return new FakeDns(udp, tcp, zone, options);
    } catch (error) {
      // Somebody else holds the TCP port of that number: take another pair.
      udp.close();
      if (attempt === 10) throw error;
    }
  }
}

interface Rrset {
  readonly records: readonly ResourceRecord[];
}

/**
 * A scriptable DNS server: a table of records, faults by name, and a list of what was asked. A name
 * that owns nothing is NXDOMAIN; one that owns only other types, or lies above one that owns
 * something, is NODATA; both with an SOA.
 */
export class FakeDns {
  readonly address = '127.0.0.1';
  readonly port: number;
  /** Every query received, in order. */
  readonly queries: QuerySeen[] = [];
  readonly #udp: UdpSocket;
  readonly #tcp: Server;
  readonly #options: FakeDnsOptions;
  /** `name TYPE` to the answers to give, one after the other; the last one stays. */
  readonly #table = new Map<string, Rrset[]>();
  readonly #faults = new Map<string, DnsFault>();
  readonly #connections = new Set<Socket>();
  #held: (() => void)[] | undefined;

  constructor(udp: UdpSocket, tcp: Server, zone: Zone, options: FakeDnsOptions) {
    this.#udp = udp;
    this.#tcp = tcp;
    this.#options = options;
    this.port = (tcp.address() as AddressInfo).port;
    for (const [name, records] of Object.entries(zone)) {
      for (const [type, values] of Object.entries(records)) {
        this.set(name, type as RecordType, values as never);
      }
    }
    udp.on('message', (octets, from) => this.#onDatagram(octets, from));
    tcp.on('connection', (socket) => this.#onConnection(socket));
  }

  /** As `dns.servers` takes it. */
  get server(): string {
    return `${this.address}:${this.port}`;
  }

  /** Replaces the records of a name and type; no values: the name has none of this type. */
  set<Type extends RecordType>(
    name: string,
    type: Type,
    values: RecordValues<Type>,
    ttlS = this.#options.ttlS ?? 300,
  ): void {
    this.#table.set(`${name} ${type}`, [{ records: asResourceRecords(name, type, values, ttlS) }]);
  }

  /** The first query gets the first values, the next the second …; the last ones stay. */
  setInTurn<Type extends RecordType>(
    name: string,
    type: Type,
    turns: readonly RecordValues<Type>[],
    ttlS = 0,
  ): void {
    const answers = turns.map((values) => ({
      records: asResourceRecords(name, type, values, ttlS),
    }));
    this.#table.set(`${name} ${type}`, answers);
  }

  /** Forgets every record of a name. */
  remove(name: string): void {
    for (const key of [...this.#table.keys()]) {
      if (key.startsWith(`${name} `)) this.#table.delete(key);
    }
  }

  /** Makes queries for a name (`*`: all), or for one type of it, fail; undefined: no longer. */
  fault(name: string, fault: DnsFault | undefined, type: RecordType | '*' = '*'): void {
    if (fault === undefined) this.#faults.delete(`${name} ${type}`);
    else this.#faults.set(`${name} ${type}`, fault);
  }

  /** Withholds all answers until `release`. */
  hold(): void {
    this.#held ??= [];
  }

  /** Answers withheld now. */
  get heldCount(): number {
    return this.#held?.length ?? 0;
  }

  /** Gives the answers withheld so far, and goes on withholding. */
  releaseHeld(): void {
    for (const answer of this.#held?.splice(0) ?? []) answer();
  }

  /** Gives the answers that were withheld, and no longer withholds any. */
  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const answer of held) answer();
  }

  /** How often a name was asked for, of one type or of all; UDP and TCP both count. */
  count(name: string, type?: RecordType): number {
    return this.queries.filter(
      (query) => query.name === name && (type === undefined || query.type === type),
    ).length;
  }

  async close(): Promise<void> {
    for (const socket of this.#connections) socket.destroy();
    this.#tcp.close();
    this.#udp.close();
    await Promise.all([once(this.#tcp, 'close'), once(this.#udp, 'close')]);
  }

  #onDatagram(octets: Buffer, from: RemoteInfo): void {
    const query = decode(octets);
    const fault = this.#record(query, 'udp', from.port);
    this.#whenReleased(() => {
      for (const answer of this.#udpAnswers(query, fault)) {
        this.#udp.send(answer, from.port, from.address, () => {});
      }
    });
  }

  #onConnection(socket: Socket): void {
    this.#connections.add(socket);
    socket.on('close', () => this.#connections.delete(socket));
    socket.on('error', () => {});
    let received: Buffer = Buffer.alloc(0);
    socket.on('data', (octets: Buffer) => {
      received = Buffer.concat([received, octets]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const query = decode(received.subarray(2));
      const fault = this.#record(query, 'tcp', socket.remotePort ?? 0);
      if (fault === 'truncate-tcp-closes') socket.end();
      if (fault === 'truncate-tcp-closes' || fault === 'timeout') return;
      const reply = encode(this.#reply(query, fault));
      const length = Buffer.alloc(2);
      length.writeUInt16BE(reply.length);
      this.#whenReleased(() => socket.end(Buffer.concat([length, reply])));
    });
  }

  #whenReleased(action: () => void): void {
    if (this.#held === undefined) action();
    else this.#held.push(action);
  }

  #record(query: Packet, transport: 'udp' | 'tcp', port: number): DnsFault | undefined {
    const { name, type } = asked(query);
    const edns = query.additionals?.some((record) => record.type === 'OPT') ?? false;
    this.queries.push({ name, type, transport, edns, port });
    const fault = [`${name} ${type}`, `${name} *`, `* ${type}`, '* *']
      .map((key) => this.#faults.get(key))
      .find((found) => found !== undefined);
    return fault === 'no-edns' && !edns ? undefined : fault;
  }

  #udpAnswers(query: Packet, fault: DnsFault | undefined): Buffer[] {
    const reply = this.#reply(query, fault);
    switch (fault) {
      case 'timeout':
        return [];
      case 'truncate':
      case 'truncate-tcp-closes':
        return [
          encode({
            ...reply,
            flags: reply.flags | TRUNCATED_RESPONSE,
            answers: [],
            authorities: [],
          }),
        ];
      case 'wrong-id':
        return [encode({ ...reply, id: reply.id ^ 1 })];
      case 'forged-first':
        return [
          Buffer.from('x'),
          encode({ ...reply, id: reply.id ^ 1, answers: [] }),
          encode({ ...reply, questions: [{ name: 'other.example', type: 'A' }], answers: [] }),
          encode({ ...reply, type: 'query', answers: [] }),
          encode(reply),
        ];
      case 'garbage': {
        const octets = Buffer.alloc(40, 0xff);
        octets.writeUInt16BE(query.id, 0);
        octets.writeUInt8(0x84, 2);
        return [octets];
      }
      default:
        return [encode(reply)];
    }
  }

  #reply(query: Packet, fault: DnsFault | undefined): Packet {
    const base = { type: 'response' as const, id: query.id, questions: query.questions };
    const flags = AUTHORITATIVE_ANSWER | RECURSION_AVAILABLE;
    const rcode = { servfail: 2, refused: 5, 'no-edns': 1 }[fault as string];
    if (rcode !== undefined) return { ...base, flags: flags | rcode };
    if (fault === 'empty') return { ...base, flags };
    if (fault === 'lame') {
      const referral = {
        name: 'elsewhere.example',
        type: 'NS',
        ttl: 60,
        data: 'ns.elsewhere.example',
      };
      return { ...base, flags: 0, authorities: [referral] };
    }
    return { ...base, ...this.#answer(query, flags) };
  }

  #answer(query: Packet, flags: number): Pick<Packet, 'flags' | 'answers' | 'authorities'> {
    const { name, type } = asked(query);
    const answers: ResourceRecord[] = [];
    let owner = name;
    for (let hop = 0; hop < 20; hop += 1) {
      const found = this.#next(`${owner} ${type}`);
      if (found.length > 0) return { flags, answers: [...answers, ...found] };
      const [alias] = this.#next(`${owner} CNAME`);
      if (alias === undefined) break;
      answers.push(alias);
      owner = String(alias.data);
      if (this.#options.oneCname === true) return { flags, answers };
    }
    if (answers.length >= 20) return { flags, answers };
    const nxdomain = this.#exists(owner) ? 0 : 3;
    return { flags: flags | nxdomain, answers, authorities: [this.#soa(owner)] };
  }

  #next(key: string): readonly ResourceRecord[] {
    const turns = this.#table.get(key);
    if (turns === undefined) return [];
    const turn = turns.length > 1 ? turns.shift() : turns[0];
    return turn?.records ?? [];
  }

  #exists(name: string): boolean {
    return [...this.#table.keys()].some((key) => {
      const owner = key.slice(0, key.indexOf(' '));
      return owner === name || owner.endsWith(`.${name}`);
    });
  }

  #soa(name: string): ResourceRecord {
    const minimum = this.#options.negativeTtlS ?? 60;
    const data = { mname: 'ns.test', rname: 'hostmaster.test', serial: 1, minimum };
    return { name: name.split('.').at(-1) ?? '.', type: 'SOA', ttl: minimum, data };
  }
}

function asked(query: Packet): { readonly name: string; readonly type: string } {
  const [question] = query.questions;
  return { name: question?.name.toLowerCase() ?? '', type: question?.type ?? '' };
}
