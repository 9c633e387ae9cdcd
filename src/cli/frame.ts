import type { Config } from '../config/config.ts';
import type { LoadedConfig } from '../config/load-config.ts';
import type { CliContext } from './context.ts';
import type { CliInput } from './input.ts';

/** The whole of what the frame offers; commands that need less ask for a `CliContext`. */
export interface CliFrame extends CliContext<Config> {
  /** The configuration with its warnings and the origin of each setting; read once. */
  loadDetails(): Promise<LoadedConfig>;
  /** The same, read afresh; for a reload. */
  rereadDetails(): Promise<LoadedConfig>;
  /** The configuration file that `loadDetails` reads; undefined: none, defaults hold. */
  configFile(): string | undefined;
  /** Ends the process at once; only for what cannot end by itself. */
  exit(code: number): void;
  readonly input: CliInput;
  /** Version of this program. */
  readonly version: string;
}
