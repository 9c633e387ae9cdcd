import type { Socket } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import SMTPConnection, { type SMTPConnectionOptions } from 'nodemailer/lib/smtp-connection';
import type { Clock } from '../base/clock.ts';

export interface SmtpClientOptions {
  /** Connected, without listeners. */
  readonly socket: Socket;
  /** Host name of the server, for the certificate and in replies. */
  readonly host: string;
  readonly address: string;
  readonly ehloName: string;
  readonly startTls: 'never' | 'if-offered' | 'required';
  readonly tlsOptions: ConnectionOptions;
  /** For the greeting, EHLO, STARTTLS, the handshake, AUTH: each, in milliseconds. */
  readonly stepTimeoutMs: number;
  /** Monotonic time at which all of that has to be done. */
  readonly setupDueMs: number;
  readonly clock: Clock;
}

/** The same in nodemailer's terms. */
export function stockOptions(options: SmtpClientOptions): SMTPConnectionOptions {
  return {
    connection: options.socket,
    host: options.host,
    port: 25,
    secure: false,
    name: options.ehloName,
    logger: false,
    ignoreTLS: options.startTls === 'never',
    requireTLS: options.startTls === 'required',
    tls: options.tlsOptions,
    // Whoever closes here has no use for what the server may still say.
    socketCloseTimeout: 0,
  };
}

/** What nodemailer's class has and does not declare. */
interface Stock {
  _actionSTARTTLS(reply: string): void;
  _upgradeConnection(callback: (error: Error | null, secured?: boolean) => void): void;
}
export const stock = SMTPConnection.prototype as unknown as Stock;
