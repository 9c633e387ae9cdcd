import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import { startDns } from './dns.ts';
import { freePort } from './free-port.ts';
import { waitFor } from './wait-for.ts';

const run = promisify(execFile);
const PYTHON_SCRIPT = join(dirname(fileURLToPath(import.meta.url)), 'verify-dkimpy.py');

/** TXT records by owner name. */
export type TxtRecords = Readonly<Record<string, string>>;

/** Selectors whose signature verified, for each message in the order given. */
export type Verdicts = readonly (readonly string[])[];

/** A verifier of DKIM signatures that this project did not write. */
export interface Verifier {
  readonly name: string;
  /** The program that it needs installed, for `requirePeer`. */
  readonly peer: string | undefined;
  verify(messages: readonly Buffer[], dns: TxtRecords): Promise<Verdicts>;
}

/** mailauth, the library itself. */
export const mailauthVerifier: Verifier = {
  name: 'mailauth',
  peer: undefined,
  verify: async (messages, dns) => {
    const resolver = async (name: string) => {
      const text = dns[name.toLowerCase()];
      if (text === undefined) throw Object.assign(new Error('no record'), { code: 'ENOTFOUND' });
      return [[text]];
    };
    return Promise.all(
      messages.map(async (message) => {
        const { results } = await dkimVerify(message, { resolver });
        return results
          .filter(({ status }) => status.result === 'pass')
          .map(({ selector }) => selector ?? '');
      }),
    );
  },
};

/** dkimpy (Debian python3-dkim). */
export const dkimpyVerifier: Verifier = {
  name: 'dkimpy',
  peer: 'dkimverify',
  verify: (messages, dns) =>
    withFiles(messages, async (_dir, files) => {
      // Debian's own interpreter: it is the one that sees Debian's modules.
      const python = spawn('/usr/bin/python3', [PYTHON_SCRIPT], {
        stdio: ['pipe', 'pipe', 'pipe'],
      });
      python.stdin.end(JSON.stringify({ dns, files }));
      let output = '';
      let complaint = '';
      python.stdout.on('data', (text) => {
        output += text;
      });
      python.stderr.on('data', (text) => {
        complaint += text;
      });
      const [code] = await once(python, 'close');
      if (code !== 0) throw new Error(`dkimpy ended with ${code}: ${complaint}`);
      const results = JSON.parse(output) as Record<string, { selector: string; pass: boolean }[]>;
      return files.map((file) =>
        (results[file] ?? []).filter(({ pass }) => pass).map(({ selector }) => selector),
      );
    }),
};

/** OpenDKIM's own milter code, run on files. */
export const opendkimVerifier: Verifier = {
  name: 'opendkim',
  peer: 'opendkim',
  verify: (messages, dns) =>
    withFiles(messages, async (dir, files) => {
      const zone = join(dir, 'zone');
      const lines = Object.entries(dns).map(([name, text]) => `${name} ${text}\n`);
      await writeFile(zone, lines.join(''));
      const conf = join(dir, 'opendkim.conf');
      await writeFile(conf, `Mode v\nSyslog no\nTestDNSData file:${zone}\n`);
      const verdicts: string[][] = [];
      for (const file of files) {
        // It ends with an error for a message that it gives up on.
        const { stdout } = await run('opendkim', ['-x', conf, '-vvv', '-t', file]).catch(
          (error: { stdout?: string }) => ({ stdout: error.stdout ?? '' }),
        );
        const passed = stdout.matchAll(/dkim=pass[^;]*?header\.s=([^\s;]+)/g);
        verdicts.push([...passed].map((match) => match[1] ?? ''));
      }
      return verdicts;
    }),
};

/** rspamd with its DKIM module and nothing else, asked over HTTP. */
export const rspamdVerifier: Verifier = {
  name: 'rspamd',
  peer: 'rspamd',
  verify: async (messages, dns) => {
    const zone = Object.entries(dns).map(
      ([name, text]) => [name, { TXT: [text.match(/.{1,255}/g) ?? []] }] as const,
    );
    const server = await startDns(Object.fromEntries(zone));
    try {
      return await withFiles([], (dir) => askRspamd(dir, server.port, messages));
    } finally {
      await server.close();
    }
  },
};

export const allVerifiers = [
  mailauthVerifier,
  dkimpyVerifier,
  opendkimVerifier,
  rspamdVerifier,
] as const;

async function askRspamd(
  dir: string,
  dnsPort: number,
  messages: readonly Buffer[],
): Promise<Verdicts> {
  await chmod(dir, 0o777);
  const port = await freePort();
  await writeFile(join(dir, 'tld'), 'com\norg\n');
  const conf = join(dir, 'rspamd.conf');
  await writeFile(conf, rspamdConf(dir, port, dnsPort));
  const daemon = spawn('rspamd', ['-f', '-i', '-c', conf], { stdio: 'ignore' });
  const url = `http://127.0.0.1:${port}`;
  try {
    await waitFor('rspamd to answer', async () => (await fetch(`${url}/ping`)).ok, 60_000);
    const verdicts: string[][] = [];
    for (const message of messages) {
      const answer = await fetch(`${url}/checkv2`, {
        method: 'POST',
        body: new Uint8Array(message),
      });
      const { symbols } = (await answer.json()) as {
        symbols: Record<string, { options?: string[] } | undefined>;
      };
      const allowed = symbols.R_DKIM_ALLOW?.options ?? [];
      verdicts.push(allowed.map((option) => option.replace(/^.*:s=/, '')));
    }
    return verdicts;
  } finally {
    const ended = once(daemon, 'exit');
    daemon.kill('SIGTERM');
    await ended;
  }
}

function rspamdConf(dir: string, port: number, dnsPort: number): string {
  return `options {
  url_tld = "${dir}/tld"; disable_hyperscan = true; pidfile = "${dir}/pid";
  tempdir = "${dir}"; rundir = "${dir}"; dbdir = "${dir}"; hs_cache_dir = "${dir}";
  filters = "dkim"; local_addrs = [];
  dns { nameserver = ["127.0.0.1:${dnsPort}:1"]; timeout = 5s; retransmits = 3; enable_dnssec = false; }
}
logging { type = "file"; filename = "${dir}/log"; level = "warning"; }
worker "normal" { bind_socket = "127.0.0.1:${port}"; count = 1; }
actions { reject = 1000; }
dkim { enabled = true; trusted_only = false; skip_multi = false; check_local = true; check_authed = true; max_sigs = 20; }
`;
}

/** Runs `action` with the messages as files in a folder that is removed afterwards. */
async function withFiles<Result>(
  messages: readonly Buffer[],
  action: (dir: string, files: readonly string[]) => Promise<Result>,
): Promise<Result> {
  const dir = await mkdtemp(join(tmpdir(), 'waxseal-verify-'));
  try {
    const files: string[] = [];
    for (const [index, message] of messages.entries()) {
      const file = join(dir, `${index}.eml`);
      await writeFile(file, message);
      files.push(file);
    }
    return await action(dir, files);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
