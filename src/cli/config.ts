import type { Command } from 'commander';
import { WaxsealError } from '../base/errors.ts';
import { checkFiles } from '../config/check-files.ts';
import { ConfigError, type ConfigProblem, renderProblem } from '../config/config-error.ts';
import type { LoadedConfig } from '../config/load-config.ts';
import { effectiveAsJson, renderEffective } from '../config/render-effective.ts';
import { renderDefaultFile, renderReference } from '../config/render-reference.ts';
import { materialChecks } from '../server-material.ts';
import { EXIT } from './exit-codes.ts';
import type { CliFrame } from './frame.ts';
import { reportError } from './report-error.ts';

interface JsonOption {
  readonly json: boolean;
}

/** Mounts `config check|print|docs`. */
export function registerConfig(program: Command, frame: CliFrame): void {
  const config = program
    .command('config')
    .summary('check, print and describe the configuration')
    .description('The configuration: is it good, what is in force, what can be set.');
  config
    .command('check')
    .description(
      'Check the configuration and all that serve needs: files, keyring, spool, addresses.',
    )
    .option('--json', 'print JSON', false)
    .addHelpText('after', '\nExit codes: 0 good (perhaps with warnings), 2 not usable.')
    .action((options: JsonOption) => check(frame, options.json));
  config
    .command('print')
    .description('Print the configuration in force, with the origin of each value.')
    .option('--json', 'print JSON', false)
    .action(async (options: JsonOption) => {
      try {
        const { settings } = await frame.loadDetails();
        frame.stdout(
          options.json ? jsonText(effectiveAsJson(settings)) : renderEffective(settings),
        );
      } catch (error) {
        reportError(frame, error, options.json);
      }
    });
  config
    .command('docs')
    .description('Print the reference of all settings, as Markdown.')
    .option('--yaml', 'print an annotated configuration file with all defaults instead', false)
    .action((options: { readonly yaml: boolean }) => {
      frame.stdout(options.yaml ? renderDefaultFile() : renderReference());
    });
}

async function check(frame: CliFrame, json: boolean): Promise<void> {
  const { errors, warnings } = await findProblems(frame);
  const file = frame.configFile() ?? 'no file (defaults and environment)';
  if (json) {
    frame.stdout(jsonText({ file, ok: errors.length === 0, errors, warnings }));
  } else {
    for (const problem of errors) frame.stdout(`error: ${renderProblem(problem)}\n`);
    for (const problem of warnings) frame.stdout(`warning: ${renderProblem(problem)}\n`);
    frame.stdout(`${file}: ${count(errors, 'error')}, ${count(warnings, 'warning')}\n`);
  }
  frame.setExitCode(errors.length === 0 ? EXIT.ok : EXIT.usage);
}

interface Problems {
  readonly errors: readonly ConfigProblem[];
  readonly warnings: readonly ConfigProblem[];
}

async function findProblems(frame: CliFrame): Promise<Problems> {
  try {
    const loaded = await frame.loadDetails();
    const files = await checkFiles(loaded);
    const material = await checkMaterial(loaded, files.errors);
    return {
      errors: [...files.errors, ...material.errors],
      warnings: [...loaded.warnings, ...files.warnings, ...material.warnings],
    };
  } catch (error) {
    if (error instanceof ConfigError) return { errors: error.problems, warnings: [] };
    if (!(error instanceof WaxsealError)) throw error;
    return { errors: [{ key: '', where: '', message: error.message }], warnings: [] };
  }
}

/** Tries what `serve` will need, but for files that are known to be missing. */
async function checkMaterial(
  { config, settings }: LoadedConfig,
  missing: readonly ConfigProblem[],
): Promise<Problems> {
  const errors: ConfigProblem[] = [];
  const warnings: ConfigProblem[] = [];
  for (const { settings: keys, check } of materialChecks) {
    if (missing.some(({ key }) => keys.some((one) => key.startsWith(one)))) continue;
    const problem = (text: string): ConfigProblem => {
      const named = keys.find((one) => text.startsWith(`${one}: `));
      const key = named ?? keys[0] ?? '';
      const where = settings.find((row) => row.key === key)?.where ?? '';
      return { key, where, message: named === undefined ? text : text.slice(named.length + 2) };
    };
    try {
      warnings.push(...(await check(config)).map(problem));
    } catch (error) {
      if (!(error instanceof WaxsealError)) throw error;
      errors.push(problem(error.message + (error.hint === undefined ? '' : ` (${error.hint})`)));
    }
  }
  return { errors, warnings };
}

function count(problems: readonly ConfigProblem[], what: string): string {
  return `${problems.length} ${what}${problems.length === 1 ? '' : 's'}`;
}

function jsonText(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
