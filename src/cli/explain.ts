import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { systemClock } from '../base/clock.ts';
import { errorMessage, WaxsealError } from '../base/errors.ts';
import { printable } from '../base/printable.ts';
import type { Config } from '../config/config.ts';
import { loadKeyring } from '../keys/keyring.ts';
import { Kms } from '../keys/kms/kms.ts';
import type { SigningKeyring } from '../mail/signer.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { type Explanation, explainMessage } from './explanation.ts';
import type { CliFrame } from './frame.ts';
import { plainMessage } from './plain-message.ts';
import { reportError } from './report-error.ts';

interface ExplainOptions {
  readonly mailFrom?: string;
  readonly json: boolean;
}

const HELP = `
Nothing is sent and nothing is signed; the keyring is read as the relay would read it now.

Exit codes: 0 it would leave (signed, or unsigned as configured); 1 it would be deferred (451), or the
file or the keyring cannot be read; 3 it would be refused (5xx).
`;

/** The verdicts, and what they come to. */
const VERDICTS: Readonly<Record<Explanation['verdict'], { text: string; exitCode: ExitCode }>> = {
  sign: { text: 'It would be signed.', exitCode: EXIT.ok },
  unsigned: { text: 'It would leave without a signature.', exitCode: EXIT.ok },
  refuse: { text: 'It would be refused.', exitCode: EXIT.refused },
  defer: { text: 'It would be deferred: the client tries again later.', exitCode: EXIT.failed },
};

/** Mounts `explain`. */
export function registerExplain(program: Command, frame: CliFrame): void {
  program
    .command('explain')
    .summary('tell how a message would be signed, and why not')
    .description('Tell which domain, keys and header fields would sign a message, and why not.')
    .argument('<file>', 'the message, RFC 5322; "-" for standard input')
    .option('--mail-from <address>', 'reverse-path; "<>" for the null one (a bounce)')
    .option('--json', 'print JSON', false)
    .addHelpText('after', HELP)
    .action(async (file: string, options: ExplainOptions) => {
      try {
        frame.setExitCode(await explain(frame, file, options));
      } catch (error) {
        reportError(frame, error, options.json);
      }
    });
}

async function explain(frame: CliFrame, file: string, options: ExplainOptions): Promise<ExitCode> {
  const config = await frame.loadConfig();
  const message = plainMessage(await readMessage(frame, file, config.limits.messageBytes));
  const isNull = options.mailFrom === '<>' || options.mailFrom === '';
  const keyring = await openKeyring(config);
  const explanation = explainMessage(message, isNull, config, keyring, systemClock.wallMs());
  frame.stdout(
    options.json ? `${JSON.stringify(explanation, undefined, 2)}\n` : render(explanation),
  );
  return VERDICTS[explanation.verdict].exitCode;
}

/** A keyring that cannot be read defers every message, as it does in the relay. */
async function openKeyring({ keys, kms: settings, signing }: Config): Promise<SigningKeyring> {
  const quiet = { warning: () => undefined, kmsCalls: () => undefined };
  const kms = new Kms(settings, { clock: systemClock, log: quiet });
  try {
    return await loadKeyring({ ...keys, kms, mayBeEmpty: signing.unmatched === 'unsigned' });
  } catch (error) {
    if (!(error instanceof WaxsealError)) throw error;
    const reason = [error.message, error.hint].filter((part) => part !== undefined).join('; ');
    return { fault: reason, keysFor: (domain) => ({ kind: 'unusable', domain, reason }) };
  } finally {
    await kms.close();
  }
}

async function readMessage(frame: CliFrame, file: string, maxBytes: number): Promise<Buffer> {
  if (file === '-') return await frame.input.readAll(maxBytes);
  const octets = await readFile(file).catch((error: unknown) => {
    throw new WaxsealError('file-unreadable', `${file} cannot be read: ${errorMessage(error)}`, {
      cause: error,
    });
  });
  if (octets.length <= maxBytes) return octets;
  throw new WaxsealError('file-too-big', `${file} is over limits.messageBytes (${maxBytes})`);
}

function render({ verdict, why, reply, author, signatures, fields, notes }: Explanation): string {
  const lines = [VERDICTS[verdict].text, `  because: ${why}`];
  if (reply !== undefined) lines.push(`  reply:   ${reply}`);
  if (author !== undefined) {
    lines.push('', 'Author', `  addresses: ${author.addresses.join(', ')}`);
    lines.push(
      `  domain:    ${author.domain} (from the ${author.decidedBy === 'from' ? 'From' : 'Sender'} field)`,
    );
  }
  if (signatures.length > 0) lines.push('', 'Signatures');
  for (const { d, s, a, c } of signatures) lines.push(`  d=${d} s=${s} a=${a} c=${c}`);
  const signed = fields.filter((field) => field.signed > 0);
  if (signed.length > 0) lines.push('', 'Header fields that are signed');
  for (const field of signed) {
    const guard = field.signed > field.present ? ', and against another one' : '';
    lines.push(`  ${field.name}: ${field.present === 0 ? 'absent' : field.present}${guard}`);
  }
  const rest = fields.filter((field) => field.signed === 0);
  if (rest.length > 0) lines.push('', 'Header fields that are not signed');
  for (const field of rest) lines.push(`  ${field.name}: ${field.present}`);
  if (notes.length > 0) lines.push('', ...notes.map((note) => `Note: ${note}`));
  return `${lines.map((line) => printable(line)).join('\n')}\n`;
}
