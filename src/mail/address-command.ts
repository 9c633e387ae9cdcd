import { decodeArgument, type PathKind, parseMailbox, splitPath } from './address.ts';
import type { Mailbox, MailParameters } from './envelope.ts';
import { type LocalReply, localReply } from './reply.ts';

/** One ESMTP parameter (RFC 5321 section 4.1.2): keyword in upper case, value if given. */
type Parameters = ReadonlyMap<string, string | undefined>;

const PARAMETER = /^([a-z0-9][a-z0-9-]*)(?:=([!-<>-~]+))?$/i;

/**
 * Parses the argument of MAIL: `FROM:<reverse-path> parameters`. Taken are SIZE (RFC 1870), BODY
 * (RFC 6152), SMTPUTF8 (RFC 6531); AUTH (RFC 4954) is accepted and ignored, since Waxseal vouches
 * for nobody.
 *
 * @param argument octets after the command's name
 * @returns the parameters, or the refusal
 */
export function parseMailCommand(argument: Buffer): MailParameters | LocalReply {
  const split = splitCommand(argument, 'reverse');
  if ('origin' in split) return split;
  const { path, parameters } = split;
  const unknown = unknownParameter(parameters, ['SIZE', 'BODY', 'SMTPUTF8', 'AUTH']);
  if (unknown !== undefined) return unknown;
  const size = parameters.get('SIZE');
  if (parameters.has('SIZE') && !/^\d{1,20}$/.test(size ?? '')) return badValue('SIZE');
  const body = parameters.get('BODY')?.toUpperCase();
  const knownBody = body === '7BIT' || body === '8BITMIME' ? body : undefined;
  if (parameters.has('BODY') && knownBody === undefined) return badValue('BODY');
  if (parameters.get('SMTPUTF8') !== undefined) return badValue('SMTPUTF8');
  if (parameters.has('AUTH') && parameters.get('AUTH') === undefined) return badValue('AUTH');
  const smtpUtf8 = parameters.has('SMTPUTF8');
  const reversePath =
    path === '' ? undefined : withinAscii(parseMailbox(path, 'reverse'), smtpUtf8);
  if (reversePath !== undefined && 'origin' in reversePath) return reversePath;
  const sizeBytes = size === undefined ? undefined : Number(size);
  return { reversePath, sizeBytes, body: knownBody, smtpUtf8 };
}

/**
 * Parses the argument of RCPT: `TO:<forward-path>`. No parameter is offered, so none is taken.
 *
 * @param argument octets after the command's name
 * @param smtpUtf8 MAIL had SMTPUTF8
 * @returns the recipient, or the refusal
 */
export function parseRcptCommand(argument: Buffer, smtpUtf8: boolean): Mailbox | LocalReply {
  const split = splitCommand(argument, 'forward');
  if ('origin' in split) return split;
  const unknown = unknownParameter(split.parameters, []);
  if (unknown !== undefined) return unknown;
  return withinAscii(parseMailbox(split.path, 'forward'), smtpUtf8);
}

function splitCommand(
  argument: Buffer,
  kind: PathKind,
): { path: string; parameters: Parameters } | LocalReply {
  const text = decodeArgument(argument);
  if (typeof text !== 'string') return text;
  const [form, example] =
    kind === 'reverse' ? [/^ ?from:/i, 'MAIL FROM:<address>'] : [/^ ?to:/i, 'RCPT TO:<address>'];
  const keyword = form.exec(text)?.[0];
  const split = keyword === undefined ? undefined : splitPath(text.slice(keyword.length));
  const parameters = split === undefined ? undefined : parseParameters(split.rest);
  if (split === undefined || parameters === undefined) {
    return localReply(501, '5.5.4', 'command.syntax', `The syntax is ${example}, then parameters`);
  }
  return { path: split.path, parameters };
}

/** @returns undefined for a syntax error or a keyword that is given twice */
function parseParameters(rest: string): Parameters | undefined {
  const parameters = new Map<string, string | undefined>();
  if (rest !== '' && !rest.startsWith(' ')) return undefined;
  for (const word of rest.split(' ')) {
    if (word === '') continue;
    const match = PARAMETER.exec(word);
    const keyword = match?.[1]?.toUpperCase();
    if (keyword === undefined || parameters.has(keyword)) return undefined;
    parameters.set(keyword, match?.[2]);
  }
  return parameters;
}

function unknownParameter(
  parameters: Parameters,
  known: readonly string[],
): LocalReply | undefined {
  for (const keyword of parameters.keys()) {
    if (known.includes(keyword)) continue;
    return localReply(555, '5.5.4', 'command.parameter', `The parameter ${keyword} is not known`);
  }
  return undefined;
}

function badValue(keyword: string): LocalReply {
  return localReply(501, '5.5.4', 'command.parameter', `The value of ${keyword} is not valid`);
}

function withinAscii(mailbox: Mailbox | LocalReply, smtpUtf8: boolean): Mailbox | LocalReply {
  if ('origin' in mailbox || smtpUtf8 || !mailbox.needsSmtpUtf8) return mailbox;
  const text = 'An address outside ASCII needs the SMTPUTF8 parameter of MAIL';
  return localReply(553, '5.6.7', 'address.ascii', text);
}
