import type { Command } from 'commander';
import { type LifecycleAccess, note, type SeenChoice } from '../keys/lifecycle/lifecycle-access.ts';
import { reasonArgument } from './keys-lifecycle.ts';

/**
 * `--ignore-server ADDRESS --reason TEXT`, for commands that look at DNS: a name server that is out
 * of service for long need not answer. The reason goes into the journal.
 */
export interface IgnoreServerOptions {
  readonly ignoreServer?: readonly string[];
  readonly reason?: string;
}

/** @param hasReason the command has a `--reason` of its own */
export function addIgnoreServer(command: Command, hasReason: boolean): void {
  const text = 'this name server need not answer; may be repeated';
  command.option('--ignore-server <address>', text, addressesArgument, []);
  if (!hasReason) {
    command.option('--reason <text>', 'why it is ignored, for the journal', reasonArgument);
  }
}

/** Ends the command with an error of usage where the reason is missing. */
export function refuseIgnoredWithoutReason(command: Command, options: IgnoreServerOptions): void {
  if ((options.ignoreServer ?? []).length === 0 || options.reason !== undefined) return;
  command.error("error: option '--ignore-server' needs '--reason <text>'");
}

export function ignoredServers({
  ignoreServer = [],
  reason = '',
}: IgnoreServerOptions): SeenChoice {
  return ignoreServer.length === 0
    ? {}
    : { ignored: ignoreServer.map((address) => ({ address, reason })) };
}

/** Journals which servers are ignored, and why. */
export async function noteIgnored(
  access: LifecycleAccess,
  domain: string,
  { ignoreServer = [], reason }: IgnoreServerOptions,
): Promise<void> {
  if (ignoreServer.length === 0 || reason === undefined) return;
  const details = { servers: ignoreServer.join(' ') };
  await note(access, { event: 'server-ignored', domain, reason, details });
}

function addressesArgument(text: string, others: readonly string[]): readonly string[] {
  return [...others, text];
}
