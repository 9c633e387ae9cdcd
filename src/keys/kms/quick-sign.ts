import type { HttpAnswer, HttpCall, HttpConnections } from './http-connections.ts';
import type { KmsInput, KmsOutput } from './kms-operation.ts';
import {
  answerOf,
  patternOf,
  type RequestPattern,
  type RequestSigner,
  requestAfter,
} from './request-pattern.ts';

export interface QuickSignParts {
  readonly connections: HttpConnections;
  /** The SDK's own: it asks for new credentials when they run out. */
  readonly signer: () => Promise<RequestSigner>;
  /** How far AWS's clock is ahead of ours, in milliseconds, as the SDK has learned it. */
  readonly clockOffsetMs: () => number;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

const SIGN_TARGET = 'TrentService.Sign';
/** Then the SDK makes one itself again: endpoints may change, and it looks at AWS's clock. */
const PATTERN_MS = 60_000;

/**
 * Sign on a shorter way than the SDK's (decision 041). It is taken only after a Sign of the SDK has
 * gone well, and left for the next one at whatever does not.
 */
export class QuickSign {
  readonly #parts: QuickSignParts;
  #signer: RequestSigner | undefined;
  #pattern: { readonly pattern: RequestPattern; readonly untilMs: number } | undefined;

  constructor(parts: QuickSignParts) {
    this.#parts = parts;
  }

  /** Tells of a call that the SDK made. */
  learn(call: HttpCall, { statusCode }: HttpAnswer): void {
    if (statusCode !== 200 || call.headers['x-amz-target'] !== SIGN_TARGET) return;
    const pattern = patternOf(call);
    const untilMs = this.#parts.nowMs() + PATTERN_MS;
    this.#pattern = pattern === undefined ? undefined : { pattern, untilMs };
  }

  /**
   * @returns undefined: the SDK has to do it
   * @throws what the SDK would
   */
  async sign(input: KmsInput<'Sign'>, signal: AbortSignal): Promise<KmsOutput<'Sign'> | undefined> {
    const known = this.#pattern;
    const { KeyId, Message, MessageType, SigningAlgorithm, ...others } = input;
    const isUsual = Message !== undefined && Object.keys(others).length === 0;
    if (known === undefined || this.#parts.nowMs() >= known.untilMs || !isUsual) return undefined;
    const text = Buffer.from(Message.buffer, Message.byteOffset, Message.byteLength);
    const body = JSON.stringify({
      KeyId,
      Message: text.toString('base64'),
      MessageType,
      SigningAlgorithm,
    });
    try {
      this.#signer ??= await this.#parts.signer();
      const wallMs = Date.now() + this.#parts.clockOffsetMs();
      const call = await requestAfter(known.pattern, body, this.#signer, wallMs);
      const { fields, $metadata } = answerOf(await this.#parts.connections.send(call, signal));
      const { Signature } = fields;
      return {
        ...(typeof Signature === 'string' ? { Signature: Buffer.from(Signature, 'base64') } : {}),
        $metadata,
      };
    } catch (error) {
      if (!signal.aborted) this.#pattern = undefined;
      throw error;
    }
  }
}
