import assert from 'node:assert/strict';
import { ClientLab, messageOf } from '../support/client-lab.ts';
import type { RawClient } from '../support/raw-client.ts';
import { waitFor } from '../support/wait-for.ts';

/* Row 45 with an MX that never answers: the drain is bounded, and still no client hears nothing. */

describe('SIGTERM, when an MX never answers', function () {
  this.timeout(60_000);
  let lab: ClientLab;
  const never = () => undefined;

  const start = async (drain: { readonly timeoutMs: number }) => {
    lab = await ClientLab.start(
      { 'dot.test': { script: { dot: never } }, 'rcpt.test': { script: { rcpt: never } } },
      () => ({ drain }),
    );
  };
  afterEach(() => lab?.stop());

  async function awaitsDot(): Promise<{ client: RawClient; sender: string }> {
    const client = await lab.session();
    const sender = lab.sender();
    await client.command(`MAIL FROM:<${sender}>`);
    await client.command('RCPT TO:<a@dot.test>');
    await client.command('DATA');
    client.write(`${messageOf('x')}.\r\n`);
    const session = await lab.lab.mx('dot.test').session(0);
    await session.until(() => session.contents.length === 1);
    return { client, sender };
  }

  async function terminate(): Promise<void> {
    const { waxseal } = lab.lab;
    waxseal.signal('SIGTERM');
    await waitFor('the drain', () => waxseal.records.some(({ event }) => event === 'draining'));
  }

  it('ends at drain.timeoutMs with exit code 1', async () => {
    await start({ timeoutMs: 1000 });
    await awaitsDot();
    await terminate();
    const { waxseal } = lab.lab;
    await waitFor('"stopped"', () => waxseal.records.some(({ event }) => event === 'stopped'));
    let code: number | null | undefined;
    void waxseal.untilEnded().then((ended) => {
      code = ended;
    });
    await waitFor('the end of the process', () => code !== undefined, 10_000);
    assert.equal(code, 1);
  });

  it('a second SIGTERM ends it at once', async () => {
    await start({ timeoutMs: 600_000 });
    await awaitsDot();
    await terminate();
    const { waxseal } = lab.lab;
    waxseal.signal('SIGTERM');
    let code: number | null | undefined;
    void waxseal.untilEnded().then((ended) => {
      code = ended;
    });
    await waitFor('the end of the process', () => code !== undefined, 10_000);
    assert.equal(code, 1);
  });

  it('a transaction behind its dot has its record before "stopped": in-doubt', async () => {
    await start({ timeoutMs: 1000 });
    const { sender } = await awaitsDot();
    await terminate();
    const { waxseal } = lab.lab;
    await waitFor('"stopped"', () => waxseal.records.some(({ event }) => event === 'stopped'));
    const outcomes = waxseal.transactions
      .filter(({ reversePath }) => reversePath === sender)
      .map(({ outcome }) => outcome);
    assert.deepEqual(outcomes, ['in-doubt']);
  });

  it('a RCPT that waits is answered before the connection is closed', async () => {
    await start({ timeoutMs: 1000 });
    const client = await lab.session();
    await client.command(`MAIL FROM:<${lab.sender()}>`);
    client.write('RCPT TO:<a@rcpt.test>\r\n');
    await (await lab.lab.mx('rcpt.test').session(0)).received('RCPT');
    await terminate();
    assert.match(await client.reply(), /^4(?:51|21) 4\.\d\.\d .*\[waxseal /);
  });
});
