/** What Linux tells of a process: CPU time and memory, read from /proc. */
import { readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';

/**
 * CPU time, in milliseconds, that a process, all its threads and all its descendants have used up
 * to now. Read from /proc/PID/task/TID/schedstat (nanoseconds; see "sched-stats" in the kernel's
 * documentation), because /proc/PID/stat counts in ticks of 10 ms.
 */
export async function cpuMs(pid: number): Promise<number> {
  let nanoseconds = 0;
  for (const tid of await readdir(`/proc/${pid}/task`)) {
    const base = `/proc/${pid}/task/${tid}`;
    const schedstat = await readFile(`${base}/schedstat`, 'utf8').catch(() => '0');
    nanoseconds += Number(schedstat.split(' ')[0]);
    const children = await readFile(`${base}/children`, 'utf8').catch(() => '');
    for (const child of children.split(' ').filter((word) => word.trim() !== '')) {
      nanoseconds += (await cpuMs(Number(child))) * 1e6;
    }
  }
  return nanoseconds / 1e6;
}

export interface MemoryMiB {
  /** Anonymous memory in RAM (RssAnon): heap, stacks, buffers; no file pages. */
  readonly anonymous: number;
  /** Resident memory (VmRSS), the program's own file pages included. */
  readonly resident: number;
}

/** Memory of one process now, without its descendants. */
export function memoryMiB(pid: number): MemoryMiB {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) / 1024;
  return { anonymous: field('RssAnon'), resident: field('VmRSS') };
}

/** Samples a process's memory every 20 ms while `work` runs and gives the highest of each figure. */
export async function peakMemory<T>(
  pid: number,
  work: () => Promise<T>,
): Promise<{ readonly peak: MemoryMiB; readonly result: T }> {
  let peak = memoryMiB(pid);
  const sample = (): void => {
    const now = memoryMiB(pid);
    peak = {
      anonymous: Math.max(peak.anonymous, now.anonymous),
      resident: Math.max(peak.resident, now.resident),
    };
  };
  const timer = setInterval(sample, 20);
  try {
    const result = await work();
    sample();
    return { peak, result };
  } finally {
    clearInterval(timer);
  }
}
