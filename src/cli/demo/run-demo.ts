import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../base/clock.ts';
import { createLog } from '../../base/log.ts';
import { printable } from '../../base/printable.ts';
import { StubResolver } from '../../base/resolver.ts';
import type { Config } from '../../config/config.ts';
import { buildConfig } from '../../config/load-config.ts';
import { type Endpoint, parseEndpoint } from '../../config/network-formats.ts';
import { activateKeys } from '../../keys/activate-keys.ts';
import { DEFAULT_ALGORITHMS } from '../../keys/key-algorithm.ts';
import { recordName } from '../../keys/key-name.ts';
import { recordValue, splitRecordValue } from '../../keys/key-record.ts';
import { keyringAccess } from '../../keys/keyring-access.ts';
import { createKeysOf } from '../../keys/lifecycle/create-step.ts';
import { leasedCommit } from '../../keys/lifecycle/leased-commit.ts';
import { processHolder } from '../../keys/lifecycle/process-holder.ts';
import { resolverTxtLookup } from '../../keys/txt-lookup.ts';
import { startServer } from '../../server.ts';
import type { CliFrame } from '../frame.ts';
import { submitMessage } from '../submit-message.ts';
import { type EmbeddedDns, startEmbeddedDns } from './embedded-dns.ts';
import { type EmbeddedMx, startEmbeddedMx } from './embedded-mx.ts';
import { verifiedSignatures } from './verify-delivery.ts';

const AUTHOR = 'alice@sender.example';

/** What is sent, and what has to come of it. */
const SCENES = [
  {
    title: 'A message that the MX takes',
    to: 'bob@friendly.example',
    expect: 250,
    moral: 'The 250 is the MX’s own: Waxseal says it only after the MX has.',
  },
  {
    title: 'A recipient that the MX refuses at RCPT',
    to: 'nobody@friendly.example',
    expect: 550,
    moral: 'The refusal reached the client at RCPT, in the MX’s words; no content was sent.',
  },
  {
    title: 'A message that another MX refuses after DATA',
    to: 'picky@strict.example',
    expect: 554,
    moral: 'The refusal of the content is passed back too. Your mail server makes the bounce.',
  },
] as const;

const NEXT = `
For real:
  1. waxseal keys rotate YOUR-DOMAIN          makes keys, sees to their records, lets them sign
  2. waxseal config check                     then: waxseal serve
  3. point Postfix or Exim at it              snippets in config/postfix and config/exim
`;

/**
 * Shows the main job: relay, embedded DNS and two embedded MXs on loopback.
 *
 * @param showLog print the relay's log records between the scenes
 * @returns true if every scene went as it should
 */
export async function runDemo(frame: CliFrame, showLog: boolean): Promise<boolean> {
  const dir = await mkdtemp(join(tmpdir(), 'waxseal-demo-'));
  const cleanUp: (() => unknown)[] = [() => rm(dir, { recursive: true, force: true })];
  try {
    const friendly = await startEmbeddedMx('mx.friendly.example', '127.0.0.1', 0);
    cleanUp.push(() => friendly.close());
    const strict = await startEmbeddedMx('mx.strict.example', '127.0.0.2', friendly.port);
    cleanUp.push(() => strict.close());
    const dns = await startEmbeddedDns(zoneOf([friendly, strict]));
    cleanUp.push(() => dns.close());
    const config = demoConfig(dir, dns, friendly.port);
    frame.stdout(
      `Embedded DNS at ${dns.server}; MXs at port ${friendly.port} of 127.0.0.1 and 127.0.0.2.\n`,
    );
    await makeKeys(frame, config, dns);
    const log = createLog({
      level: showLog ? 'info' : 'silent',
      format: 'pretty',
      fd: 1,
      isTerminal: frame.isTty,
    });
    const server = await startServer({
      config,
      log,
      clock: systemClock,
      version: frame.version,
      reloadConfig: async () => config,
    });
    cleanUp.push(() => server.drain('demo'));
    const [listen = ''] = server.listening;
    frame.stdout(`Waxseal listens at ${listen}.\n`);
    let good = true;
    for (const scene of SCENES) {
      good = (await play(frame, listen, scene)) && good;
      await log.flush();
    }
    good = (await verify(frame, friendly, dns)) && good;
    frame.stdout(good ? NEXT : '\nSomething went wrong, see above.\n');
    return good;
  } finally {
    for (const action of cleanUp.reverse()) await action();
  }
}

function zoneOf(mxs: readonly EmbeddedMx[]): EmbeddedDns['zone'] {
  const zone: EmbeddedDns['zone'] = new Map();
  for (const { host, address } of mxs) {
    zone.set(host.replace(/^mx\./, ''), { MX: [{ preference: 10, exchange: host }] });
    zone.set(host, { A: [address] });
  }
  return zone;
}

/** The defaults, but for what keeps the demonstration to itself. */
function demoConfig(dir: string, dns: EmbeddedDns, mxPort: number): Config {
  const text = JSON.stringify({
    server: { name: 'relay.sender.example' },
    listen: ['127.0.0.1:0'],
    dns: { servers: [dns.server] },
    relay: { port: mxPort, allowPrivate: true },
    keys: { dir: join(dir, 'keys'), masterKeyFile: join(dir, 'master.key') },
    spool: { dir },
  });
  const system = { hostName: 'relay.sender.example', temporaryDirectory: dir };
  return buildConfig({ file: { name: 'demo', text }, environment: {}, system }).config;
}

/** Makes keys, publishes their records in the embedded DNS, and activates them by looking there. */
async function makeKeys(frame: CliFrame, config: Config, dns: EmbeddedDns): Promise<void> {
  const domain = AUTHOR.replace(/^.*@/, '');
  const keyring = keyringAccess(config.keys, systemClock);
  const access = {
    ...keyring,
    ...{ caller: async () => 'demo', command: 'demo', holder: await processHolder() },
    progress: () => undefined,
  };
  const names = { names: 'dated', subdomains: undefined, negativeTtlS: 0 } as const;
  const options = { backend: 'file', ttlS: 3600, ...names } as const;
  const { added } = await createKeysOf(access, domain, options, async () =>
    DEFAULT_ALGORITHMS.map(({ name }) => name),
  );
  for (const key of added) {
    const name = recordName(key.selector, domain);
    dns.zone.set(name, { TXT: [splitRecordValue(recordValue(key))] });
    frame.stdout(`Key ${key.algorithm}, published as TXT of ${name}.\n`);
  }
  const resolver = new StubResolver({ ...config.dns, clock: systemClock });
  const lookup = resolverTxtLookup(resolver);
  const request = { domain, selectors: [], force: false };
  const result = await activateKeys(access, request, lookup, leasedCommit(access));
  resolver.close();
  keyring.close();
  frame.stdout(`Looked up in DNS and ${result.kind}.\n`);
}

async function play(
  frame: CliFrame,
  listen: string,
  { title, to, expect, moral }: (typeof SCENES)[number],
): Promise<boolean> {
  frame.stdout(`\n── ${title}\n`);
  const result = await submitMessage({
    server: parseEndpoint(listen) as Endpoint,
    name: 'client.sender.example',
    tls: undefined,
    credentials: undefined,
    from: AUTHOR,
    to: [to],
    message: Buffer.from(messageTo(to)),
    onLine: (side, line) => frame.stdout(`   ${side}: ${printable(line)}\n`),
  });
  const good = result.code === expect;
  frame.stdout(good ? `   ${moral}\n` : `   Expected ${expect}, heard ${result.code}.\n`);
  return good;
}

function messageTo(recipient: string): string {
  return [
    `From: Alice <${AUTHOR}>`,
    `To: <${recipient}>`,
    'Subject: Hello through the seal',
    `Date: ${new Date().toUTCString().replace('GMT', '+0000')}`,
    `Message-ID: <demo-${process.pid}-${recipient}>`,
    '',
    'This message was signed on its way.',
    '.. and a line that begins with dots came through whole.',
    '',
  ].join('\r\n');
}

async function verify(frame: CliFrame, mx: EmbeddedMx, dns: EmbeddedDns): Promise<boolean> {
  frame.stdout('\n── What arrived, checked by an independent verifier\n');
  const [message] = mx.accepted;
  if (message === undefined) return false;
  const header = message.toString('latin1').split('\r\n\r\n')[0] ?? '';
  for (const line of header.split('\r\n')) {
    frame.stdout(`   | ${printable(line.replace(/^\t/, '    '))}\n`);
  }
  const signatures = await verifiedSignatures(message, dns);
  for (const { algorithm, selector, result } of signatures) {
    frame.stdout(`   ${algorithm} s=${selector}: ${result}\n`);
  }
  return signatures.length === 2 && signatures.every(({ result }) => result === 'pass');
}
