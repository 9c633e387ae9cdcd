import { isIP } from 'node:net';
import { isReferral } from './dns-answer.ts';
import type { DnsReply, Question } from './dns-message.ts';
import { type DnsServer, type ExchangeLimits, exchange } from './dns-transport.ts';
import { WaxsealError } from './errors.ts';
import { canonicalAddress } from './ip-text.ts';

const DNS_PORT = 53;
const WITH_PORT = /^(?:\[([^\]]+)\]|([^:[\]]+)):([0-9]{1,5})$/;

/** Why no server gave a usable reply; each may pass, none says anything about the name. */
export type ServerFailure =
  | 'timeout'
  | 'unreachable'
  | 'malformed'
  | 'servfail'
  | 'refused'
  | 'lame';

export type ServersReply =
  | { readonly kind: 'reply'; readonly reply: DnsReply }
  | {
      readonly kind: 'failure';
      readonly reason: ServerFailure | 'closed';
      /** For people: which server, what it did. */
      readonly detail: string;
    };

/**
 * Reads a server of `dns.servers`: `ip`, `ip:port`, `[v6]` or `[v6]:port`; port 53 if none is given.
 *
 * @throws WaxsealError `dns-server-invalid`
 */
export function parseDnsServer(text: string): DnsServer {
  const match = WITH_PORT.exec(text);
  const address = match?.[1] ?? match?.[2] ?? text.replace(/^\[(.*)\]$/, '$1');
  const port = match === null ? DNS_PORT : Number(match[3]);
  if (isIP(address) === 0 || port < 1 || port > 65535) {
    throw new WaxsealError('dns-server-invalid', `"${text}" is not the address of a DNS server`, {
      hint: 'write 192.0.2.53, 192.0.2.53:5353, 2001:db8::53 or [2001:db8::53]:5353',
    });
  }
  return { address: canonicalAddress(address), port };
}

export interface ServerListOptions extends ExchangeLimits {
  /** At least one. */
  readonly servers: readonly DnsServer[];
  /** Tries for one question, over all servers. */
  readonly attempts: number;
}

/**
 * Asks the servers in turn until one gives a usable reply. A server that fell silent is asked again
 * after the others; one that answered without use (SERVFAIL, REFUSED, a referral) is not. The next
 * question starts behind a server that was silent, so a dead first server costs its time-out once.
 */
export class ServerList {
  readonly #options: ServerListOptions;
  #first = 0;

  constructor(options: ServerListOptions) {
    this.#options = options;
  }

  async ask(question: Question): Promise<ServersReply> {
    const { servers, attempts } = this.#options;
    const useless = new Set<DnsServer>();
    let last: ServersReply = { kind: 'failure', reason: 'timeout', detail: 'no server was asked' };
    let index = this.#first;
    for (let attempt = 0; attempt < attempts && useless.size < servers.length; index += 1) {
      const server = servers[index % servers.length];
      if (server === undefined || useless.has(server)) continue;
      attempt += 1;
      last = await this.#askOne(server, question);
      if (last.kind === 'reply' || last.reason === 'closed') return last;
      if (last.reason === 'timeout') this.#passOver(index);
      else useless.add(server);
    }
    return last;
  }

  async #askOne(server: DnsServer, question: Question): Promise<ServersReply> {
    const result = await exchange(server, question, this.#options);
    const where = `${server.address} port ${server.port}`;
    if (result.kind !== 'reply') {
      const { kind: reason, detail } = result;
      return { kind: 'failure', reason, detail: `${where}: ${detail}` };
    }
    const reason = uselessReply(result.reply);
    if (reason === undefined) return result;
    const said = reason === 'lame' ? 'a referral only' : result.reply.rcode;
    return { kind: 'failure', reason, detail: `${where}: answered ${said}` };
  }

  #passOver(index: number): void {
    const count = this.#options.servers.length;
    if (index % count === this.#first) this.#first = (this.#first + 1) % count;
  }
}

function uselessReply(reply: DnsReply): ServerFailure | undefined {
  if (isReferral(reply)) return 'lame';
  if (reply.rcode === 'NOERROR' || reply.rcode === 'NXDOMAIN') return undefined;
  return reply.rcode === 'REFUSED' ? 'refused' : 'servfail';
}
