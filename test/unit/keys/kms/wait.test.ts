import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const file = (path: string) => fileURLToPath(new URL(`../../../../src/${path}`, import.meta.url));

describe('a wait between two calls to KMS', () => {
  it('keeps a command alive that waits for nothing else', async () => {
    const program = `
      import { systemClock } from '${file('base/clock.ts')}';
      import { waitMs } from '${file('keys/kms/wait.ts')}';
      await waitMs(systemClock, 20, undefined);
      const controller = new AbortController();
      setTimeout(() => controller.abort(), 20);
      await waitMs(systemClock, 3_600_000, controller.signal);
      process.exitCode = 7;`;
    const args = ['--input-type=module', '--eval', program];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    const [code] = await once(child, 'exit');
    assert.equal(code, 7, 'it ended before the wait was over, or an hour after it was stopped');
  });
});
