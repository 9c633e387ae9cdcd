import type { Config } from '../../config/config.ts';

/** The slice of the configuration that calls to KMS need. */
export type KmsSettings = Config['kms'];

/** The endpoint of a Region; undefined: AWS's own. */
export function endpointFor(region: string, endpoints: readonly string[]): string | undefined {
  const own = endpoints.find((entry) => entry.startsWith(`${region}=`));
  if (own !== undefined) return own.slice(region.length + 1);
  return endpoints.find((entry) => /^https?:/.test(entry));
}
