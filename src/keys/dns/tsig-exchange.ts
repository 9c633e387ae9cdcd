import { randomInt } from 'node:crypto';
import { connect } from 'node:net';
import type { Clock } from '../../base/clock.ts';
import type { DnsServer } from '../../base/dns-transport.ts';
import { checkAnswer, signMessage, type TsigKey } from './tsig.ts';
import { RCODE_HINTS, rcodeName } from './wire.ts';

export interface TsigExchangeOptions {
  readonly server: DnsServer;
  readonly key: TsigKey;
  /** For the whole exchange, in milliseconds. */
  readonly timeoutMs: number;
  /** Its wall clock signs; its timers bound the wait. */
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

export type TsigAnswer =
  /** Octets whose signature was checked; the message id is that of the question. */
  | { readonly kind: 'answer'; readonly octets: Buffer; readonly id: number }
  | {
      readonly kind: 'failed';
      readonly reason: string;
      readonly hint: string;
      /** False when the server surely did not act on the message. */
      readonly mayHaveActed: boolean;
    };

type Received =
  | { readonly kind: 'octets'; readonly octets: Buffer }
  | { readonly kind: 'lost'; readonly reason: string; readonly isSent: boolean };

/**
 * Sends one signed message over TCP and checks the signature of the answer. Failures are values.
 *
 * @param message without TSIG; its id is filled in
 * @throws the signal's reason when aborted
 */
export async function exchangeSigned(
  message: Buffer,
  options: TsigExchangeOptions,
): Promise<TsigAnswer> {
  const { server, key, clock, signal } = options;
  signal?.throwIfAborted();
  const id = randomInt(0x10000);
  const numbered = Buffer.from(message);
  numbered.writeUInt16BE(id, 0);
  const nowS = () => Math.floor(clock.wallMs() / 1000);
  const { octets, mac } = signMessage(numbered, key, nowS());
  const received = await overTcp(octets, options);
  signal?.throwIfAborted();
  const where = `${server.address} port ${server.port}`;
  if (received.kind === 'lost') {
    return {
      kind: 'failed',
      reason: `${where}: ${received.reason}`,
      hint: received.isSent
        ? 'it may have taken the message; the same command again finds out, and does no harm'
        : 'look whether the server runs, and whether it may be reached over TCP from here',
      mayHaveActed: received.isSent,
    };
  }
  const answer = received.octets;
  if (answer.length < 12 || answer.readUInt16BE(0) !== id || (answer.readUInt8(2) & 0x80) === 0) {
    return failed(`${where}: its answer is to something else`, 'try again', true);
  }
  const rcode = rcodeName(answer.readUInt8(3) & 0x0f);
  const verdict = checkAnswer(answer, mac, key, nowS());
  switch (verdict.kind) {
    case 'good':
      return { kind: 'answer', octets: answer, id };
    case 'bad-key':
      return failed(
        `${where} does not know the TSIG key ${key.name}`,
        'keyName must be the name that the server has for the key, with algorithm hmac-sha256',
        false,
      );
    case 'bad-signature':
      return failed(
        `${where} has another secret for the TSIG key ${key.name}`,
        'put the secret that the server has into keyFile',
        false,
      );
    case 'bad-time':
      return failed(`${where}: ${skewText(verdict.skewS)}`, 'set the clock that is wrong', false);
    case 'forged':
      return failed(
        `${where} answers ${rcode}, and the answer cannot be trusted: ${verdict.reason}`,
        RCODE_HINTS[rcode] ?? `look whether the server knows the TSIG key ${key.name}`,
        true,
      );
  }
}

function failed(reason: string, hint: string, mayHaveActed: boolean): TsigAnswer {
  return { kind: 'failed', reason, hint, mayHaveActed };
}

function skewText(skewS: number): string {
  const direction = skewS > 0 ? 'ahead of' : 'behind';
  return `the clock of the server is ${Math.abs(skewS)} s ${direction} the one here (BADTIME; 300 s are allowed)`;
}

function overTcp(message: Buffer, options: TsigExchangeOptions): Promise<Received> {
  const { server, timeoutMs, clock, signal } = options;
  return new Promise((resolve) => {
    let isSent = false;
    let received: Buffer = Buffer.alloc(0);
    const socket = connect({ host: server.address, port: server.port, noDelay: true });
    const settle = (result: Received) => {
      cancel();
      signal?.removeEventListener('abort', onAbort);
      socket.destroy();
      resolve(result);
    };
    const lost = (reason: string) => settle({ kind: 'lost', reason, isSent });
    const onAbort = () => lost('stopped');
    const cancel = clock.after(timeoutMs, () => lost(`no answer within ${timeoutMs} ms`));
    signal?.addEventListener('abort', onAbort, { once: true });
    socket.on('connect', () => {
      isSent = true;
      const length = Buffer.alloc(2);
      length.writeUInt16BE(message.length);
      socket.write(Buffer.concat([length, message]));
    });
    socket.on('error', (error) => lost(error.message));
    socket.on('close', () => lost('it closed the connection before its answer'));
    socket.on('data', (octets: Buffer) => {
      // At most 64 KiB and one read more: the length has two octets.
      received = Buffer.concat([received, octets]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      settle({ kind: 'octets', octets: received.subarray(2, 2 + received.readUInt16BE(0)) });
    });
  });
}
