import { execFile, spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { DnsServer } from '../../src/base/dns-transport.ts';

const PYTHON_SCRIPT = join(dirname(fileURLToPath(import.meta.url)), 'verify-dkimpy.py');
const MAX_OUTPUT_BYTES = 256 * 1024 * 1024;

/** What a verifier says of one signature. */
export interface Verdict {
  readonly selector: string;
  /** `pass`, `revoked` (`p=` is empty), `absent` (no record), or what it complains about. */
  readonly verdict: string;
}

/**
 * A verifier that asks a real name server: all files of a call in one process with a fresh cache.
 *
 * @param dir folder of the files
 * @returns for each file, all its signatures
 */
export type LiveVerifier = (
  dir: string,
  files: readonly string[],
) => Promise<readonly (readonly Verdict[])[]>;

export interface LiveOpendkim {
  /** Path of the program, see `requirePeer`. */
  readonly program: string;
  /** An empty folder for its configuration. */
  readonly folder: string;
  /** The authoritative server of the zone. */
  readonly server: DnsServer;
  readonly zone: string;
}

type Words = readonly (readonly [string, string])[];

const OPENDKIM_WORDS: Words = [
  ['reason="key revoked"', 'revoked'],
  ['reason="key not found in DNS"', 'absent'],
];

const DKIMPY_WORDS: Words = [
  [" public key (b'')", 'revoked'], // it has no word for that, but quotes the key
  ['missing public key', 'absent'],
];

function wordFor(words: Words, complaint: string): string {
  return words.find(([part]) => complaint.includes(part))?.[1] ?? complaint;
}

/** OpenDKIM's own milter code, run on files, with Unbound's library as its resolver. */
export async function liveOpendkim(options: LiveOpendkim): Promise<LiveVerifier> {
  const { program, folder, server, zone } = options;
  const resolver = join(folder, 'unbound.conf');
  const conf = join(folder, 'opendkim.conf');
  const lines = [
    'server:',
    '  do-not-query-localhost: no',
    '  do-ip6: no',
    '  module-config: "iterator"',
    // It would answer with NXDOMAIN itself (RFC 6761).
    '  local-zone: "test." nodefault',
    'stub-zone:',
    `  name: "${zone}"`,
    `  stub-addr: ${server.address}@${server.port}`,
  ];
  await writeFile(resolver, `${lines.join('\n')}\n`);
  await writeFile(conf, `Mode v\nSyslog no\nResolverConfiguration ${resolver}\n`);
  return async (dir, files) => {
    if (files.length === 0) return [];
    const output = await new Promise<string>((resolve) => {
      // It ends with an error when a message fails.
      const options = { cwd: dir, maxBuffer: MAX_OUTPUT_BYTES };
      execFile(program, ['-x', conf, '-vvv', '-t', files.join(',')], options, (_error, stdout) =>
        resolve(stdout),
      );
    });
    const [, ...results] = output.split("### INSHEADER: idx=0 hname='Authentication-Results'");
    if (results.length !== files.length) throw new Error(`opendkim said: ${output.slice(-2000)}`);
    return results.map((result) =>
      [...result.matchAll(/dkim=(\w+)(.*?)\sheader\.d=.*?\sheader\.s=([^\s;]+)/gs)].map(
        ([, verdict = '', detail = '', selector = '']) => ({
          selector,
          verdict: verdict === 'pass' ? 'pass' : wordFor(OPENDKIM_WORDS, `${verdict}${detail}`),
        }),
      ),
    );
  };
}

/** dkimpy, by Debian's own interpreter: it is the one that sees Debian's modules. */
export function liveDkimpy(server: DnsServer): LiveVerifier {
  return async (dir, files) => {
    if (files.length === 0) return [];
    const python = spawn('/usr/bin/python3', [PYTHON_SCRIPT], { cwd: dir });
    const outputs = Promise.all([text(python.stdout), text(python.stderr)]);
    python.stdin.end(
      JSON.stringify({ server: { address: server.address, port: server.port }, files }),
    );
    const [stdout, stderr] = await outputs;
    if (stdout === '') throw new Error(`dkimpy said: ${stderr}`);
    const results = JSON.parse(stdout) as Record<string, DkimpyResult[]>;
    return files.map((file) =>
      (results[file] ?? []).map(({ selector, pass, error }) => ({
        selector,
        verdict: pass ? 'pass' : wordFor(DKIMPY_WORDS, `${error}`),
      })),
    );
  };
}

interface DkimpyResult {
  readonly selector: string;
  readonly pass: boolean;
  readonly error: string | null;
}
