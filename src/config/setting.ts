import type { Format } from './format.ts';
import { register } from './format-registry.ts';

/** What the schema holds for one setting, in convict's terms. */
export interface Setting<Value> {
  readonly format: string;
  readonly default: Value;
  readonly doc: string;
}

/**
 * One row of the schema.
 *
 * @param format how the value is written
 * @param value the default, as it would stand in a configuration file
 * @param doc what it is for; the reference and the annotated default file are made of it
 */
export function setting<Value>(format: Format, value: Value, doc: string): Setting<Value> {
  return { format: register(format), default: value, doc };
}
