import type { RemoteReply } from '../mail/reply.ts';

/** Why a connection is of no use any more. */
export type Fault =
  | { readonly kind: 'timeout'; readonly detail: string }
  /** FIN, RST, a 421 that nobody asked for, or given up by us. */
  | { readonly kind: 'closed'; readonly detail: string }
  | { readonly kind: 'malformed'; readonly detail: string }
  /** A reply without a command, or of a class that its command does not have. */
  | { readonly kind: 'out-of-step'; readonly detail: string }
  /** Octets between the reply to STARTTLS and the handshake. */
  | { readonly kind: 'injected'; readonly detail: string }
  | { readonly kind: 'tls'; readonly detail: string }
  /** Credentials cannot be used here. */
  | { readonly kind: 'no-auth'; readonly detail: string }
  /** The message could not be read back from where it is kept. */
  | { readonly kind: 'source'; readonly detail: string }
  /** A refusal while the session was set up, AUTH included. */
  | { readonly kind: 'refused'; readonly reply: RemoteReply };

export type Answer = { readonly kind: 'reply'; readonly reply: RemoteReply } | Fault;

export type SetupStep = 'greeting' | 'ehlo' | 'tls' | 'auth';

export type SetupResult =
  | { readonly ok: true }
  | { readonly ok: false; readonly step: SetupStep; readonly fault: Fault };

/** How the content went. `unknown`: the final dot may have reached the server (RFC 1047). */
export type ContentResult =
  | { readonly kind: 'reply'; readonly reply: RemoteReply }
  /** `begun`: some of the content was written, so the connection cannot be used again. */
  | { readonly kind: 'not-sent'; readonly fault: Fault; readonly begun: boolean }
  | { readonly kind: 'unknown'; readonly fault: Fault };
