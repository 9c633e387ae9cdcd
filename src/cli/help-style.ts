import type { Option } from 'commander';

/**
 * How help shows options: what is off, or empty, unless it is named needs no word; a time is shown
 * as people write it. The rest is Commander's own.
 */
export function optionDescription(option: Option): string {
  const { argChoices, defaultValue, defaultValueDescription, description } = option;
  const more: string[] = [];
  if (argChoices !== undefined) more.push(`one of ${argChoices.join(', ')}`);
  const isNothing =
    defaultValue === undefined ||
    defaultValue === false ||
    (option.negate && defaultValue === true) ||
    (Array.isArray(defaultValue) && defaultValue.length === 0);
  if (!isNothing) more.push(`default: ${defaultValueDescription ?? String(defaultValue)}`);
  return more.length === 0 ? description : `${description} (${more.join('; ')})`;
}
