import { ConfigError, type ConfigProblem } from '../../../src/config/config-error.ts';
import { buildConfig, type LoadedConfig } from '../../../src/config/load-config.ts';

const system = { hostName: 'relay.example.com', temporaryDirectory: '/var/tmp' };

/** Builds a configuration from the text of a file named `waxseal.yaml`. */
export function build(text: string, environment: Record<string, string> = {}): LoadedConfig {
  return buildConfig({ file: { name: 'waxseal.yaml', text }, environment, system });
}

/** The problems of a configuration that must not load. */
export function problemsOf(
  text: string,
  environment: Record<string, string> = {},
): readonly ConfigProblem[] {
  try {
    build(text, environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error('the configuration loaded, although it should not');
}
