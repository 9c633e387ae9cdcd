/** Loads: what is sent at a system, and by which program. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SignatureKind } from './bench-key.ts';
import { type Child, startChild, startProgram } from './children.ts';
import { type ContentKind, contentLines, fileContent } from './content.ts';
import type { GeneratorOptions, GeneratorResult } from './generator.ts';
import type { SignatureCostOptions } from './signature-cost.ts';
import { FROM_DOMAIN, type RecipientDomain, SMTP_SOURCE, type Stage } from './stage.ts';

/** A message that the bench sends. */
export interface MessageSpec {
  readonly name: string;
  readonly kind: ContentKind;
  readonly bytes: number;
}

export const MESSAGES = {
  '1KB': { name: '1KB', kind: 'mime', bytes: 1024 },
  '10KB': { name: '10KB', kind: 'mime', bytes: 10_240 },
  '100KB': { name: '100KB', kind: 'mime', bytes: 102_400 },
  '1MB': { name: '1MB', kind: 'mime', bytes: 1_048_576 },
  'prose-1MB': { name: 'prose-1MB', kind: 'prose', bytes: 1_048_576 },
  '10MB': { name: '10MB', kind: 'mime', bytes: 10_485_760 },
  '20MB': { name: '20MB', kind: 'mime', bytes: 20_971_520 },
} as const satisfies Record<string, MessageSpec>;

export interface Load {
  readonly message: MessageSpec;
  readonly sessions: number;
  readonly messages: number;
  readonly signature: SignatureKind;
  readonly to: RecipientDomain;
}

const HOST = '127.0.0.1';
/** Longest that any one load may take. */
const LOAD_TIMEOUT_MS = 240_000;

/** Starts the own generator; its result is its first JSON line. */
export function startGenerator(
  port: number,
  load: Load,
  mode: GeneratorOptions['mode'],
  extra: Partial<GeneratorOptions> = {},
): Child {
  const options: GeneratorOptions = {
    mode,
    host: HOST,
    port,
    sessions: load.sessions,
    messages: load.messages,
    kind: load.message.kind,
    bytes: load.message.bytes,
    fromDomain: FROM_DOMAIN[load.signature],
    toDomain: load.to,
    ...extra,
  };
  return startProgram('./generator.ts', options);
}

/** Runs the own generator to its end. */
export async function generate(
  port: number,
  load: Load,
  mode: GeneratorOptions['mode'],
  extra: Partial<GeneratorOptions> = {},
): Promise<GeneratorResult> {
  const child = startGenerator(port, load, mode, extra);
  const result = await child.next<GeneratorResult>(LOAD_TIMEOUT_MS);
  await child.exited;
  return result;
}

/**
 * A closed loop from smtp-source or the own generator.
 *
 * @returns messages a second
 */
export async function closedLoop(
  stage: Stage,
  port: number,
  load: Load,
  reconnect = false,
): Promise<number> {
  if (!stage.usePostfixTools) {
    return (await generate(port, load, 'closed', { reconnect })).messagesPerSecond;
  }
  const domain = FROM_DOMAIN[load.signature];
  const file = join(stage.workDir, `${load.message.name}-${domain}.eml`);
  const lines = contentLines({ ...load.message, fromDomain: domain });
  await writeFile(file, fileContent(lines));
  const args = [
    ...(reconnect ? [] : ['-d']),
    ...['-s', String(load.sessions), '-m', String(load.messages), '-F', file],
    ...['-f', `sender@${domain}`, '-t', `recipient@${load.to}`, '-M', 'bench.example'],
    `${HOST}:${port}`,
  ];
  const start = performance.now();
  const child = startChild('smtp-source', SMTP_SOURCE, args);
  const timer = setTimeout(() => child.kill(), LOAD_TIMEOUT_MS);
  const status = await child.exited;
  clearTimeout(timer);
  if (status !== 0) {
    throw new Error(`smtp-source ended with ${status}: ${child.errorText}`);
  }
  return load.messages / ((performance.now() - start) / 1000);
}

/** R: milliseconds of CPU for one signature. */
export async function signatureCpuMs(signature: SignatureKind, quick: boolean): Promise<number> {
  const options: SignatureCostOptions = { signature, count: quick ? 300 : 1000 };
  const child = startProgram('./signature-cost.ts', options);
  const { cpuMs } = await child.next<{ cpuMs: number }>();
  await child.exited;
  return cpuMs;
}

/**
 * The targets are for the steady state. V8 goes on compiling for some ten thousand messages, which costs
 * up to 0.1 ms a message at first and tens of megabytes for a while, so a relay takes this many before
 * anything of that kind is measured.
 */
const WARM_UP_MESSAGES = 20_000;

/**
 * Brings a fresh relay into its steady state, for each kind of key. Sessions stay open: twenty
 * thousand connections would leave so many in TIME_WAIT that the kernel is slow to open more.
 */
export async function warmUp(
  stage: Stage,
  port: number,
  signatures: readonly SignatureKind[] = ['ed25519', 'rsa'],
): Promise<void> {
  for (const signature of signatures) {
    await closedLoop(stage, port, {
      message: MESSAGES['1KB'],
      sessions: 20,
      messages: WARM_UP_MESSAGES / (stage.quick ? 20 : 1) / signatures.length,
      signature,
      to: 'sink.example',
    });
  }
}
