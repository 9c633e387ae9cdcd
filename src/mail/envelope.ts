/** The SMTP envelope (RFC 5321 section 2.3.1) as parsed values. */

/** A parsed forward- or reverse-path. Never contains control characters, CR, LF or NUL. */
export interface Mailbox {
  /** As the client wrote it between the angle brackets, source route removed; passed on as it is. */
  readonly address: string;
  /** Local part as written, with its quotes. */
  readonly localPart: string;
  /**
   * Domain in lower case and as A-labels (RFC 5891), without a trailing dot; for an address
   * literal `[192.0.2.1]` or `[IPv6:2001:db8::1]`; empty for the bare `postmaster`.
   */
  readonly domain: string;
  /** True if any octet of `address` is outside ASCII: the transaction needs SMTPUTF8. */
  readonly needsSmtpUtf8: boolean;
}

/** The parameters of MAIL that Waxseal keeps (RFC 5321, 1870, 6152, 6531). */
export interface MailParameters {
  /** `undefined` is the null reverse-path `<>`. */
  readonly reversePath: Mailbox | undefined;
  /** Declared SIZE in octets, if given. */
  readonly sizeBytes: number | undefined;
  /** BODY parameter, if given. */
  readonly body: '7BIT' | '8BITMIME' | undefined;
  readonly smtpUtf8: boolean;
}
