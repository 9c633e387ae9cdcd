import { randomBytes } from 'node:crypto';
import { type Command, InvalidArgumentError } from 'commander';
import { hashPassword, isUserName } from '../accept/users.ts';
import { WaxsealError } from '../base/errors.ts';
import type { CliFrame } from './frame.ts';
import { reportError } from './report-error.ts';
import { UsersFile } from './users-file.ts';

const MAX_PASSWORD_BYTES = 1024;
/** Octets of a generated password: 144 bits, 24 characters without padding. */
const GENERATED_BYTES = 18;

interface UsersOptions {
  readonly file?: string;
  readonly json: boolean;
}

const HELP = `
The file is the one of clients.usersFile; a running relay takes it up on SIGHUP. A password comes from
standard input (one line), from a prompt, or is made with --generate; it is never an argument, since
other users of the machine can read arguments.
`;

/** Mounts `users add|list|remove`. */
export function registerUsers(program: Command, frame: CliFrame): void {
  const users = program
    .command('users')
    .summary('manage the users who may send with a password')
    .description('Users who may send with a password (AUTH).')
    .addHelpText('after', HELP);
  const add = (name: string, description: string) =>
    users
      .command(name)
      .description(description)
      .option('--file <file>', 'users file (default: clients.usersFile)')
      .option('--json', 'print JSON', false);
  add('add', 'Add a user, or give one a new password.')
    .argument('<name>', 'user name', userNameArgument)
    .option('--generate', 'make a password and print it', false)
    .action((name: string, options: UsersOptions & { readonly generate: boolean }) =>
      run(frame, options, async (file) => {
        const password = options.generate
          ? randomBytes(GENERATED_BYTES).toString('base64url')
          : await readNewPassword(frame);
        const outcome = await file.put(name, await hashPassword(password));
        const shown = options.generate ? { password } : {};
        const text = `${outcome === 'added' ? 'Added' : 'Changed the password of'} ${name} in ${file.path}\n`;
        return {
          json: { user: name, outcome, file: file.path, ...shown },
          text: options.generate ? `${text}Password: ${password}\n` : text,
        };
      }),
    );
  add('list', 'List the user names.').action((options: UsersOptions) =>
    run(frame, options, async (file) => {
      const names = await file.names();
      return {
        json: { users: names, file: file.path },
        text: names.map((name) => `${name}\n`).join(''),
      };
    }),
  );
  add('remove', 'Remove a user.')
    .argument('<name>', 'user name', userNameArgument)
    .action((name: string, options: UsersOptions) =>
      run(frame, options, async (file) => {
        await file.remove(name);
        return {
          json: { user: name, outcome: 'removed', file: file.path },
          text: `Removed ${name} from ${file.path}\n`,
        };
      }),
    );
}

async function run(
  frame: CliFrame,
  options: UsersOptions,
  action: (file: UsersFile) => Promise<{ readonly json: unknown; readonly text: string }>,
): Promise<void> {
  try {
    const path = options.file ?? (await frame.loadConfig()).clients.usersFile;
    if (path === '') {
      throw new WaxsealError('config-no-users-file', 'There is no users file', {
        hint: 'Set clients.usersFile in the configuration, or name a file with --file',
      });
    }
    const { json, text } = await action(new UsersFile(path));
    frame.stdout(options.json ? `${JSON.stringify(json, undefined, 2)}\n` : text);
  } catch (error) {
    reportError(frame, error, options.json);
  }
}

async function readNewPassword({ input }: CliFrame): Promise<string> {
  if (!input.isTty) {
    const text = (await input.readAll(MAX_PASSWORD_BYTES)).toString('utf8');
    return checkPassword(text.replace(/\r?\n$/, ''));
  }
  const password = checkPassword(await input.readSecret('Password: '));
  if ((await input.readSecret('The same again: ')) === password) return password;
  throw new WaxsealError('password-mismatch', 'The two passwords differ; nothing was changed');
}

function checkPassword(password: string): string {
  if (password === '') {
    throw new WaxsealError('password-empty', 'The password is empty', {
      hint: 'Give it as one line on standard input, or use --generate',
    });
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: SASL forbids them (RFC 4616 section 2)
  if (/[\u0000-\u001f\u007f]/.test(password)) {
    throw new WaxsealError('password-invalid', 'The password holds a control character');
  }
  return password;
}

function userNameArgument(name: string): string {
  if (isUserName(name) && name === name.trim() && !name.startsWith('#')) return name;
  throw new InvalidArgumentError('It is no user name: 1 to 255 characters, no colon.');
}
