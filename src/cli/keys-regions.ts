import { type Command, InvalidArgumentError } from 'commander';
import type { BackendName } from '../keys/backend-names.ts';
import { BACKENDS } from '../keys/backends.ts';
import { KeysRefusal } from '../keys/keys-error.ts';

/** `--regions`, of commands that make keys. */
export function addRegions(command: Command): Command {
  const text =
    'Regions of new keys, the first is home; default: as the key before, else kms.regions';
  return command.option('--regions <list>', text, regionsArgument);
}

/** Argument parser for a list of Regions. */
function regionsArgument(text: string): readonly string[] {
  const regions = text.split(',').map((region) => region.trim());
  const isGood = regions.every((region) => /^[a-z]{2}(-[a-z0-9]+){1,4}$/.test(region));
  if (isGood && new Set(regions).size === regions.length) return regions;
  throw new InvalidArgumentError('It must be a list like eu-central-1,eu-west-1.');
}

/** @throws KeysRefusal `key-no-regions` where keys of the back end are in no Region */
export function refuseRegions(backend: BackendName): void {
  if (BACKENDS[backend].regionsOf !== undefined) return;
  throw new KeysRefusal('key-no-regions', `the back end ${backend} has no Regions`, {
    hint: 'leave --regions out, or name another back end with --backend',
  });
}
