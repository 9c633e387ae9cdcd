import type { Client } from '../../src/mail/client.ts';

/** A client that may send, because of its address. */
export const ALLOWED_CLIENT: Client = {
  address: '192.0.2.1',
  port: 1,
  heloName: 'client.test',
  protocol: 'ESMTP',
  tls: undefined,
  identity: undefined,
  allowedBy: 'address',
};
