/**
 * Targets in milliseconds or messages a second were set on one machine. A machine on which a
 * signature takes longer gets proportionally milder ones; a faster one gets them as stated.
 */

/** R of the machine on which the targets were set, in milliseconds. */
const REFERENCE_R_MS = 0.225;

/** By how much this machine is slower than that one; at least 1. */
export function slowness(rMs: number): number {
  return Math.max(1, rMs / REFERENCE_R_MS);
}

/** Says what was done to a target. */
export function slownessNote(rMs: number): string {
  return `targets in ms and /s are scaled by ${slowness(rMs).toFixed(2)}: R is ${rMs.toFixed(3)} ms here, ${REFERENCE_R_MS} ms where they were set`;
}
