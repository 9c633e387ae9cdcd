import { WaxsealError } from '../base/errors.ts';
import type { Mailbox, MailParameters } from '../mail/envelope.ts';
import type { ServerFacts } from './smtp-client-facts.ts';

/** A command that would not be one line: a fault of ours, since envelopes are parsed values. */
export class CommandError extends WaxsealError {}

const NOT_IN_A_COMMAND = /[\r\n\0]/;

/**
 * MAIL with the parameters that the server offered and the client gave; nothing that it did not
 * offer is sent (RFC 5321 section 4.1.1.11).
 *
 * @param extraBytes octets that we may add to the client's SIZE
 */
export function mailCommand(
  parameters: MailParameters,
  extraBytes: number,
  facts: ServerFacts,
): string {
  let command = `MAIL FROM:<${parameters.reversePath?.address ?? ''}>`;
  if (facts.size && parameters.sizeBytes !== undefined) {
    command += ` SIZE=${parameters.sizeBytes + extraBytes}`;
  }
  if (facts.eightBitMime && parameters.body !== undefined) command += ` BODY=${parameters.body}`;
  if (facts.smtpUtf8 && parameters.smtpUtf8) command += ' SMTPUTF8';
  return commandLine(command);
}

export function rcptCommand(mailbox: Mailbox): string {
  return commandLine(`RCPT TO:<${mailbox.address}>`);
}

/** @throws CommandError when it holds CR, LF or NUL */
export function commandLine(command: string): string {
  if (NOT_IN_A_COMMAND.test(command)) {
    throw new CommandError('command-invalid', 'an SMTP command would hold CR, LF or NUL');
  }
  return `${command}\r\n`;
}
