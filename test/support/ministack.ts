import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { freePort } from './free-port.ts';

/** A `ministack` (an independent emulator of AWS) that runs for one test file. */
export interface Ministack {
  /** As the SDK takes it. */
  readonly endpoint: string;
  close(): Promise<void>;
}

/**
 * Starts it on a port of 127.0.0.1.
 *
 * @param hypercorn path of the server beside which ministack is installed, see `requirePeer`
 * @param services such as `route53`
 */
export async function startMinistack(
  hypercorn: string,
  services: readonly string[],
): Promise<Ministack> {
  const port = await freePort();
  const child = spawn(hypercorn, ['ministack.app:app', '--bind', `127.0.0.1:${port}`], {
    env: { PATH: process.env.PATH, SERVICES: services.join(',') },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  await new Promise<void>((resolve, reject) => {
    const onData = (piece: Buffer) => {
      output += String(piece);
      if (/Running on http/.test(output)) resolve();
    };
    child.stdout.on('data', onData);
    child.stderr.on('data', onData);
    child.on('error', reject);
    child.on('exit', () => reject(new Error(`ministack ended:\n${output}`)));
  });
  return {
    endpoint: `http://127.0.0.1:${port}`,
    close: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    },
  };
}
