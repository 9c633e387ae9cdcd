import { errorMessage, WaxsealError } from '../base/errors.ts';
import { printable } from '../base/printable.ts';
import type { CliContext } from './context.ts';
import { EXIT } from './exit-codes.ts';

type Output = Pick<CliContext, 'stdout' | 'stderr' | 'setExitCode'>;

/**
 * Tells a person what went wrong, and a program too where it asked for JSON; sets the exit code.
 * A fault that is none of ours to explain is shown with its stack, for a report.
 */
export function reportError(output: Output, error: unknown, json = false): void {
  const known = error instanceof WaxsealError ? error : undefined;
  const message = errorMessage(error);
  if (json) {
    const details = { code: known?.code ?? 'unexpected', message, hint: known?.hint };
    output.stdout(`${JSON.stringify({ error: details }, undefined, 2)}\n`);
  }
  output.stderr(`error: ${printableLines(message)}\n`);
  if (known?.hint !== undefined) output.stderr(`hint: ${printableLines(known.hint)}\n`);
  if (known === undefined && error instanceof Error) output.stderr(`${error.stack ?? ''}\n`);
  output.setExitCode(known?.code.startsWith('config-') ? EXIT.usage : EXIT.failed);
}

/** Printable, but with the line ends that our own messages have. */
export function printableLines(text: string): string {
  return text
    .split('\n')
    .map((line) => printable(line, 2000))
    .join('\n');
}
