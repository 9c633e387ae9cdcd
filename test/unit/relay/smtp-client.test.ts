import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import SMTPConnection from 'nodemailer/lib/smtp-connection';
import { systemClock } from '../../../src/base/clock.ts';
import { SmtpClient } from '../../../src/relay/smtp-client.ts';
import type { SetupResult } from '../../../src/relay/smtp-client-answer.ts';
import { NO_EXTENSIONS, readServerFacts } from '../../../src/relay/smtp-client-facts.ts';
import type { SmtpClientOptions } from '../../../src/relay/smtp-client-options.ts';
import { RelayTls } from '../../../src/relay/smtp-client-tls.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import {
  type FakeMx,
  type MxOptions,
  type MxScript,
  type MxSession,
  startMx,
} from '../../support/mx.ts';
import { testCertificate } from '../../support/mx-certificate.ts';
import { inMemory, mailbox } from '../../support/mx-leg.ts';

/** What nodemailer's own connection makes of the same server. */
interface Stock {
  readonly connection: SMTPConnection & { _supportedExtensions: string[] };
  readonly error: (Error & { response?: string | false | undefined }) | undefined;
}

const FOREVER = Number.POSITIVE_INFINITY;
const CERTIFICATE = testCertificate('mx.test');

describe('SmtpClient, and why the stock connection does not do', () => {
  let cleanUp: (() => unknown)[] = [];

  async function mxWith(script: MxScript, options: MxOptions = {}): Promise<FakeMx> {
    const mx = await startMx(script, options);
    cleanUp.push(() => mx.close());
    return mx;
  }

  async function ours(
    mx: FakeMx,
    options: Partial<SmtpClientOptions> = {},
  ): Promise<{ client: SmtpClient; result: SetupResult }> {
    const socket = connect(mx.port, '127.0.0.1');
    await once(socket, 'connect');
    const client = new SmtpClient({
      socket,
      host: 'mx.test',
      address: '127.0.0.1',
      ehloName: 'relay.example',
      startTls: 'if-offered',
      tlsOptions: new RelayTls(undefined).options('opportunistic'),
      stepTimeoutMs: 5000,
      setupDueMs: FOREVER,
      clock: systemClock,
      ...options,
    });
    cleanUp.push(() => client.destroy());
    return { client, result: await client.open() };
  }

  async function stock(mx: FakeMx): Promise<Stock> {
    const connection = new SMTPConnection({
      host: '127.0.0.1',
      port: mx.port,
      name: 'relay.example',
      tls: { rejectUnauthorized: false },
    }) as Stock['connection'];
    cleanUp.push(() => connection.close());
    const error = await new Promise<Stock['error']>((resolve) => {
      connection.once('error', resolve);
      connection.connect((failure) => resolve(failure));
    });
    return { connection, error };
  }

  function faultOf(result: SetupResult): string {
    return result.ok ? 'none' : `${result.step} ${result.fault.kind}`;
  }

  afterEach(async () => {
    for (const clean of cleanUp.reverse()) await clean();
    cleanUp = [];
  });

  it('_parseEhloExtensions: the name of a server is no keyword', async () => {
    const mx = await mxWith({ ehlo: '250-mx-pipelining.example smtputf8 ready\r\n250 size 1000' });
    const theirs = await stock(mx);
    assert.ok(theirs.connection._supportedExtensions.includes('PIPELINING'));
    const { client } = await ours(mx);
    assert.deepEqual(client.facts, {
      pipelining: false,
      eightBitMime: false,
      smtpUtf8: false,
      size: true,
      sizeLimit: 1000,
      startTls: false,
      auth: [],
    });
  });

  it('_onData: lines with differing codes are no reply', async () => {
    const mx = await mxWith({ greeting: '220-welcome\r\n554 go away' });
    assert.equal((await stock(mx)).error, undefined);
    assert.equal(faultOf((await ours(mx)).result), 'greeting malformed');
  });

  it('_onData: a reply that was there before its command is no answer to it', async () => {
    const mx = await mxWith({
      greeting: '220 hello\r\n250-mx\r\n250 PIPELINING',
      ehlo: () => undefined,
    });
    assert.equal((await stock(mx)).error, undefined);
    assert.equal(faultOf((await ours(mx)).result), 'greeting out-of-step');
  });

  it('_onData: a reply has bounds', async () => {
    const mx = await mxWith({ ehlo: `${'250-x\r\n'.repeat(10_000)}250 x` });
    assert.equal((await stock(mx)).error, undefined);
    assert.equal(faultOf((await ours(mx)).result), 'ehlo malformed');
  });

  it('_actionSTARTTLS: only 220 is leave to start the handshake', async () => {
    const starttls = async (session: { write(octets: string): void }) => {
      session.write('250 ready\r\n');
      return undefined;
    };
    const mx = await mxWith({ starttls }, { tls: CERTIFICATE });
    const theirs = new SMTPConnection({ host: '127.0.0.1', port: mx.port, name: 'relay.example' });
    cleanUp.push(() => theirs.close());
    theirs.on('error', () => {});
    theirs.connect();
    const session = await mx.session(0);
    // A ClientHello, which the fake takes for a line of commands.
    await session.until(() => session.commandChunks.some((chunk) => chunk.startsWith('\x16\x03')));
    assert.equal(faultOf((await ours(mx)).result), 'tls injected');
  });

  it('_onData: octets behind the answer to STARTTLS end it', async () => {
    const mx = await mxWith({ starttls: '220 ready\r\n250 injected\r\n' }, { tls: CERTIFICATE });
    const theirs = await stock(mx);
    assert.equal(theirs.error, undefined);
    assert.equal(theirs.connection.secure, true);
    assert.equal(faultOf((await ours(mx)).result), 'tls injected');
  });

  it('_onConnect, _startPhase and _setupConnectionHandlers: deadlines are absolute, and on the clock', async () => {
    const mx = await mxWith({ rset: () => undefined });
    const theirs = await stock(mx);
    assert.equal((theirs.connection._socket || undefined)?.timeout, 600_000);
    const clock = new ManualClock();
    const { client } = await ours(mx, { clock });
    assert.equal((client._socket || undefined)?.timeout, undefined);
    const asked = client.rset(clock.monotonicMs() + 60_000);
    const session = await mx.session(1);
    await session.received('RSET');
    session.write('250 slo');
    clock.advance(59_999);
    assert.equal(client.fault, undefined);
    clock.advance(1);
    assert.deepEqual(await asked, { kind: 'timeout', detail: 'no answer to RSET in time' });
  });

  it('_onClose: a part of a reply is no reply', async () => {
    const greeting = (session: { write(octets: string): void; drop(): void }) => {
      session.write('550 5.7.1 no mail from');
      session.drop();
      return undefined;
    };
    const mx = await mxWith({ greeting });
    assert.equal((await stock(mx)).error?.response, '550 5.7.1 no mail from');
    assert.equal(faultOf((await ours(mx)).result), 'greeting closed');
  });

  it('_onEnd: a server that closes while it reads nothing ends it at once', async () => {
    const data = (session: { write(octets: string): void; pause(): void }) => {
      session.write('354 go\r\n');
      session.pause();
      return undefined;
    };
    const mx = await mxWith({ data });
    const { client } = await ours(mx);
    const envelope = { reversePath: undefined, sizeBytes: undefined, body: undefined } as const;
    await client.mail({ ...envelope, smtpUtf8: false }, 0, FOREVER);
    await client.rcpt(mailbox('a@example.com'), FOREVER);
    await client.data(FOREVER);
    const content = inMemory(Buffer.alloc(20_000_000, 'x\r\n'));
    const times = { dueMs: FOREVER, lateMs: 0, onLate: () => {} };
    const sent = client.content(content, times);
    await new Promise((resolve) => setImmediate(resolve));
    (await mx.session(0)).drop();
    const result = await sent;
    assert.equal(result.kind, 'not-sent');
  });

  it('never lets an address become a second command', async () => {
    const { client } = await ours(await mxWith({}));
    assert.throws(() => client.rcpt(mailbox('a>\r\nDATA\r\n@example.com'), FOREVER), {
      code: 'command-invalid',
    });
  });

  it('has no timer and no socket left behind it', async () => {
    const clock = new ManualClock();
    const mx = await mxWith({});
    const { client } = await ours(mx, { clock });
    client.quit();
    await (await mx.session(0)).closed;
    assert.equal(clock.waiting, 0);
    assert.deepEqual((await mx.session(0)).commands, ['EHLO relay.example', 'QUIT']);
  });

  it('says QUIT and goes, whether or not that is ever answered', async () => {
    const quit = async (session: MxSession) => {
      await session.closed;
      return undefined;
    };
    for (const options of [{}, { tls: CERTIFICATE }]) {
      const clock = new ManualClock();
      const mx = await mxWith({ quit }, options);
      const { client } = await ours(mx, { clock });
      client.quit();
      const session = await mx.session(0);
      await session.closed;
      assert.equal(session.commands.at(-1), 'QUIT');
      assert.equal(clock.waiting, 0);
      assert.equal((await client.rset(FOREVER)).kind, 'closed');
    }
  });

  it('reads keywords at the start of a line only', () => {
    const facts = readServerFacts([
      'mx SIZE 5',
      'SIZE=1000',
      'AUTH=LOGIN plain',
      'AUTH CRAM-MD5',
      'X-8BITMIME',
      'foo SMTPUTF8',
      'StartTLS ',
      '',
    ]);
    assert.deepEqual(facts, {
      ...NO_EXTENSIONS,
      size: true,
      sizeLimit: 1000,
      startTls: true,
      auth: ['LOGIN', 'PLAIN'],
    });
  });
});
