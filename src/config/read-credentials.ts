import { open } from 'node:fs/promises';
import { errorMessage, WaxsealError } from '../base/errors.ts';
import type { Config, CredentialsSetting, RouteSetting, SmarthostSetting } from './config.ts';

/** Longest password file, in octets. */
const MAX_PASSWORD_FILE_BYTES = 4096;

/** User and password for AUTH towards a host. Never logged, never printed. */
export interface Credentials {
  readonly user: string;
  readonly password: string;
}

export type WithCredentials<Hop extends SmarthostSetting> = Omit<Hop, 'credentials'> & {
  readonly credentials: Credentials | undefined;
};

/** Routes and smarthost with the passwords out of their files. */
export interface Hops {
  readonly routes: readonly WithCredentials<RouteSetting>[];
  readonly smarthost: WithCredentials<SmarthostSetting> | undefined;
}

/**
 * Reads the password files of routes and smarthost; at start and at each reload.
 *
 * @throws WaxsealError `config-password-file`, naming the file, for one that cannot be used
 */
export async function readCredentials(config: Pick<Config, 'route' | 'smarthost'>): Promise<Hops> {
  const complete = async <Hop extends SmarthostSetting>(
    hop: Hop,
  ): Promise<WithCredentials<Hop>> => ({
    ...hop,
    credentials: hop.credentials && (await readPassword(hop.credentials)),
  });
  const { route, smarthost } = config;
  return {
    routes: await Promise.all(route.map(complete)),
    smarthost: smarthost === null ? undefined : await complete(smarthost),
  };
}

async function readPassword({ user, passwordFile }: CredentialsSetting): Promise<Credentials> {
  const text = await readBounded(passwordFile).catch((error: unknown) => {
    throw invalid(passwordFile, `cannot be read: ${errorMessage(error)}`, error);
  });
  if (text.length > MAX_PASSWORD_FILE_BYTES) {
    throw invalid(passwordFile, `is over ${MAX_PASSWORD_FILE_BYTES} octets`);
  }
  const password = text.toString('utf8').replace(/\r?\n$/, '');
  if (password === '') throw invalid(passwordFile, 'is empty');
  if (/[\0\r\n]/.test(password)) throw invalid(passwordFile, 'holds more than one line');
  return { user, password };
}

/** At most one octet more than allowed. */
async function readBounded(path: string): Promise<Buffer> {
  const handle = await open(path, 'r');
  try {
    const buffer = Buffer.alloc(MAX_PASSWORD_FILE_BYTES + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await handle.read(buffer, length, buffer.length - length, null);
      length += bytesRead;
      if (bytesRead === 0) return buffer.subarray(0, length);
    }
  } finally {
    await handle.close();
  }
}

function invalid(path: string, message: string, cause?: unknown): WaxsealError {
  return new WaxsealError('config-password-file', `The password file ${path} ${message}`, {
    cause,
    hint: 'It holds the password in one line, readable by the user that Waxseal runs as',
  });
}
