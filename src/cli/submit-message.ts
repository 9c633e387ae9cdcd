import { isIP } from 'node:net';
import SMTPConnection from 'nodemailer/lib/smtp-connection';
import type { Endpoint } from '../config/network-formats.ts';

/** A message to hand to a server, and how. */
export interface Submission {
  readonly server: Endpoint;
  /** Name for EHLO. */
  readonly name: string;
  /** STARTTLS is demanded when given. */
  readonly tls: { readonly verify: boolean; readonly ca: string | undefined } | undefined;
  readonly credentials: { readonly user: string; readonly password: string } | undefined;
  /** Empty for the null reverse-path. */
  readonly from: string;
  readonly to: readonly string[];
  readonly message: Buffer;
  /** Each line on the wire (passwords masked); `C` is ours, `S` the server's, `*` a remark. */
  readonly onLine: (side: 'C' | 'S' | '*', line: string) => void;
}

/** What the server said. */
export interface SendResult {
  readonly accepted: readonly string[];
  readonly refused: readonly {
    readonly recipient: string;
    readonly code: number;
    readonly reply: string;
  }[];
  /** Code of the last reply that decided; undefined when there was none. */
  readonly code: number | undefined;
  /** Text of that reply. */
  readonly reply: string | undefined;
  /** Why it went wrong as a whole; undefined when at least one recipient was accepted. */
  readonly failure: string | undefined;
}

/** What nodemailer hangs on its errors. */
interface SmtpFailure extends Error {
  readonly response?: string;
  readonly responseCode?: number;
  readonly recipient?: string;
  readonly rejectedErrors?: readonly SmtpFailure[];
}

const TIMEOUT_MS = 60_000;
const GOODBYE_MS = 5000;
/** A relay may take this long after the final dot (RFC 5321 section 4.5.3.2.6). */
const SILENCE_MS = 600_000;

/** Submits one message over one connection. Never throws for what the server or network does. */
export async function submitMessage(submission: Submission): Promise<SendResult> {
  const connection = new SMTPConnection({
    host: submission.server.host,
    port: submission.server.port,
    name: submission.name,
    requireTLS: submission.tls !== undefined,
    ignoreTLS: submission.tls === undefined,
    tls: tlsOptions(submission),
    connectionTimeout: TIMEOUT_MS,
    greetingTimeout: TIMEOUT_MS,
    socketTimeout: SILENCE_MS,
    transactionLog: true,
    logger: dialogueLogger(submission),
  });
  const failed = new Promise<never>((_, reject) => {
    connection.once('error', reject);
    // nodemailer closes before it hands a refusal to its caller, and the refusal says more.
    connection.once('end', () =>
      setImmediate(() => reject(new Error('The server closed the connection'))),
    );
  });
  failed.catch(() => undefined); // the end of a good session, too, comes here
  try {
    await Promise.race([failed, converse(connection, submission)]);
    const info = await Promise.race([failed, transact(connection, submission)]);
    return {
      accepted: info.accepted.map(String),
      refused: (info.rejectedErrors ?? []).map(refusalOf),
      code: replyCode(info.response),
      reply: info.response,
      failure: undefined,
    };
  } catch (error) {
    return failureOf(error as SmtpFailure, submission);
  } finally {
    await Promise.race([failed, quit(connection)]).catch(() => undefined);
    connection.close();
  }
}

function tlsOptions({ server, tls }: Submission) {
  return {
    rejectUnauthorized: tls?.verify ?? true,
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
    ...(isIP(server.host) === 0 ? { servername: server.host } : {}),
  };
}

type Done = (error?: Error | null) => void;

function settle(start: (done: Done) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => (error ? reject(error) : resolve()));
  });
}

/** Up to the point where a transaction may begin. */
async function converse(connection: SMTPConnection, { credentials }: Submission): Promise<void> {
  await settle((done) => connection.connect(done));
  if (credentials === undefined) return;
  const { user, password } = credentials;
  await settle((done) => connection.login({ user, pass: password }, done));
}

interface SendInfo {
  readonly accepted: readonly unknown[];
  readonly rejectedErrors?: readonly SmtpFailure[];
  readonly response: string;
}

function transact(connection: SMTPConnection, submission: Submission): Promise<SendInfo> {
  const { from, to, message } = submission;
  const has8Bit = message.some((octet) => octet > 127);
  const envelope = { from, to: [...to], use8BitMime: has8Bit, size: message.length };
  return new Promise((resolve, reject) => {
    connection.send(envelope, message, (error: Error | null, info: unknown) =>
      error ? reject(error) : resolve(info as SendInfo),
    );
  });
}

/** Says goodbye, and does not wait long for the answer. */
function quit(connection: SMTPConnection): Promise<void> {
  return new Promise((resolve) => {
    // The connection keeps the process alive, if it is there; the timer alone must not.
    setTimeout(resolve, GOODBYE_MS).unref();
    connection.once('end', resolve);
    connection.quit();
  });
}

function refusalOf(error: SmtpFailure): SendResult['refused'][number] {
  const reply = error.response ?? error.message;
  return { recipient: error.recipient ?? '', code: error.responseCode ?? 0, reply };
}

function failureOf(error: SmtpFailure, { to }: Submission): SendResult {
  const byRecipient = (error.rejectedErrors ?? []).map(refusalOf);
  const code = error.responseCode;
  const reply = error.response;
  // A reply that refuses the whole transaction refuses each recipient.
  const refused =
    byRecipient.length > 0 || code === undefined
      ? byRecipient
      : to.map((recipient) => ({ recipient, code, reply: reply ?? '' }));
  const failure = refused.length > 0 ? undefined : error.message;
  return { accepted: [], refused, code, reply, failure: failure ?? undefined };
}

function replyCode(response: string): number | undefined {
  const code = Number(response.slice(0, 3));
  return Number.isInteger(code) ? code : undefined;
}

/** nodemailer tells what is said on the wire through its logger; the rest of its talk is dropped. */
function dialogueLogger({ onLine, message }: Submission) {
  const silent = (): void => undefined;
  const debug = (entry: { readonly tnx?: string }, text: string): void => {
    const side = entry.tnx === 'client' ? 'C' : entry.tnx === 'server' ? 'S' : undefined;
    if (side === undefined) return;
    for (const line of text.split('\n')) onLine(side, line.replace(/\r$/, ''));
    if (side === 'S' && text.startsWith('354')) {
      onLine('*', `the message, ${message.length} octets, and the final dot`);
    }
  };
  const others = { trace: silent, info: silent, warn: silent, error: silent, fatal: silent };
  return { ...others, debug, level: silent };
}
