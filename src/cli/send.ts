import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { errorMessage, WaxsealError } from '../base/errors.ts';
import { printable } from '../base/printable.ts';
import { type Endpoint, parseEndpoint } from '../config/network-formats.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import type { CliFrame } from './frame.ts';
import { reportError } from './report-error.ts';
import { type SendResult, submitMessage } from './submit-message.ts';
import { testMessage } from './test-message.ts';

const MAX_MESSAGE_BYTES = 100 * 1024 * 1024;

interface SendOptions {
  readonly server?: Endpoint;
  readonly from: string;
  readonly to: readonly string[];
  readonly tls: boolean;
  readonly insecure: boolean;
  readonly ca?: string;
  readonly user?: string;
  readonly passwordFile?: string;
  readonly json: boolean;
}

const HELP = `
Without FILE a small test message is made; "-" reads the message from standard input. The password for
--user comes from --password-file, or from a prompt.

Exit codes: 0 accepted for all recipients; 1 no connection, or a 4xx (try again later); 3 a 5xx.

Example:
  waxseal send --from me@example.com --to you@example.net
`;

/** Mounts `send`. */
export function registerSend(program: Command, frame: CliFrame): void {
  program
    .command('send')
    .summary('send a message through a running relay and show the dialogue')
    .description('Submit a message through a running relay and show what is said on the wire.')
    .argument('[file]', 'the message, RFC 5322; "-" for standard input')
    .option('--server <host:port>', 'the relay (default: the first address of "listen")', endpoint)
    .requiredOption('--from <address>', 'reverse-path; "<>" or "" for the null one')
    .addOption(
      new Option('--to <address>', 'recipient; may be repeated')
        .argParser((address: string, others: readonly string[] = []) => [...others, address])
        .makeOptionMandatory(),
    )
    .option('--tls', 'demand STARTTLS and a certificate that is good', false)
    .option('--insecure', 'with --tls: take any certificate', false)
    .option('--ca <file>', 'with --tls: authorities (PEM) to trust')
    .option('--user <name>', 'log in with AUTH (needs --tls)')
    .option('--password-file <file>', 'password for --user')
    .option('--json', 'print JSON', false)
    .addHelpText('after', HELP)
    .action(async (file: string | undefined, options: SendOptions) => {
      try {
        frame.setExitCode(await send(frame, file, options));
      } catch (error) {
        reportError(frame, error, options.json);
      }
    });
}

async function send(
  frame: CliFrame,
  file: string | undefined,
  options: SendOptions,
): Promise<ExitCode> {
  const server = options.server ?? (await firstListener(frame));
  if (options.user !== undefined && !options.tls) {
    throw new WaxsealError('config-auth-without-tls', 'A password may travel only under TLS', {
      hint: 'Add --tls',
    });
  }
  const from = options.from === '<>' ? '' : options.from;
  const message = await readMessage(frame, file, from, options.to);
  const result = await submitMessage({
    server,
    name: hostname(),
    tls: options.tls
      ? { verify: !options.insecure, ca: options.ca && (await readBounded(options.ca)).toString() }
      : undefined,
    credentials:
      options.user === undefined
        ? undefined
        : { user: options.user, password: await readPassword(frame, options) },
    from,
    to: options.to,
    message,
    onLine: (side, line) => {
      if (!options.json) frame.stdout(`${side}: ${printable(line)}\n`);
    },
  });
  if (options.json) frame.stdout(`${JSON.stringify(result, undefined, 2)}\n`);
  else frame.stdout(`\n${summary(result)}\n`);
  return exitCodeOf(result);
}

async function firstListener(frame: CliFrame): Promise<Endpoint> {
  const [first = ''] = (await frame.loadConfig()).listen;
  const listener = parseEndpoint(first);
  if (listener === undefined || listener.port === 0) {
    throw new WaxsealError('config-no-server', `${first} is no address to connect to`, {
      hint: 'Name the relay with --server HOST:PORT',
    });
  }
  if (listener.host === '0.0.0.0') return { ...listener, host: '127.0.0.1' };
  return listener.host === '::' ? { ...listener, host: '::1' } : listener;
}

async function readMessage(
  frame: CliFrame,
  file: string | undefined,
  from: string,
  to: readonly string[],
): Promise<Buffer> {
  if (file === undefined) return testMessage(from, to, new Date());
  return file === '-' ? await frame.input.readAll(MAX_MESSAGE_BYTES) : await readBounded(file);
}

async function readPassword(frame: CliFrame, options: SendOptions): Promise<string> {
  if (options.passwordFile !== undefined) {
    return (await readBounded(options.passwordFile)).toString('utf8').replace(/\r?\n$/, '');
  }
  if (frame.input.isTty) return await frame.input.readSecret('Password: ');
  throw new WaxsealError('config-no-password', 'There is no password', {
    hint: 'Name a file with --password-file',
  });
}

async function readBounded(path: string): Promise<Buffer> {
  const data = await readFile(path).catch((error: unknown) => {
    throw new WaxsealError('file-unreadable', `${path} cannot be read: ${errorMessage(error)}`, {
      cause: error,
    });
  });
  if (data.length <= MAX_MESSAGE_BYTES) return data;
  throw new WaxsealError('file-too-big', `${path} is over ${MAX_MESSAGE_BYTES} octets`);
}

function summary(result: SendResult): string {
  const refused = result.refused.map(
    ({ recipient, reply }) =>
      `Refused for ${printable(recipient)}: ${printable(reply.replaceAll(/\r?\n/g, ' / '))}`,
  );
  const accepted = result.accepted.map((recipient) => `Accepted for ${printable(recipient)}`);
  const failure = result.failure === undefined ? [] : [`Failed: ${printable(result.failure)}`];
  return [...accepted, ...refused, ...failure].join('\n');
}

/** The worst class of reply decides; no reply at all may get better by itself. */
function exitCodeOf({ code, refused, failure }: SendResult): ExitCode {
  const codes = [code ?? 0, ...refused.map((refusal) => refusal.code)];
  if (codes.some((one) => one >= 500)) return EXIT.refused;
  return failure !== undefined || codes.some((one) => one >= 400) ? EXIT.failed : EXIT.ok;
}

function endpoint(text: string): Endpoint {
  const parsed = parseEndpoint(text, 25);
  if (parsed === undefined) throw new InvalidArgumentError('It must be HOST:PORT.');
  return parsed;
}
