import { hostname } from 'node:os';
import { systemCode } from '../keys-error.ts';
import { processStart } from '../lock-file.ts';

/**
 * The holder of a lease names its process, so that the lease of a process that was killed on this
 * machine need not be waited for.
 */

const HOLDER = /^process (\d+)\.(\d*) on (.{1,80})$/;

/** This process: `process 4711.123456 on host`; the second number is its start in clock ticks. */
export async function processHolder(): Promise<string> {
  const started = (await processStart(process.pid)) ?? '';
  return `process ${process.pid}.${started} on ${hostname().slice(0, 80)}`;
}

/** True when the process ran on this machine and does not run any more. */
export async function isGone(holder: string): Promise<boolean> {
  const match = HOLDER.exec(holder);
  if (match === null || match[3] !== hostname().slice(0, 80)) return false;
  const pid = Number(match[1]);
  try {
    process.kill(pid, 0); // signal 0 only asks whether the process is there
  } catch (error) {
    return systemCode(error) === 'ESRCH';
  }
  const started = await processStart(pid);
  return started !== undefined && match[2] !== '' && started !== match[2];
}
