import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import type { ConfigProblem } from './config-error.ts';
import type { LoadedConfig } from './load-config.ts';

/** Settings that name a file which has to be there when it is set. */
const FILE_SETTINGS = [
  'clients.usersFile',
  'tls.certFile',
  'tls.keyFile',
  'tls.clientCaFile',
  'relay.caFile',
] as const;

/** Files in which a secret stands in the clear. */
const SECRET_FILES: ReadonlySet<string> = new Set(['tls.keyFile']);

/** What is wrong with the files that the configuration names. */
export interface FileFindings {
  readonly errors: readonly ConfigProblem[];
  readonly warnings: readonly ConfigProblem[];
}

/** Looks whether the files that the configuration names can be read. Reads none of them. */
export async function checkFiles({ config, settings }: LoadedConfig): Promise<FileFindings> {
  const named = settings
    .filter(({ key, value }) => isFileSetting(key) && value !== '')
    .map(({ key, value, where }) => ({ key, where, path: String(value) }));
  const whereOf = (key: string): string => settings.find((row) => row.key === key)?.where ?? '';
  const hops = [
    ...config.route.map((hop, index) => ({ hop, key: `route[${index}]`, where: whereOf('route') })),
    ...(config.smarthost === null
      ? []
      : [{ hop: config.smarthost, key: 'smarthost', where: whereOf('smarthost') }]),
  ];
  const passwords = hops.flatMap(({ hop, key, where }) =>
    hop.credentials === undefined
      ? []
      : [{ key: `${key}.credentials.passwordFile`, where, path: hop.credentials.passwordFile }],
  );

  const errors: ConfigProblem[] = [];
  const warnings: ConfigProblem[] = [];
  for (const { key, where, path } of [...named, ...passwords]) {
    const fault = await faultOf(path);
    if (fault !== undefined) errors.push({ key, where, message: `${path} ${fault}` });
    else if ((SECRET_FILES.has(key) || key.endsWith('passwordFile')) && (await isPublic(path))) {
      const message = `${path} holds a secret and everybody on this machine may read it: chmod 600`;
      warnings.push({ key, where, message });
    }
  }
  return { errors, warnings };
}

function isFileSetting(key: string): boolean {
  return (FILE_SETTINGS as readonly string[]).includes(key);
}

async function faultOf(path: string): Promise<string | undefined> {
  try {
    await access(path, constants.R_OK);
    return (await stat(path)).isDirectory() ? 'is a directory' : undefined;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return code === 'ENOENT' ? 'does not exist' : `cannot be read (${code})`;
  }
}

async function isPublic(path: string): Promise<boolean> {
  return ((await stat(path)).mode & 0o004) !== 0;
}
