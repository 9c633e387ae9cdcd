import { accessSync, constants } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { WaxsealError } from '../base/errors.ts';
import type { SystemDefaults } from '../config/derived-defaults.ts';
import { type LoadedConfig, loadConfig } from '../config/load-config.ts';
import type { WindowSize } from './context.ts';
import { EXIT } from './exit-codes.ts';
import type { CliFrame } from './frame.ts';
import { optionDescription } from './help-style.ts';
import type { CliInput } from './input.ts';
import { reportError } from './report-error.ts';
import { readVersion } from './version.ts';

/** What the process gives to the command line. */
export interface CliProcess {
  /** Without the interpreter and the script. */
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly system: SystemDefaults;
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  readonly isTty: boolean;
  readonly windowSize?: () => WindowSize;
  readonly input: CliInput;
  /** Ends the process at once. */
  readonly exit: (code: number) => void;
}

type Register = (program: Command, frame: CliFrame) => void;

interface CommandRow {
  readonly name: string;
  /** Loads the command's code: only what is needed is loaded, so the start is fast. */
  readonly load: () => Promise<Register>;
}

/** In the order in which help shows them. */
const COMMANDS: readonly CommandRow[] = [
  { name: 'serve', load: async () => (await import('./serve.ts')).registerServe },
  { name: 'demo', load: async () => (await import('./demo.ts')).registerDemo },
  { name: 'config', load: async () => (await import('./config.ts')).registerConfig },
  { name: 'keys', load: async () => (await import('./keys.ts')).registerKeys },
  { name: 'users', load: async () => (await import('./users.ts')).registerUsers },
  { name: 'explain', load: async () => (await import('./explain.ts')).registerExplain },
  { name: 'send', load: async () => (await import('./send.ts')).registerSend },
];

const HELP = `
First steps:
  waxseal demo                        shows the main job, offline, in a minute
  waxseal config check                is the configuration good?
  waxseal keys rotate example.com     makes DKIM keys, sees to their DNS records, lets them sign
  waxseal serve                       accepts, signs and relays mail

Exit codes: ${EXIT.ok} done; ${EXIT.failed} failed (trying again may help); ${EXIT.usage} wrong command line or configuration;
${EXIT.refused} refused by a check, the operator must act; ${EXIT.waiting} waiting: not due, or not seen in DNS yet;
${EXIT.interrupted}, ${EXIT.terminated}, ${EXIT.hungUp} ended early by SIGINT, SIGTERM, SIGHUP.
`;

/** Where a configuration is looked for when none is named. */
const USUAL_FILES = ['config/waxseal.yaml', '/etc/waxseal/waxseal.yaml'];

/**
 * Runs one command line.
 *
 * @returns the exit code
 */
export async function runCli(process: CliProcess): Promise<number> {
  let exitCode: number = EXIT.ok;
  const program = new Command('waxseal');
  const frame = makeFrame(process, program, (code) => {
    exitCode = code;
  });
  program
    .description('Waxseal signs outbound mail with DKIM and relays it while the client waits.')
    .version(frame.version, '--version', 'print the version')
    .option(
      '--config <file>',
      'configuration file (default: WAXSEAL_CONFIG, else the usual places)',
    )
    .helpOption('-h, --help', 'show help')
    .addHelpText('after', HELP)
    .exitOverride()
    .configureHelp({ optionDescription })
    .configureOutput({ writeOut: process.stdout, writeErr: process.stderr });
  try {
    for (const row of chooseRows(process.args)) (await row.load())(program, frame);
    await program.parseAsync([...process.args], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    reportError(frame, error);
  }
  return exitCode;
}

/** The row of the command that is named; all of them for help and for names that are wrong. */
function chooseRows(args: readonly string[]): readonly CommandRow[] {
  const name = args.find((arg, index) => !arg.startsWith('-') && args[index - 1] !== '--config');
  const row = COMMANDS.find((candidate) => candidate.name === name);
  return row === undefined ? COMMANDS : [row];
}

function makeFrame(
  process: CliProcess,
  program: Command,
  setExitCode: (code: number) => void,
): CliFrame {
  const { environment, system } = process;
  let details: Promise<LoadedConfig> | undefined;
  const configFile = (): string | undefined => {
    const named: unknown = program.opts().config;
    return typeof named === 'string' ? named : findConfigFile(environment.WAXSEAL_CONFIG);
  };
  const rereadDetails = (): Promise<LoadedConfig> =>
    loadConfig(configFile(), { environment, system });
  const loadDetails = (): Promise<LoadedConfig> => {
    details ??= rereadDetails();
    return details;
  };
  return {
    stdout: process.stdout,
    stderr: process.stderr,
    isTty: process.isTty,
    windowSize: process.windowSize,
    input: process.input,
    exit: process.exit,
    version: readVersion(),
    configFile,
    loadDetails,
    rereadDetails,
    loadConfig: async () => (await loadDetails()).config,
    setExitCode,
  };
}

function findConfigFile(named: string | undefined): string | undefined {
  if (named !== undefined && named !== '') return named;
  return USUAL_FILES.find((path) => {
    try {
      accessSync(path, constants.F_OK);
      return true;
    } catch (error) {
      // A file that may be there but cannot be looked at must not be passed over in silence.
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'ENOENT' || code === 'ENOTDIR') return false;
      throw new WaxsealError('config-unreadable', `${path} cannot be looked at (${code})`, {
        cause: error,
      });
    }
  });
}
