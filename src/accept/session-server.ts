import type { Socket } from 'node:net';
import type { SecureVersion } from 'node:tls';
import {
  SMTPServer,
  type SMTPServerAuthentication,
  type SMTPServerAuthenticationResponse,
  type SMTPServerSession,
} from 'smtp-server';
import type { SMTPConnectionOptions } from 'smtp-server/lib/smtp-connection.js';
import { newId } from '../base/new-id.ts';
import { plainAddress } from './allow-list.ts';
import { Session } from './session.ts';
import type { SessionHost } from './session-host.ts';

/** Certificate and key of the listener, as PEM; with `clientCa` clients are asked for theirs. */
export interface ListenerTls {
  readonly key: string | Buffer;
  readonly cert: string | Buffer;
  readonly clientCa: string | Buffer | undefined;
  readonly minVersion: SecureVersion;
}

/** The outcome of an AUTH attempt. */
export type AuthOutcome =
  | { readonly kind: 'user'; readonly name: string }
  | { readonly kind: 'refused'; readonly code: number; readonly text: string };

/** What a server asks of the listener, beside what its sessions ask. */
export interface ServerHost extends SessionHost {
  opened(session: Session): void;
  authenticate(address: string, name: string, password: string): Promise<AuthOutcome>;
}

/** smtp-server's options for TLS. A client certificate that does not verify is no error. */
export function tlsOptions(tls: ListenerTls) {
  return {
    key: tls.key,
    cert: tls.cert,
    ca: tls.clientCa,
    requestCert: tls.clientCa !== undefined,
    rejectUnauthorized: false,
    minVersion: tls.minVersion,
  };
}

/** For `net.createServer`: a client that has sent its FIN may still read (see `Session`). */
const KEEP_WRITING = { allowHalfOpen: true };

/** One listening socket, on smtp-server, whose connections are our sessions. */
export class SessionServer extends SMTPServer {
  readonly #host: ServerHost;

  constructor(host: ServerHost, tls: ListenerTls | undefined) {
    super({
      name: host.name,
      logger: false,
      disableReverseLookup: true,
      authOptional: true,
      authMethods: ['PLAIN', 'LOGIN'],
      hideENHANCEDSTATUSCODES: false,
      ...KEEP_WRITING,
      ...(tls === undefined ? {} : tlsOptions(tls)),
    });
    this.#host = host;
    // Until the library has the socket, an error on it would have no listener and end the process.
    this.server.prependListener('connection', (socket: Socket) => socket.on('error', () => {}));
    // Sockets that break off, failed handshakes: the session is over, nobody needs to act.
    this.on('error', (error: Error) => host.event('socket-error', { error: error.message }));
  }

  /** Stock: the kernel is asked for random octets, and a turn of the event loop, for each connection. */
  override _handleProxy(
    _socket: Socket,
    callback: (error: Error | null, options: { readonly id: string }) => void,
  ): void {
    callback(null, { id: newId(this.#host.clock) });
  }

  override connect(socket: Socket, options?: SMTPConnectionOptions): void {
    if (socket.destroyed) return;
    const session = new Session(this, socket, this.#host, options);
    this.connections.add(session);
    session.on('error', (error: Error) => this._onError(error));
    this.#host.opened(session);
    session.init();
  }

  /** At once: the library's own takes a turn of the event loop. */
  override onConnect(_session: SMTPServerSession, callback: (error?: Error | null) => void): void {
    callback();
  }

  override onSecure(
    _socket: Socket,
    _session: SMTPServerSession,
    callback: (error?: Error | null) => void,
  ): void {
    callback();
  }

  override onAuth(
    { username = '', authzid = '', password = '' }: SMTPServerAuthentication,
    session: SMTPServerSession,
    callback: (
      error: Error | null | undefined,
      response?: SMTPServerAuthenticationResponse,
    ) => void,
  ): void {
    const address = plainAddress(session.remoteAddress);
    // Nobody may send in another's name (RFC 4616 section 2).
    const own = authzid === '' || authzid === username;
    const attempt = this.#host.authenticate(address, own ? username : '', password ?? '');
    attempt
      .then((outcome) => {
        if (outcome.kind === 'user') {
          this.#host.admitted({ id: session.id, address });
          callback(null, { user: outcome.name });
        } else callback(null, { responseCode: outcome.code, message: outcome.text });
      })
      .catch((error: unknown) => {
        this.#host.fault('auth', error);
        callback(null, { responseCode: 454, message: 'Authentication is not possible now' });
      });
  }
}
