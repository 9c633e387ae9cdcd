import assert from 'node:assert/strict';
import { type Bind, startBind } from '../support/bind.ts';
import { messageOf, SIGNER } from '../support/client-lab.ts';
import { freePort } from '../support/free-port.ts';
import { type FakeMx, startMx } from '../support/mx.ts';
import { requirePeer } from '../support/peers.ts';
import { RawClient } from '../support/raw-client.ts';
import { type Settings, Waxseal } from '../support/waxseal.ts';

/*
 * Where mail goes, by what a real BIND says, from the client's socket to the sockets of the MXs. All
 * MXs stand on one port, as on the Internet, at loopback addresses of their own.
 */

const MX_ADDRESSES = { one: '127.0.1.1', two: '127.0.1.2', hub: '127.0.1.3' } as const;
type MxName = keyof typeof MX_ADDRESSES;

const ZONES = {
  'mail.test': `
@        IN MX 10 mx1
@        IN MX 20 mx2
mx1      IN A ${MX_ADDRESSES.one}
mx2      IN A ${MX_ADDRESSES.two}
hub      IN A ${MX_ADDRESSES.hub}
equal    IN MX 10 mx1
equal    IN MX 10 mx2
implicit IN A ${MX_ADDRESSES.two}
alias    IN CNAME equal2
equal2   IN MX 10 mx2
null     IN MX 0 .
empty    IN TXT "neither MX nor address"
noaddr   IN MX 10 gone
six      IN MX 10 mx6
mx6      IN AAAA ::1
ours     IN MX 10 relay.example.net.
ours     IN MX 20 mx2
better   IN MX 5 mx1
better   IN MX 10 relay.example.net.
better   IN MX 20 mx2
number   IN MX 10 127.0.1.1.
routed   IN MX 10 mx1
sub.routed IN MX 10 mx1
exact.sub.routed IN MX 10 mx1`,
  'xn--bcher-kva.test': `
@        IN MX 10 mx2.mail.test.`,
};

describe('routing by a real BIND', function () {
  this.timeout(60_000);
  let bind: Bind;
  let port: number;
  let waxseal: Waxseal;
  const mxs = {} as Record<MxName, FakeMx>;

  before(async function () {
    bind = await startBind(requirePeer(this, 'named'), ZONES);
    port = await freePort();
    for (const [name, host] of Object.entries(MX_ADDRESSES)) {
      mxs[name as MxName] = await startMx({}, { host, port });
    }
    waxseal = await Waxseal.start(
      {
        dns: { servers: [bind.server] },
        relay: relay({}),
        route: [
          { domains: ['.routed.mail.test'], hosts: ['hub.mail.test'], port },
          { domains: ['exact.sub.routed.mail.test'], hosts: [MX_ADDRESSES.two], port },
        ],
      },
      [SIGNER],
    );
  });
  after(async () => {
    await waxseal?.stop();
    for (const mx of Object.values(mxs)) await mx.close();
    await bind?.close();
  });

  function relay(settings: Settings): Settings {
    return { port, allowPrivate: true, ehloName: 'relay.example.net', ...settings };
  }

  async function restart(settings: Settings): Promise<void> {
    await waxseal.configure(settings);
    await waxseal.end();
    waxseal.records.length = 0;
    await waxseal.serve();
  }

  /** Sends a message. @returns the last reply, and the names of the MXs that saw a connection */
  async function send(to: string, parameters = ''): Promise<{ reply: string; asked: MxName[] }> {
    const counts = () => Object.values(mxs).map(({ sessions }) => sessions.length);
    const before = counts();
    const client = await RawClient.session(waxseal.port);
    await client.command(`MAIL FROM:<author@${SIGNER}>${parameters}`);
    client.write(Buffer.from(`RCPT TO:<${to}>\r\n`));
    let reply = await client.reply();
    if (reply.startsWith('250')) {
      await client.command('DATA');
      client.write(messageOf('routed'));
      reply = await client.command('.');
    }
    await client.command('QUIT');
    const asked = (Object.keys(mxs) as MxName[]).filter((_, at) => counts()[at] !== before[at]);
    return { reply, asked };
  }

  const goesTo = async (to: string, mx: MxName, parameters = '') => {
    assert.deepEqual(await send(to, parameters), { reply: '250 2.0.0 queued', asked: [mx] });
    return mxs[mx].sessions.at(-1)?.commands ?? [];
  };

  const isRefused = async (to: string, expected: RegExp) => {
    const { reply, asked } = await send(to);
    assert.match(reply, expected);
    assert.deepEqual(asked, []);
  };

  it('goes to the best MX', async () => {
    const commands = await goesTo('a@mail.test', 'one');
    assert.ok(commands.includes('RCPT TO:<a@mail.test>'));
    assert.match((await bind.queryLog('mail.test')).join(), / IN MX /);
  });

  it('goes to the domain itself where there is no MX', async () => {
    await goesTo('a@implicit.mail.test', 'two');
  });

  it('follows an alias, and leaves the address as it is', async () => {
    const commands = await goesTo('a@alias.mail.test', 'two');
    assert.ok(commands.includes('RCPT TO:<a@alias.mail.test>'));
  });

  it('shares mail among MXs of equal preference', async () => {
    const asked = new Set<MxName>();
    // Each is the first with a probability of one half.
    for (let count = 0; count < 60 && asked.size < 2; count += 1) {
      const { asked: names } = await send('a@equal.mail.test');
      for (const name of names) asked.add(name);
    }
    assert.deepEqual([...asked].sort(), ['one', 'two']);
  });

  it('looks an IDN up by its A-labels, however it is written', async () => {
    const written = await goesTo('a@bücher.test', 'two', ' SMTPUTF8');
    assert.ok(written.includes('RCPT TO:<a@bücher.test>'));
    const ascii = await goesTo('a@xn--bcher-kva.test', 'two');
    assert.ok(ascii.includes('RCPT TO:<a@xn--bcher-kva.test>'));
    assert.ok((await bind.queryLog('xn--bcher-kva.test')).length > 0);
  });

  it('goes to an MX that has IPv6 only', async function () {
    const six = await startMx({}, { host: '::1', port }).catch(() => this.skip());
    try {
      assert.equal((await send('a@six.mail.test')).reply, '250 2.0.0 queued');
      assert.equal(six.contents.length, 1);
    } finally {
      await six.close();
    }
  });

  it('takes only MXs that are better than ourselves', async () => {
    await goesTo('a@better.mail.test', 'one');
    await isRefused('a@ours.mail.test', /^550 5\.4\.6 .*\[waxseal route\.loop \S+\]$/);
  });

  it('refuses what has no MX, with the words for each reason', async () => {
    await isRefused('a@null.mail.test', /^556 5\.1\.10 .*\[waxseal route\.null-mx \S+\]$/);
    await isRefused('a@gone.mail.test', /^550 5\.1\.2 .*does not exist/);
    await isRefused('a@empty.mail.test', /^550 5\.1\.2 .*no MX, A or AAAA/);
    await isRefused('a@noaddr.mail.test', /^550 5\.4\.4 .*gone\.mail\.test/);
    await isRefused('a@number.mail.test', /^550 5\.4\.4 /);
  });

  it('waits when BIND will not say', async () => {
    await isRefused('a@elsewhere.invalid', /^451 4\.4\.3 .*\[waxseal route\.dns-failed \S+\]$/);
  });

  it('refuses address literals', async () => {
    await isRefused(`a@[${MX_ADDRESSES.one}]`, /^550 5\.4\.4 .*rcpt\.address-literal/);
  });

  it('goes where a route says, the exact name before the suffix', async () => {
    await goesTo('a@sub.routed.mail.test', 'hub');
    await goesTo('a@exact.sub.routed.mail.test', 'two');
    await goesTo('a@routed.mail.test', 'one');
  });

  it('takes no private MX from the DNS unless told to, and no connection is made', async () => {
    await restart({ relay: relay({ allowPrivate: false }) });
    for (const domain of ['mail.test', 'implicit.mail.test', 'six.mail.test']) {
      await isRefused(`a@${domain}`, /^550 5\.4\.6 .*\[waxseal route\.not-public \S+\]$/);
    }
    // The operator named this one.
    await goesTo('a@sub.routed.mail.test', 'hub');
  });

  it('goes to an address literal where that is allowed', async () => {
    await restart({ relay: relay({ allowAddressLiterals: true }) });
    await goesTo(`a@[${MX_ADDRESSES.hub}]`, 'hub');
  });

  it('goes to the smarthost, whatever the DNS says, but for routes', async () => {
    await restart({ relay: relay({}), smarthost: { hosts: ['hub.mail.test'], port } });
    for (const domain of ['mail.test', 'null.mail.test', 'gone.mail.test', 'elsewhere.invalid']) {
      await goesTo(`a@${domain}`, 'hub');
    }
    await goesTo('a@exact.sub.routed.mail.test', 'two');
  });

  it('sends recipients of several domains to the smarthost in one transaction', async () => {
    const client = await RawClient.session(waxseal.port);
    const index = mxs.hub.sessions.length;
    const recipients = ['a@mail.test', 'b@gone.mail.test'];
    const reply = await client.send(`author@${SIGNER}`, recipients, messageOf('both'));
    assert.equal(reply, '250 2.0.0 queued');
    const { commands } = await mxs.hub.session(index);
    assert.deepEqual(
      commands.filter((line) => line.startsWith('RCPT')),
      recipients.map((recipient) => `RCPT TO:<${recipient}>`),
    );
    assert.equal(mxs.hub.sessions.length, index + 1);
    client.close();
  });
});
