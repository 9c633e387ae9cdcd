/** Who talks to us: what the accepting side knows of a client (RFC 5321 section 2.3.3). */
export interface Client {
  /** IP address, IPv4-mapped IPv6 already unmapped, lower case. */
  readonly address: string;
  readonly port: number;
  /** Argument of EHLO or HELO; empty before it was given. */
  readonly heloName: string;
  /** `SMTP`, `ESMTP`, `ESMTPS`, `ESMTPSA` … for Received (RFC 3848). */
  readonly protocol: string;
  /** TLS of the client's connection, if any, e.g. `TLSv1.3` and `TLS_AES_256_GCM_SHA384`. */
  readonly tls: { readonly protocol: string; readonly cipher: string } | undefined;
  /** Authenticated user name, or the subject of the client certificate. */
  readonly identity: string | undefined;
  /** Why the client may send: row of the allow-list, AUTH or certificate; undefined: it may not (yet). */
  readonly allowedBy: 'address' | 'auth' | 'certificate' | undefined;
}
