/** The part of dns-packet 5.6 that we use; the package ships no types of its own. */
declare module 'dns-packet' {
  export interface Question {
    name: string;
    type: string;
    class?: string;
  }

  export interface ResourceRecord {
    name: string;
    type: string;
    class?: string;
    ttl?: number;
    /** Its shape depends on `type`; narrow it before use. */
    data?: unknown;
    /** OPT only (RFC 6891). */
    udpPayloadSize?: number;
    extendedRcode?: number;
    ednsVersion?: number;
    flags?: number;
    options?: unknown[];
  }

  /** A record where it stands in an answer section. */
  export type Answer = ResourceRecord;

  export interface Packet {
    type: 'query' | 'response';
    id: number;
    flags: number;
    rcode?: string;
    flag_tc?: boolean;
    questions: Question[];
    answers?: ResourceRecord[];
    authorities?: ResourceRecord[];
    additionals?: ResourceRecord[];
  }

  export const RECURSION_DESIRED: number;
  export const RECURSION_AVAILABLE: number;
  export const AUTHORITATIVE_ANSWER: number;
  export const TRUNCATED_RESPONSE: number;

  export function encode(packet: Packet): Buffer;
  export const decode: {
    (octets: Buffer): Packet;
    /** Octets that the last call consumed. */
    bytes: number;
  };
}
