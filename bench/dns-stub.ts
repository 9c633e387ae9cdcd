/**
 * A name server of a few lines, a process of its own: every name NAME.example has the MX
 * mx.NAME.example, whose address stands in `addresses`. UDP only; enough to route bench mail.
 */
import { createSocket } from 'node:dgram';
import { decode, encode, type Packet, type ResourceRecord } from 'dns-packet';
import { obey, readOptions, report } from './control.ts';

export interface DnsStubOptions {
  readonly host: string;
  /** Address of the MX of each domain. */
  readonly addresses: Readonly<Record<string, string>>;
}

const AUTHORITATIVE = 1 << 10;
const TTL_SECONDS = 3600;
const START_OF_AUTHORITY: ResourceRecord = {
  type: 'SOA',
  name: 'example',
  ttl: TTL_SECONDS,
  data: {
    mname: 'ns.example',
    rname: 'hostmaster.example',
    serial: 1,
    refresh: 3600,
    retry: 600,
    expire: 86_400,
    minimum: TTL_SECONDS,
  },
};
const options = readOptions<DnsStubOptions>();

function answersFor(name: string, type: string): ResourceRecord[] {
  if (type === 'MX' && options.addresses[name] !== undefined) {
    const data = { preference: 10, exchange: `mx.${name}` };
    return [{ type: 'MX', name, ttl: TTL_SECONDS, data }];
  }
  const address = options.addresses[name.replace(/^mx\./, '')];
  if (type === 'A' && name.startsWith('mx.') && address !== undefined) {
    return [{ type: 'A', name, ttl: TTL_SECONDS, data: address }];
  }
  return [];
}

const socket = createSocket('udp4');
socket.on('message', (octets, peer) => {
  const query = decode(octets);
  const question = query.questions[0];
  if (question === undefined) {
    return;
  }
  const name = question.name.toLowerCase();
  const answers = answersFor(name, question.type);
  const reply: Packet = {
    type: 'response',
    id: query.id,
    flags: AUTHORITATIVE,
    questions: [question],
    answers,
    // Without an SOA record a negative answer may not be cached (RFC 2308 section 5).
    authorities: answers.length === 0 ? [START_OF_AUTHORITY] : [],
  };
  socket.send(encode(reply), peer.port, peer.address);
});
socket.bind({ address: options.host, port: 0 }, () => report({ port: socket.address().port }));
obey({});
