import { localReply, type Reply } from '../mail/reply.ts';
import type { MailExchange } from './mail-exchange.ts';
import type { SessionHost } from './session-host.ts';

/** What the rows see of a session. */
export interface CommandSession {
  readonly name: string;
  readonly secure: boolean;
  readonly host: SessionHost;
  readonly exchange: MailExchange;
  readonly inTransaction: boolean;
  /** `EHLO` or `HELO`, once it was given. */
  openingCommand: string | false;
  hostNameAppearsAs: string | false;
  /** The library's own exchanges: they write their replies and call `done`. */
  handler_STARTTLS(line: Buffer, done: () => void): void;
  handler_AUTH(line: Buffer, done: () => void): void;
  send(code: number, text: string): void;
  /** Closes a connection from which nothing is awaited any more. */
  hangUp(): void;
}

/** One command as it was given. */
export interface CommandCall {
  readonly session: CommandSession;
  readonly line: Buffer;
  /** What follows the verb, as octets, with its leading space. */
  readonly argument: Buffer;
  /** For a row that returns `taken`: asks for the next command. */
  readonly done: () => void;
}

/** Everything about a command. */
export interface CommandRow {
  /** May run while replies to earlier commands are awaited. */
  readonly concurrent: boolean;
  /** Makes sense after EHLO or HELO only. */
  readonly afterHello: boolean;
  /** @returns the reply, or `taken` if the row sees to replies itself */
  readonly run: (call: CommandCall) => Reply | Promise<Reply> | 'taken';
}

const plain = { concurrent: false, afterHello: false } as const;

/** The commands; a keyword that is not kept is not here. */
export const commandRows: ReadonlyMap<string, CommandRow> = new Map<string, CommandRow>([
  ['EHLO', { ...plain, run: ({ session, argument }) => hello(session, 'EHLO', argument) }],
  ['HELO', { ...plain, run: ({ session, argument }) => hello(session, 'HELO', argument) }],
  [
    'MAIL',
    {
      ...plain,
      afterHello: true,
      run: ({ session, argument }) => session.exchange.mail(argument),
    },
  ],
  [
    'RCPT',
    {
      concurrent: true,
      afterHello: true,
      run: ({ session, argument }) => session.exchange.rcpt(argument),
    },
  ],
  [
    'DATA',
    {
      ...plain,
      afterHello: true,
      run: ({ session, argument }) => bare(argument) ?? session.exchange.data(),
    },
  ],
  ['RSET', { ...plain, run: ({ session, argument }) => bare(argument) ?? reset(session) }],
  ['NOOP', { ...plain, run: () => localReply(250, '2.0.0', 'session.noop', 'Ok') }],
  ['QUIT', { ...plain, run: quit }],
  [
    'VRFY',
    {
      ...plain,
      run: () => localReply(252, '2.5.2', 'session.vrfy', 'Not verified: send mail and see'),
    },
  ],
  [
    'EXPN',
    {
      ...plain,
      run: () => localReply(502, '5.5.1', 'command.not-implemented', 'There are no lists here'),
    },
  ],
  [
    'HELP',
    {
      ...plain,
      run: () => localReply(214, '2.0.0', 'session.help', 'Commands: RFC 5321 section 4.1.1'),
    },
  ],
  ['STARTTLS', { ...plain, run: startTls }],
  ['AUTH', { ...plain, afterHello: true, run: auth }],
]);

/** A web page that was made to talk to us; it would try command after command. */
export function isHttpRequest(line: string): boolean {
  return /^(?:OPTIONS|GET|HEAD|POST|PUT|DELETE|TRACE|CONNECT|PATCH) \S+ HTTP\/\d/i.test(line);
}

/** Name or address literal; goes into Received, so nothing else may be in it. */
const HELLO_NAME = /^[a-z0-9._:[\]-]{1,255}$/i;

function hello(session: CommandSession, verb: 'EHLO' | 'HELO', argument: Buffer): Reply {
  const name = argument.toString('latin1').trim();
  if (!HELLO_NAME.test(name)) {
    return localReply(501, '5.5.4', 'command.hello-name', `${verb} needs one host name`);
  }
  session.exchange.abort('reset');
  session.openingCommand = verb;
  session.hostNameAppearsAs = name;
  const lines = verb === 'EHLO' ? [session.name, ...keywords(session)] : [session.name];
  return localReply(250, undefined, 'session.hello', lines);
}

function keywords({ host, secure }: CommandSession): string[] {
  return [
    'PIPELINING',
    `SIZE ${host.limits.messageBytes}`,
    '8BITMIME',
    'SMTPUTF8',
    'ENHANCEDSTATUSCODES',
    ...(host.offersTls && !secure ? ['STARTTLS'] : []),
    ...(host.offersAuth && secure ? ['AUTH PLAIN LOGIN'] : []),
  ];
}

function reset(session: CommandSession): Reply {
  session.exchange.abort('reset');
  return localReply(250, '2.0.0', 'session.reset', 'Ok');
}

function quit({ session }: CommandCall): 'taken' {
  session.exchange.abort('quit');
  session.send(221, 'Bye');
  session.hangUp();
  return 'taken';
}

function startTls({ session, line, argument, done }: CommandCall): Reply | 'taken' {
  if (!session.host.offersTls) {
    return localReply(502, '5.5.1', 'command.not-implemented', 'STARTTLS is not offered');
  }
  if (session.secure) return localReply(503, '5.5.1', 'command.sequence', 'TLS is active already');
  const wrong = bare(argument);
  if (wrong !== undefined) return wrong;
  session.handler_STARTTLS(line, done);
  return 'taken';
}

function auth({ session, line, done }: CommandCall): Reply | 'taken' {
  if (!session.host.offersAuth) {
    return localReply(502, '5.5.1', 'command.not-implemented', 'AUTH is not offered');
  }
  if (!session.secure) {
    return localReply(538, '5.7.11', 'command.auth-needs-tls', 'AUTH needs STARTTLS first');
  }
  if (session.inTransaction) {
    return localReply(503, '5.5.1', 'command.sequence', 'AUTH is not possible after MAIL');
  }
  session.handler_AUTH(line, done);
  return 'taken';
}

/** @returns a refusal if a command has an argument that takes none */
function bare(argument: Buffer): Reply | undefined {
  return argument.length === 0 || argument.toString('latin1').trim() === ''
    ? undefined
    : localReply(501, '5.5.4', 'command.argument', 'The command takes no argument');
}
