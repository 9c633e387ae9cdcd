import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FakeMx, type MxOptions, type MxScript, startMx } from '../../support/mx.ts';
import { testCertificate } from '../../support/mx-certificate.ts';
import { runWaxseal } from '../../support/run-waxseal.ts';

describe('waxseal send', () => {
  let folder: string;
  let server: FakeMx | undefined;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'waxseal-send-'));
  });
  afterEach(async () => {
    await server?.close();
    server = undefined;
  });
  after(() => rm(folder, { recursive: true }));

  const start = async (script: MxScript = {}, options: MxOptions = {}) => {
    server = await startMx(script, options);
    return ['send', '--server', `127.0.0.1:${server.port}`, '--from', 'me@example.com'];
  };
  const contents = () => server?.contents ?? [];

  it('sends a test message, shows the dialogue line by line and exits with 0', async () => {
    const send = await start({ dot: '250-2.0.0 first line\r\n250 2.0.0 second line' });
    const { code, stdout, stderr } = await runWaxseal([...send, '--to', 'you@example.net']);
    assert.equal(code, 0, stderr);
    const lines = stdout.split('\n');
    for (const line of [
      'C: MAIL FROM:<me@example.com>',
      'C: RCPT TO:<you@example.net>',
      'S: 354 go ahead',
      'S: 250-2.0.0 first line',
      'S: 250 2.0.0 second line',
      'C: QUIT',
      'Accepted for you@example.net',
    ]) {
      assert.ok(
        lines.some((shown) => shown.startsWith(line)),
        `${line} in:\n${stdout}`,
      );
    }
    assert.match(
      contents()[0] ?? '',
      /^From: <me@example\.com>\r\nTo: <you@example\.net>\r\nSubject: /,
    );
  });

  it('sends a file as it is, with CRLF, and dots doubled', async () => {
    const send = await start();
    const path = join(folder, 'message.eml');
    await writeFile(path, 'From: a@example.com\n\n.dot\n');
    const { code } = await runWaxseal([...send, '--to', 'you@example.net', path]);
    assert.equal(code, 0);
    assert.deepEqual(contents(), ['From: a@example.com\r\n\r\n..dot\r\n.\r\n']);
  });

  it('sends standard input, from the null sender, to several recipients', async () => {
    const [, , address = ''] = await start();
    const args = [
      'send',
      '--server',
      address,
      '--from',
      '<>',
      '--to',
      'a@b.example',
      '--to',
      'c@d.example',
      '-',
    ];
    const { code, stdout } = await runWaxseal([...args, '--json'], {
      stdin: 'From: x@y.example\n\nhi\n',
    });
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(stdout).accepted, ['a@b.example', 'c@d.example']);
    const commands = server?.sessions[0]?.commands ?? [];
    assert.ok(commands.some((command) => command.startsWith('MAIL FROM:<>')));
    assert.match(contents()[0] ?? '', /^From: x@y\.example\r\n\r\nhi\r\n/);
  });

  for (const [what, script, code, shown] of [
    [
      'a 5xx to RCPT',
      { rcpt: '550 5.1.1 no such user' },
      3,
      /Refused for you@example\.net: 550 5\.1\.1 no such user/,
    ],
    [
      'a 4xx to RCPT',
      { rcpt: '450 4.2.1 later' },
      1,
      /Refused for you@example\.net: 450 4\.2\.1 later/,
    ],
    [
      'a 5xx to MAIL',
      { mail: '550 5.7.1 not you' },
      3,
      /Refused for you@example\.net: 550 5\.7\.1/,
    ],
    [
      'a 5xx to the final dot',
      { dot: '554 5.6.0 bad content' },
      3,
      /Refused for you@example\.net: 554 5\.6\.0/,
    ],
    [
      'a 4xx to the final dot',
      { dot: '451 4.7.5 cannot sign' },
      1,
      /Refused for you@example\.net: 451 4\.7\.5/,
    ],
    ['a greeting that refuses', { greeting: '554 5.7.1 go away' }, 3, /554 5\.7\.1 go away/],
  ] as const) {
    it(`${what} gives exit code ${code}`, async () => {
      const send = await start(script);
      const finished = await runWaxseal([...send, '--to', 'you@example.net']);
      assert.equal(finished.code, code, finished.stdout);
      assert.match(finished.stdout, shown);
    });
  }

  it('shows a refusal of several lines in one, and says goodbye after it', async () => {
    const send = await start({ rcpt: '550-5.1.1 first\r\n550 5.1.1 second', data: '503 5.5.1 no' });
    const { stdout } = await runWaxseal([...send, '--to', 'you@example.net']);
    assert.match(stdout, /Refused for you@example\.net: 550-5\.1\.1 first \/ 550 5\.1\.1 second\n/);
    assert.match(stdout, /C: QUIT\nS: 221 /);
  });

  it('tells refused recipients from accepted ones', async () => {
    const send = await start({
      rcpt: (_, line) => (line.includes('bad@') ? '550 5.1.1 no' : '250 2.1.5 yes'),
    });
    const args = [...send, '--to', 'good@example.net', '--to', 'bad@example.net', '--json'];
    const { code, stdout } = await runWaxseal(args);
    assert.equal(code, 3);
    const result = JSON.parse(stdout);
    assert.deepEqual(result.accepted, ['good@example.net']);
    assert.deepEqual(result.refused, [
      { recipient: 'bad@example.net', code: 550, reply: '550 5.1.1 no' },
    ]);
  });

  it('a server that is not there gives exit code 1 and a reason', async () => {
    const send = await start();
    await server?.close();
    const { code, stdout } = await runWaxseal([...send, '--to', 'you@example.net']);
    assert.equal(code, 1);
    assert.match(stdout, /Failed: .*ECONNREFUSED/);
  });

  it('shows control characters of the server escaped', async () => {
    const send = await start({ dot: '250 ok \u001b[31mred' });
    const { stdout } = await runWaxseal([...send, '--to', 'you@example.net']);
    assert.ok(stdout.includes('\\x1b[31mred'));
    assert.ok(!stdout.includes('\u001b'));
  });

  describe('with TLS', () => {
    const certificate = testCertificate('127.0.0.1');
    const tlsOptions = { tls: certificate, extensions: ['AUTH PLAIN LOGIN'] };
    let ca: string;
    let password: string;
    before(async () => {
      ca = join(folder, 'ca.pem');
      password = join(folder, 'password');
      await writeFile(ca, certificate.cert);
      await writeFile(password, 'hunter2\n');
    });

    it('logs in, and never shows the password', async () => {
      const send = await start({}, tlsOptions);
      const login = ['--tls', '--ca', ca, '--user', 'joe', '--password-file', password];
      const { code, stdout } = await runWaxseal([...send, '--to', 'you@example.net', ...login]);
      assert.equal(code, 0, stdout);
      const auth =
        server?.sessions[0]?.commands.find((command) => command.startsWith('AUTH')) ?? '';
      assert.equal(Buffer.from(auth.split(' ')[2] ?? '', 'base64').toString(), '\0joe\0hunter2');
      assert.match(stdout, /C: AUTH PLAIN/);
      assert.ok(!stdout.includes(auth.split(' ')[2] ?? 'x') && !stdout.includes('hunter2'));
    });

    it('refuses a certificate that nobody vouches for', async () => {
      const send = await start({}, tlsOptions);
      const { code, stdout } = await runWaxseal([...send, '--to', 'you@example.net', '--tls']);
      assert.equal(code, 1);
      assert.match(stdout, /Failed: .*certificate/);
      assert.deepEqual(contents(), []);
    });

    it('takes any certificate with --insecure', async () => {
      const send = await start({}, tlsOptions);
      const args = [...send, '--to', 'you@example.net', '--tls', '--insecure'];
      assert.equal((await runWaxseal(args)).code, 0);
    });

    it('fails with --tls where STARTTLS is not offered', async () => {
      const send = await start({ starttls: '502 5.5.1 what?' });
      const { code } = await runWaxseal([
        ...send,
        '--to',
        'you@example.net',
        '--tls',
        '--insecure',
      ]);
      assert.notEqual(code, 0);
      assert.deepEqual(contents(), []);
    });

    it('refuses to log in without TLS, before it connects: 2', async () => {
      const send = await start({}, tlsOptions);
      const args = [
        ...send,
        '--to',
        'you@example.net',
        '--user',
        'joe',
        '--password-file',
        password,
      ];
      assert.equal((await runWaxseal(args)).code, 2);
      assert.deepEqual(server?.sessions, []);
    });
  });
});
