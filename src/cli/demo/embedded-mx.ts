import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { SMTPServer, type SMTPServerDataStream } from 'smtp-server';

/** A mail exchanger of the demonstration: a real SMTP server that keeps what it accepts. */
export interface EmbeddedMx {
  readonly host: string;
  readonly address: string;
  readonly port: number;
  /** Messages that it answered 250 to, octet for octet. */
  readonly accepted: Buffer[];
  close(): Promise<void>;
}

/** Recipients with these local parts are refused, each at its own command. */
const REFUSED_AT_RCPT = 'nobody';
const REFUSED_AFTER_DATA = 'picky';

/** Starts one. @param port 0 for a free one */
export async function startEmbeddedMx(
  host: string,
  address: string,
  port: number,
): Promise<EmbeddedMx> {
  const accepted: Buffer[] = [];
  const server = new SMTPServer({
    name: host,
    authOptional: true,
    disableReverseLookup: true,
    hideENHANCEDSTATUSCODES: false,
    disabledCommands: ['STARTTLS', 'AUTH'],
    logger: false,
    onRcptTo: (recipient, _session, callback) =>
      recipient.address.startsWith(`${REFUSED_AT_RCPT}@`)
        ? callback(refusal(550, `<${recipient.address}>: no such mailbox here`))
        : callback(),
    onData: (stream, session, callback) => {
      void contentOf(stream).then((content) => {
        const [recipient] = session.envelope.rcptTo;
        if (recipient?.address.startsWith(`${REFUSED_AFTER_DATA}@`)) {
          callback(refusal(554, 'we do not like this content'));
          return;
        }
        accepted.push(content);
        callback(null, `message ${accepted.length} accepted by ${host}`);
      }, callback);
    },
  });
  server.on('error', () => undefined);
  server.listen(port, address);
  await once(server.server, 'listening');
  return {
    host,
    address,
    port: (server.server.address() as AddressInfo).port,
    accepted,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

function refusal(responseCode: number, text: string): Error {
  return Object.assign(new Error(text), { responseCode });
}

async function contentOf(stream: SMTPServerDataStream): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}
