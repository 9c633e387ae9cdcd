import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readlink, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MailLab } from '../support/mail-lab.ts';
import { testCertificate } from '../support/mx-certificate.ts';
import { RawClient } from '../support/raw-client.ts';
import { waitFor } from '../support/wait-for.ts';
import { Waxseal } from '../support/waxseal.ts';

const MESSAGE = Buffer.from(
  'From: author@signer.test\r\nTo: a@sink.test\r\nSubject: hello\r\n\r\nbody\r\n',
);

function messageFrom(domain: string): Buffer {
  return Buffer.from(MESSAGE.toString().replace('signer.test', domain));
}

/** A promise that the test resolves. */
function gate(): { readonly passed: Promise<void>; readonly open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { passed: promise, open: resolve };
}

describe('waxseal serve', function () {
  this.timeout(60_000);
  let lab: MailLab;
  afterEach(() => lab?.stop());

  const lastTransaction = async (outcome: string) => {
    await waitFor(`a transaction that is ${outcome}`, () =>
      lab.waxseal.transactions.some((record) => record.outcome === outcome),
    );
    return lab.waxseal.transactions.findLast((record) => record.outcome === outcome);
  };

  it('logs one record of an accepted transaction, with all that the log promises', async () => {
    lab = await MailLab.start({ 'sink.test': {} }, ['signer.test']);
    const client = await RawClient.session(lab.waxseal.port);
    const reply = await client.send('bounce@vrfy.test', ['a@sink.test'], MESSAGE);
    assert.match(reply, /^250 2\.0\.0 queued$/);
    const record = await lastTransaction('accepted');
    assert.equal(record?.reversePath, 'bounce@vrfy.test');
    assert.deepEqual(record?.recipients, [
      { address: 'a@sink.test', outcome: 'accepted', reply: '250 2.0.0 queued' },
    ]);
    const signatures = record?.signatures as { d: string; a: string }[];
    assert.deepEqual(
      signatures.map(({ d, a }) => `${d} ${a}`),
      ['signer.test rsa-sha256', 'signer.test ed25519-sha256'],
    );
    const remote = record?.remote as { host: string; tls: string } | undefined;
    assert.equal(remote?.host, 'mx.sink.test');
    assert.equal(remote?.tls, 'none');
    assert.equal(record?.sizeBytes, MESSAGE.length);
    const [content = ''] = lab.mx('sink.test').contents;
    assert.match(content, new RegExp(`^Received: [\\s\\S]* id\\s+${record?.id}`));
    assert.equal(lab.waxseal.transactions.length, 1);
    client.close();
  });

  it('writes control characters of peers escaped, and one record for each transaction', async () => {
    const script = { rcpt: '550 5.1.1 red \u001b[31m and\u0007 \u009b here' };
    lab = await MailLab.start({ 'sink.test': { script } }, ['signer.test']);
    const client = await RawClient.session(lab.waxseal.port);
    await client.send('a@signer.test', ['a@sink.test'], MESSAGE);
    await client.command('RSET');
    const record = JSON.stringify(await lastTransaction('rejected'));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
    assert.doesNotMatch(record, /[\u0000-\u001f\u007f-\u009f]/);
    assert.match(record, /\\\\x1b\[31m/);
    client.close();
  });

  it('answers 550 5.7.1 for a domain without a key, and 451 4.7.5 until a key is active', async () => {
    lab = await MailLab.start({ 'sink.test': {} }, ['signer.test']);
    const client = await RawClient.session(lab.waxseal.port);
    const send = () => client.send('a@late.test', ['a@sink.test'], messageFrom('late.test'));
    assert.match(await send(), /^550 5\.7\.1 .*late\.test.*\[waxseal signing\.unmatched /);
    await lab.waxseal.cli('keys', 'create', 'late.test');
    await reload(lab.waxseal);
    assert.match(await send(), /^451 4\.7\.5 .*\[waxseal signing\.key /);
    await lab.waxseal.activate('late.test');
    await reload(lab.waxseal);
    assert.match(await send(), /^250 /);
    assert.equal(lab.mx('sink.test').contents.length, 1);
    for (const session of lab.mx('sink.test').sessions.slice(0, 2)) {
      assert.equal(session.content.length, 0, 'no octet of content before there is a signature');
    }
    client.close();
  });

  it('keeps the old state when a reload is bad, and says why', async () => {
    lab = await MailLab.start({ 'sink.test': {} }, ['signer.test']);
    await writeFile(lab.waxseal.configFile, 'clients:\n  alow: [10.0.0.0/8]\n');
    lab.waxseal.signal('SIGHUP');
    await waitFor('the complaint', () =>
      lab.waxseal.records.some((record) => record.event === 'reload-failed'),
    );
    const failed = lab.waxseal.records.find((record) => record.event === 'reload-failed');
    assert.match(String(failed?.reason), /clients\.alow[\s\S]*clients\.allow/);
    const client = await RawClient.session(lab.waxseal.port);
    assert.match(await client.send('a@signer.test', ['a@sink.test'], MESSAGE), /^250 /);
    client.close();
  });

  it('takes nothing of a reload of which one part is bad', async () => {
    lab = await MailLab.start({ 'sink.test': {} }, ['signer.test']);
    await lab.waxseal.makeKeys('late.test');
    const certFile = join(lab.waxseal.dir, 'cert.pem');
    const keyFile = join(lab.waxseal.dir, 'key.pem');
    await writeFile(certFile, testCertificate('one.test').cert);
    await writeFile(keyFile, testCertificate('two.test').key);
    await lab.waxseal.configure({ tls: { certFile, keyFile } });
    assert.match(await failedReload(lab.waxseal), /tls\.certFile/);
    const client = await RawClient.session(lab.waxseal.port);
    const send = () => client.send('a@late.test', ['a@sink.test'], messageFrom('late.test'));
    assert.match(await send(), /^550 5\.7\.1 .*\[waxseal signing\.unmatched /);
    await writeFile(keyFile, testCertificate('one.test').key);
    await reload(lab.waxseal, 1);
    assert.match(await send(), /^250 /);
    client.close();
  });

  it('goes on signing when a reload finds no manifest, and says which one is gone', async () => {
    lab = await MailLab.start({ 'sink.test': {} }, ['signer.test']);
    await rm(join(lab.waxseal.dir, 'keys', 'keyring.yaml'));
    assert.match(await failedReload(lab.waxseal), /keyring\.yaml is gone.*signer\.test.*restart/);
    const client = await RawClient.session(lab.waxseal.port);
    assert.match(await client.send('a@signer.test', ['a@sink.test'], MESSAGE), /^250 /);
    client.close();
  });

  it('answers 451 at MAIL with an empty keyring, until there is a domain', async () => {
    lab = await MailLab.start({ 'sink.test': {} }, ['signer.test']);
    await lab.waxseal.end();
    await rm(join(lab.waxseal.dir, 'keys'), { recursive: true });
    await mkdir(join(lab.waxseal.dir, 'keys'));
    lab.waxseal.records.length = 0;
    await lab.waxseal.serve();
    const client = await RawClient.session(lab.waxseal.port);
    const refusal = await client.command('MAIL FROM:<a@signer.test>');
    assert.match(refusal, /^451 4\.7\.5 .*\[waxseal mail\.keyring /);
    await lab.waxseal.makeKeys('signer.test');
    await reload(lab.waxseal);
    assert.match(await client.send('a@signer.test', ['a@sink.test'], MESSAGE), /^250 /);
    client.close();
  });

  it('takes a new client list at SIGHUP, for sessions that are open too', async () => {
    lab = await MailLab.start({ 'sink.test': {} }, ['signer.test']);
    const client = await RawClient.session(lab.waxseal.port);
    assert.match(await client.command('MAIL FROM:<a@signer.test>'), /^250 /);
    await client.command('RSET');
    await lab.waxseal.configure({ clients: { allow: ['192.0.2.0/24'] } });
    await reload(lab.waxseal);
    assert.match(await client.command('MAIL FROM:<a@signer.test>'), /^530 5\.7\.0 /);
    const refused = await RawClient.connect(lab.waxseal.port);
    assert.match(await refused.reply(), /^554 /);
    await refused.untilEnded();
    client.close();
  });

  it('drains at SIGTERM: what runs finishes, what is idle hears 421, and it ends with 0', async () => {
    const dot = gate();
    const script = {
      dot: async () => {
        await dot.passed;
        return '250 2.0.0 in the end';
      },
    };
    lab = await MailLab.start({ 'sink.test': { script } }, ['signer.test']);
    const idle = await RawClient.session(lab.waxseal.port);
    const busy = await RawClient.session(lab.waxseal.port);
    const reply = busy.send('a@signer.test', ['a@sink.test'], MESSAGE);
    const session = await lab.mx('sink.test').session(0);
    await waitFor('the content at the MX', () => session.contents.length === 1);
    lab.waxseal.signal('SIGTERM');
    await waitFor('the drain', () => lab.waxseal.records.some(({ event }) => event === 'draining'));
    assert.match(await idle.command('NOOP'), /^421 4\.3\.2 /);
    await idle.untilEnded();
    await assert.rejects(RawClient.connect(lab.waxseal.port), { code: 'ECONNREFUSED' });
    dot.open();
    assert.match(await reply, /^250 2\.0\.0 in the end$/);
    assert.match(await busy.command('NOOP'), /^421 4\.3\.2 /);
    assert.equal(await lab.waxseal.untilEnded(), 0);
    assert.equal((await lastTransaction('accepted'))?.outcome, 'accepted');
  });

  it('leaves nothing in the spool directory, not even killed in the middle', async () => {
    const spool = await mkdtemp(join(tmpdir(), 'waxseal-spool-'));
    try {
      lab = await MailLab.start({ 'sink.test': {} }, ['signer.test'], { spool: { dir: spool } });
      const client = await RawClient.session(lab.waxseal.port);
      await client.command('MAIL FROM:<a@signer.test>');
      await client.command('RCPT TO:<a@sink.test>');
      await client.command('DATA');
      client.write(MESSAGE);
      client.write(Buffer.alloc(3 * 1024 * 1024, 'line of text\r\n'));
      const fds = `/proc/${lab.waxseal.pid}/fd`;
      await waitFor('the unlinked file', () => hasDeletedFile(fds, spool));
      assert.deepEqual(await readdir(spool), []);
      lab.waxseal.signal('SIGKILL');
      await client.untilEnded();
      assert.deepEqual(await readdir(spool), []);
    } finally {
      await rm(spool, { recursive: true });
    }
  });

  it('says 452 4.3.1 when the spool cannot be written, reads on, and the session lives', async () => {
    const spool = await mkdtemp(join(tmpdir(), 'waxseal-spool-'));
    lab = await MailLab.start({ 'sink.test': {} }, ['signer.test'], {
      spool: { dir: spool, messageMemoryBytes: 1000 },
    });
    await rm(spool, { recursive: true });
    const client = await RawClient.session(lab.waxseal.port);
    const big = Buffer.concat([MESSAGE, Buffer.alloc(2_000_000, 'line of text\r\n')]);
    assert.match(await client.send('a@signer.test', ['a@sink.test'], big), /^452 4\.3\.1 /);
    assert.match(await client.send('a@signer.test', ['a@sink.test'], MESSAGE), /^250 /);
    const [content] = lab.mx('sink.test').contents;
    assert.match(content ?? '', /^Subject: hello/m);
    client.close();
  });
});

describe('waxseal serve, when it cannot start', function () {
  this.timeout(60_000);
  let waxseal: Waxseal;
  afterEach(() => waxseal?.stop());

  it('says which key file lacks its master key', async () => {
    waxseal = await Waxseal.prepare({});
    await waxseal.makeKeys('signer.test');
    await rm(join(waxseal.dir, 'master.key'));
    await assert.rejects(waxseal.serve(), (error: Error) => {
      assert.match(error.message, /ended with 2: [\s\S]*master\.key/);
      return true;
    });
  });

  const broken: [string, (waxseal: Waxseal) => Promise<unknown>, RegExp][] = [
    [
      'the keyring directory',
      (one) => rm(join(one.dir, 'keys'), { recursive: true }),
      /keyring directory .*keys does not exist/,
    ],
    [
      'a good manifest',
      (one) => writeFile(join(one.dir, 'keys', 'keyring.yaml'), 'junk'),
      /keyring\.yaml/,
    ],
    [
      'the spool directory',
      (one) => one.configure({ spool: { dir: '/nonexistent/spool' } }),
      /spool\.dir: \/nonexistent\/spool cannot be written/,
    ],
    [
      'the certificates of clients',
      async (one) => {
        const { cert, key } = testCertificate('relay.test');
        const paths = { certFile: 'cert.pem', keyFile: 'key.pem', clientCaFile: 'ca.pem' };
        await writeFile(join(one.dir, paths.certFile), cert);
        await writeFile(join(one.dir, paths.keyFile), key);
        await writeFile(join(one.dir, paths.clientCaFile), 'junk');
        await one.configure({ tls: paths });
      },
      /tls\.clientCaFile: there is no certificate/,
    ],
  ];
  for (const [what, breakIt, message] of broken) {
    it(`ends with 2 without ${what}, and config check says the same`, async () => {
      waxseal = await Waxseal.prepare({});
      await waxseal.makeKeys('signer.test');
      await waxseal.cli('config', 'check');
      await breakIt(waxseal);
      await assert.rejects(waxseal.serve(), (error: Error) => {
        assert.match(error.message, /ended with 2: /);
        assert.match(error.message, message);
        return true;
      });
      await assert.rejects(
        waxseal.cli('config', 'check'),
        (error: Error & { code?: unknown; stdout?: string }) => {
          assert.equal(error.code, 2);
          assert.match(error.stdout ?? '', message);
          return true;
        },
      );
    });
  }

  it('says which address is taken', async () => {
    const taken = createServer();
    taken.listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as { port: number };
    try {
      waxseal = await Waxseal.prepare({ listen: [`127.0.0.1:${port}`] });
      await waxseal.makeKeys('signer.test');
      await assert.rejects(waxseal.serve(), (error: Error) => {
        assert.match(error.message, new RegExp(`ended with 1: [\\s\\S]*127\\.0\\.0\\.1:${port}`));
        return true;
      });
    } finally {
      taken.close();
    }
  });

  it('names the nearest setting for one that is misspelt', async () => {
    waxseal = await Waxseal.prepare({ relay: { ehloNme: 'relay.example.net' } });
    await assert.rejects(waxseal.serve(), (error: Error) => {
      assert.match(error.message, /ended with 2: [\s\S]*relay\.ehloNme[\s\S]*relay\.ehloName/);
      return true;
    });
  });
});

/** @param failures failed reloads that there were before */
async function reload(waxseal: Waxseal, failures = 0): Promise<void> {
  const before = waxseal.records.filter(({ event }) => event === 'reloaded').length;
  waxseal.signal('SIGHUP');
  await waitFor('the reload', () => {
    const failed = waxseal.records.filter(({ event }) => event === 'reload-failed');
    assert.deepEqual(failed.slice(failures), []);
    return waxseal.records.filter(({ event }) => event === 'reloaded').length > before;
  });
}

/** Reloads, which must fail. @returns why it did */
async function failedReload(waxseal: Waxseal): Promise<string> {
  waxseal.signal('SIGHUP');
  const failure = () => waxseal.records.find(({ event }) => event === 'reload-failed');
  await waitFor('the complaint', () => failure() !== undefined);
  return String(failure()?.reason);
}

/** True if a process holds a file open that was deleted from a directory. */
async function hasDeletedFile(fds: string, dir: string): Promise<boolean> {
  for (const fd of await readdir(fds)) {
    const target = await readlink(join(fds, fd)).catch(() => '');
    if (target.startsWith(dir) && target.endsWith('(deleted)')) return true;
  }
  return false;
}
