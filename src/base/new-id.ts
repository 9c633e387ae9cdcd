import { randomBytes } from 'node:crypto';
import type { Clock } from './clock.ts';

/** So that processes that started in the same millisecond differ. */
const PROCESS_TAG = randomBytes(4).readUInt32BE().toString(36).slice(-4).padStart(4, '0');
const COUNTER_RANGE = 36 ** 4;
let counter = randomBytes(4).readUInt32BE() % COUNTER_RANGE;

/**
 * The id of a transaction or a session: sorts by time, is unique over processes, and is an atom (RFC
 * 5322 section 3.2.3), so that it can stand in Received and in a reply as it is.
 */
export function newId(clock: Clock): string {
  counter = (counter + 1) % COUNTER_RANGE;
  return clock.wallMs().toString(36) + counter.toString(36).padStart(4, '0') + PROCESS_TAG;
}
