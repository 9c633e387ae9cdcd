import {
  type ConnectionOptions,
  createSecureContext,
  getCACertificates,
  type SecureContext,
  type TLSSocket,
} from 'node:tls';
import type { TlsLevel } from './destination.ts';

/**
 * TLS settings towards MXs. Reading the certificate store takes milliseconds, so it is done once
 * and not for each connection.
 */
export class RelayTls {
  readonly #caPem: string | undefined;
  #verifying: SecureContext | undefined;
  #unverified: SecureContext | undefined;

  /** @param caPem content of `relay.caFile`: certificates trusted beside those of the system */
  constructor(caPem: string | undefined) {
    this.#caPem = caPem;
  }

  /** For `verify` the certificate has to match the host name; else it is taken as it is (RFC 7435). */
  options(level: TlsLevel): ConnectionOptions {
    if (level !== 'verify') {
      this.#unverified ??= createSecureContext();
      return { rejectUnauthorized: false, secureContext: this.#unverified };
    }
    const extra = this.#caPem === undefined ? [] : [this.#caPem];
    this.#verifying ??= createSecureContext({ ca: [...getCACertificates('default'), ...extra] });
    return { rejectUnauthorized: true, secureContext: this.#verifying };
  }
}

/** What is known of a secured connection. */
export interface TlsFacts {
  /** e.g. `TLSv1.3` */
  readonly protocol: string;
  /** IANA name of the cipher suite. */
  readonly cipher: string;
  /** The certificate matches the host name and leads to a trusted one. */
  readonly verified: boolean;
}

export function tlsFacts(socket: TLSSocket): TlsFacts {
  const { standardName, name } = socket.getCipher();
  const protocol = socket.getProtocol() ?? 'TLS';
  return { protocol, cipher: standardName ?? name, verified: socket.authorized };
}
