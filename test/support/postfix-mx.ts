import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { asSmtp } from './corpus.ts';
import type { TestCertificate } from './mx-certificate.ts';
import { Postfix } from './postfix.ts';
import { waitFor } from './wait-for.ts';

const run = promisify(execFile);

export interface PostfixMxOptions {
  /** Offers STARTTLS with it. */
  readonly tls?: TestCertificate;
  /** Further lines of main.cf. */
  readonly mainCf?: string;
}

/** A real Postfix as the MX of `sink.test` (and of other domains), with a maildir for each user. */
export class PostfixMx {
  readonly #postfix: Postfix;
  readonly #tlsDir: string;

  private constructor(postfix: Postfix, tlsDir: string) {
    this.#postfix = postfix;
    this.#tlsDir = tlsDir;
  }

  /**
   * @param program path of the `postfix` program
   * @param mailboxes address to name of its maildir; every other recipient is refused
   */
  static async start(
    program: string,
    mailboxes: Readonly<Record<string, string>>,
    options: PostfixMxOptions = {},
  ): Promise<PostfixMx> {
    const tlsDir = await mkdtemp(join(tmpdir(), 'waxseal-mx-tls-'));
    const { tls, mainCf = '' } = options;
    const tlsCf = tls === undefined ? '' : await tlsMainCf(tlsDir, tls);
    const mailCf = await mailboxMainCf(mailboxes);
    return new PostfixMx(await Postfix.start(program, `${mailCf}${tlsCf}${mainCf}`), tlsDir);
  }

  get port(): number {
    return this.#postfix.port;
  }

  /** What is stored in a maildir now, each message with CRLF line ends. */
  async stored(maildir: string): Promise<Buffer[]> {
    const dir = join(this.#postfix.dir, 'mail', maildir, 'new');
    const files = await readdir(dir).catch(() => []);
    return Promise.all(files.map(async (file) => asSmtp(await readFile(join(dir, file)))));
  }

  /** The one stored message with this subject, as soon as it is there. */
  async storedWith(maildir: string, subject: string): Promise<Buffer> {
    const find = async () =>
      (await this.stored(maildir)).filter((one) => one.includes(`\r\nSubject: ${subject}\r\n`));
    await waitFor(`"${subject}" in ${maildir}`, async () => (await find()).length > 0);
    const [message = Buffer.alloc(0), ...more] = await find();
    if (more.length > 0) throw new Error(`"${subject}" was stored ${more.length + 1} times`);
    return message;
  }

  /** Waits until nothing is on its way any more. */
  async untilIdle(): Promise<void> {
    await waitFor(
      'the queue of the MX to be empty',
      async () => (await this.#postfix.queue()).length === 0,
      30_000,
    );
  }

  log(): Promise<string> {
    return this.#postfix.log();
  }

  async stop(): Promise<void> {
    await this.#postfix.stop();
    await rm(this.#tlsDir, { recursive: true, force: true });
  }
}

async function mailboxMainCf(mailboxes: Readonly<Record<string, string>>): Promise<string> {
  const ids = await Promise.all(['-u', '-g'].map((flag) => run('id', [flag, 'postfix'])));
  const [uid, gid] = ids.map(({ stdout }) => stdout.trim());
  const domains = new Set(Object.keys(mailboxes).map((address) => address.split('@')[1]));
  const maps = Object.entries(mailboxes).map(([address, dir]) => `{ ${address} = ${dir}/ }`);
  // The relay is a stranger to an MX, though it comes from loopback here: its header stays as it is.
  return `myhostname = mx.sink.test
local_header_rewrite_clients =
virtual_mailbox_domains = ${[...domains].join(', ')}
virtual_mailbox_base = $queue_directory/../mail
virtual_mailbox_maps = inline:{ ${maps.join(', ')} }
virtual_minimum_uid = 1
virtual_uid_maps = static:${uid}
virtual_gid_maps = static:${gid}
smtpd_error_sleep_time = 0
`;
}

async function tlsMainCf(dir: string, { cert, key }: TestCertificate): Promise<string> {
  await writeFile(join(dir, 'chain.pem'), `${key}${cert}`, { mode: 0o600 });
  return `smtpd_tls_security_level = may
smtpd_tls_chain_files = ${dir}/chain.pem
`;
}
