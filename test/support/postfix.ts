import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from './free-port.ts';
import { waitFor } from './wait-for.ts';

const run = promisify(execFile);

/** A message as `postqueue -j` lists it. */
export interface QueuedMessage {
  readonly queue_name: string;
  readonly queue_id: string;
  readonly sender: string;
  readonly recipients: readonly { readonly address: string; readonly delay_reason?: string }[];
}

/** A real Postfix with a configuration, queue and log of its own, ended by `stop`. */
export class Postfix {
  readonly port: number;
  readonly dir: string;
  readonly #postfix: string;

  private constructor(postfix: string, dir: string, port: number) {
    this.#postfix = postfix;
    this.dir = dir;
    this.port = port;
  }

  /**
   * Starts an instance whose smtpd listens on a free port of 127.0.0.1.
   *
   * @param postfix path of the `postfix` program
   * @param mainCf lines for main.cf, after the ones that every instance needs
   * @param masterCf lines for master.cf, likewise
   */
  static async start(postfix: string, mainCf: string, masterCf = ''): Promise<Postfix> {
    const dir = await mkdtemp(join(tmpdir(), 'waxseal-postfix-'));
    await chmod(dir, 0o755);
    const port = await freePort();
    const conf = join(dir, 'conf');
    for (const name of ['conf', 'queue', 'data', 'mail']) await mkdir(join(dir, name));
    await run('chown', ['postfix', join(dir, 'data'), join(dir, 'mail')]);
    await writeFile(join(conf, 'main.cf'), baseMainCf(dir) + mainCf);
    await writeFile(join(conf, 'master.cf'), baseMasterCf(port) + masterCf);
    const instance = new Postfix(postfix, dir, port);
    await run(postfix, ['-c', conf, 'start']);
    return instance;
  }

  get #conf(): string {
    return join(this.dir, 'conf');
  }

  /** Everything in the queue now. */
  async queue(): Promise<QueuedMessage[]> {
    const { stdout } = await run('postqueue', ['-c', this.#conf, '-j']);
    return stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as QueuedMessage);
  }

  /** Has deferred mail tried again now. */
  async flush(): Promise<void> {
    await run('postqueue', ['-c', this.#conf, '-f']);
  }

  async log(): Promise<string> {
    return readFile(join(this.dir, 'mail', 'log'), 'utf8').catch(() => '');
  }

  /** Ends the instance and removes its files. */
  async stop(): Promise<void> {
    const pid = Number((await readFile(join(this.dir, 'queue/pid/master.pid'), 'utf8')).trim());
    await run(this.#postfix, ['-c', this.#conf, 'abort']).catch(() => undefined);
    await waitFor(`the Postfix master ${pid} to end`, async () => !isAlive(pid));
    await rm(this.dir, { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function baseMainCf(dir: string): string {
  return `compatibility_level = 3.6
queue_directory = ${dir}/queue
data_directory = ${dir}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = ${dir}/mail/log
maillog_file_prefixes = ${dir}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_host_lookup = native
mynetworks = 127.0.0.0/8
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = permit_mynetworks, reject
biff = no
append_dot_mydomain = no
smtputf8_enable = yes
`;
}

function baseMasterCf(port: number): string {
  return `127.0.0.1:${port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
`;
}
