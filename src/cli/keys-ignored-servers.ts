import type { Command } from 'commander';
import { note, type SeenChoice } from '../keys/lifecycle/lifecycle-access.ts';
import { type LifecycleRun, reasonArgument } from './keys-lifecycle.ts';

/** Name servers that need not show a record, because an operator says so. */
export interface IgnoredServersOptions {
  readonly ignoreServer: readonly string[];
  readonly reason?: string;
}

/** Adds `--ignore-server` and `--reason`, which it needs. */
export function addIgnoredServers(command: Command): Command {
  return command
    .option('--ignore-server <address>', 'this name server need not answer; repeatable', list, [])
    .option('--reason <text>', 'why a server is ignored, for the journal', reasonArgument);
}

/** Ends the command with a message when a server is to be ignored without a reason. */
export function requireReason(command: Command, options: IgnoredServersOptions): void {
  if (options.ignoreServer.length > 0 && options.reason === undefined) {
    command.error("error: option '--ignore-server' needs '--reason <text>'");
  }
}

/** What the looks at DNS are told. */
export function ignoredServers({ ignoreServer, reason = '' }: IgnoredServersOptions): SeenChoice {
  return { ignored: ignoreServer.map((address) => ({ address, reason })) };
}

/** Writes it into the journal before it has effect. */
export async function noteIgnoredServers(
  run: LifecycleRun,
  domain: string,
  { ignoreServer, reason }: IgnoredServersOptions,
): Promise<void> {
  if (ignoreServer.length === 0 || reason === undefined) return;
  const details = { servers: ignoreServer.join(' ') };
  await note(run.access, { event: 'server-ignored', domain, reason, details });
}

function list(text: string, others: readonly string[]): readonly string[] {
  return [...others, text];
}
