import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import type { Clock } from './clock.ts';
import {
  type DnsReply,
  encodeQuery,
  type QueryKind,
  type Question,
  readReply,
} from './dns-message.ts';

/** Where a DNS server listens. */
export interface DnsServer {
  /** IPv4 or IPv6 address. */
  readonly address: string;
  readonly port: number;
}

export interface ExchangeLimits {
  /** For one question over one transport, in milliseconds. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** Ends every exchange, when the resolver is closed. */
  readonly signal: AbortSignal;
  /** Default `recursive`. */
  readonly queryKind?: QueryKind;
}

/** How asking one server ended. `detail` is for people. */
export type Exchange =
  | { readonly kind: 'reply'; readonly reply: DnsReply }
  | { readonly kind: 'timeout'; readonly detail: string }
  | { readonly kind: 'unreachable'; readonly detail: string }
  | { readonly kind: 'malformed'; readonly detail: string }
  | { readonly kind: 'closed'; readonly detail: string };

type UdpExchange = Exchange | { readonly kind: 'truncated' };

/**
 * Asks one server one question: over UDP with EDNS; without EDNS if the server does not know it
 * (RFC 6891 section 6.2.2); over TCP if the reply was truncated (RFC 7766 section 5). Never rejects.
 */
export async function exchange(
  server: DnsServer,
  question: Question,
  limits: ExchangeLimits,
): Promise<Exchange> {
  const first = await exchangeOnce(server, question, limits, true);
  const edns = first.kind !== 'reply' || !EDNS_REFUSALS.has(first.reply.rcode);
  return edns ? first : exchangeOnce(server, question, limits, false);
}

/** Asks over TCP at once, as `exchange` does after a truncated reply. Never rejects. */
export function exchangeOverTcp(
  server: DnsServer,
  question: Question,
  limits: ExchangeLimits,
): Promise<Exchange> {
  return overTcp(server, question, limits, true);
}

const EDNS_REFUSALS: ReadonlySet<string> = new Set(['FORMERR', 'NOTIMP', 'BADVERS']);

async function exchangeOnce(
  server: DnsServer,
  question: Question,
  limits: ExchangeLimits,
  edns: boolean,
): Promise<Exchange> {
  const result = await overUdp(server, question, limits, edns);
  return result.kind === 'truncated' ? overTcp(server, question, limits, edns) : result;
}

/**
 * A fresh socket for each query gives a fresh random port; it is connected, so that the kernel lets
 * only this server's datagrams through and reports a closed port at once (RFC 5452 section 9).
 */
function overUdp(
  server: DnsServer,
  question: Question,
  limits: ExchangeLimits,
  edns: boolean,
): Promise<UdpExchange> {
  return bounded<UdpExchange>(limits, 'UDP', server, (settle) => {
    const id = randomInt(0x10000);
    const socket = createSocket(isIPv6(server.address) ? 'udp6' : 'udp4');
    socket.on('error', (error) => settle({ kind: 'unreachable', detail: error.message }));
    socket.on('message', (octets) => {
      const received = readReply(octets, question, id);
      // A stray or forged datagram must not end the wait for the true reply.
      if (received.kind !== 'foreign') settle(received);
    });
    socket.on('connect', () => socket.send(encodeQuery(question, id, edns, limits.queryKind)));
    socket.connect(server.port, server.address);
    return () => socket.close();
  });
}

function overTcp(
  server: DnsServer,
  question: Question,
  limits: ExchangeLimits,
  edns: boolean,
): Promise<Exchange> {
  return bounded<Exchange>(limits, 'TCP', server, (settle) => {
    const id = randomInt(0x10000);
    const socket = connect({ host: server.address, port: server.port, noDelay: true });
    const query = encodeQuery(question, id, edns, limits.queryKind);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(query.length);
    socket.write(Buffer.concat([length, query]));
    let received: Buffer = Buffer.alloc(0);
    socket.on('error', (error) => settle({ kind: 'unreachable', detail: error.message }));
    socket.on('end', () => settle({ kind: 'malformed', detail: 'it closed before its reply' }));
    socket.on('data', (octets: Buffer) => {
      // At most 64 KiB and one read more: the length has two octets.
      received = Buffer.concat([received, octets]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const message = received.subarray(2, 2 + received.readUInt16BE(0));
      const reply = readReply(message, question, id);
      if (reply.kind === 'reply' || reply.kind === 'malformed') settle(reply);
      else settle({ kind: 'malformed', detail: `its TCP reply was ${reply.kind}` });
    });
    return () => socket.destroy();
  });
}

/** Runs an exchange under a timer and the closing signal; `begin` returns what frees its socket. */
function bounded<Result>(
  limits: ExchangeLimits,
  transport: 'UDP' | 'TCP',
  server: DnsServer,
  begin: (settle: (result: Result) => void) => () => void,
): Promise<Result | Exchange> {
  const { signal, clock, timeoutMs } = limits;
  const closed: Exchange = { kind: 'closed', detail: 'the resolver was closed' };
  if (signal.aborted) return Promise.resolve(closed);
  return new Promise((resolve) => {
    let done = false;
    const settle = (result: Result | Exchange) => {
      if (done) return;
      done = true;
      cancel();
      signal.removeEventListener('abort', onAbort);
      release();
      resolve(result);
    };
    const onAbort = () => settle(closed);
    const detail = `no reply over ${transport} from ${server.address} within ${timeoutMs} ms`;
    const cancel = clock.after(timeoutMs, () => settle({ kind: 'timeout', detail }));
    signal.addEventListener('abort', onAbort);
    const release = begin(settle);
  });
}
