/** The stage of a run: sinks, name server, floor and relay, all on loopback, each its own process. */
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SignatureKind } from './bench-key.ts';
import { type Child, startChild, startProgram } from './children.ts';
import type { RunOptions } from './options.ts';
import type { SinkOptions } from './sink.ts';

/** Domain of the header From for each kind of key. */
export const FROM_DOMAIN: Readonly<Record<SignatureKind, string>> = {
  rsa: 'rsa.example',
  ed25519: 'ed25519.example',
};

/** Recipient domains, and the address of the MX of each. */
export const MX_ADDRESS = {
  /** Takes what the throughput rows send: smtp-sink, or the own one. */
  'sink.example': '127.0.0.2',
  /** The own sink, which counts messages and signatures. */
  'counted.example': '127.0.0.3',
  /** 50 ms away. */
  'far.example': '127.0.0.4',
  /** Never answers RCPT. */
  'stuck.example': '127.0.0.5',
} as const;

export type RecipientDomain = keyof typeof MX_ADDRESS;

export const FAR_MS = 50;

export interface Stage {
  readonly workDir: string;
  readonly quick: boolean;
  readonly usePostfixTools: boolean;
  readonly profileDir: string | undefined;
  readonly sinkPort: number;
  readonly dnsPort: number;
  readonly sinks: Readonly<Record<'counted.example' | 'far.example' | 'stuck.example', Child>>;
}

export const SMTP_SOURCE = '/usr/sbin/smtp-source';
const SMTP_SINK = '/usr/sbin/smtp-sink';

/** Starts sinks and name server. */
export async function setStage(workDir: string, options: RunOptions): Promise<Stage> {
  const installed = [SMTP_SOURCE, SMTP_SINK].every((path) => existsSync(path));
  if (options.tools === 'postfix' && !installed) {
    throw new Error('--tools postfix needs smtp-source and smtp-sink (Debian package postfix)');
  }
  const usePostfixTools = options.tools !== 'own' && installed;
  const counted = startProgram('./sink.ts', { host: MX_ADDRESS['counted.example'], port: 0 });
  const { port } = await counted.next<{ port: number }>();
  const far = await startSink({ host: MX_ADDRESS['far.example'], port, delayMs: FAR_MS });
  const stuck = await startSink({ host: MX_ADDRESS['stuck.example'], port, stallRcpt: true });
  if (usePostfixTools) {
    await startSmtpSink(port);
  } else {
    await startSink({ host: MX_ADDRESS['sink.example'], port });
  }
  const dns = startProgram('./dns-stub.ts', { host: '127.0.0.1', addresses: MX_ADDRESS });
  const { port: dnsPort } = await dns.next<{ port: number }>();
  return {
    workDir,
    quick: options.quick,
    usePostfixTools,
    profileDir: options.profileDir,
    sinkPort: port,
    dnsPort,
    sinks: { 'counted.example': counted, 'far.example': far, 'stuck.example': stuck },
  };
}

async function startSink(options: SinkOptions): Promise<Child> {
  const sink = startProgram('./sink.ts', options);
  await sink.next();
  return sink;
}

/** Postfix's smtp-sink, which insists on giving up root's privileges. */
async function startSmtpSink(port: number): Promise<void> {
  const host = MX_ADDRESS['sink.example'];
  const privileges = process.getuid?.() === 0 ? ['-u', 'nobody'] : [];
  const child = startChild('smtp-sink', SMTP_SINK, [...privileges, `${host}:${port}`, '1024']);
  try {
    await waitUntilAccepting(host, port, () => !child.hasExited);
  } catch (error) {
    throw new Error(`smtp-sink did not start: ${child.errorText}`, { cause: error });
  }
}

/** Waits until something listens; throws when nothing does in time or `stillAlive` says no. */
export async function waitUntilAccepting(
  host: string,
  port: number,
  stillAlive: () => boolean = () => true,
  timeoutMs = 20_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (performance.now() < deadline && stillAlive()) {
    if (await accepts(host, port)) {
      return;
    }
    await sleep(50);
  }
  throw new Error(`nothing listens at ${host}:${port}`);
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
