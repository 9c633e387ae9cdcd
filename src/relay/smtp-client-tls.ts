import {
  type ConnectionOptions,
  createSecureContext,
  getCACertificates,
  type SecureContext,
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
