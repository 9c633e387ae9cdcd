import type { STSClientConfig } from '@aws-sdk/client-sts';
import { endpointFor, type KmsSettings } from '../kms/kms-settings.ts';

/** Where AWS is asked who we are. */
export interface StsPlace {
  /** undefined: as the SDK finds it. */
  readonly region?: string | undefined;
  /** For emulators; undefined: AWS. */
  readonly endpoint?: string;
  /** For the answer, in milliseconds. The journal must not wait for long. */
  readonly timeoutMs: number;
}

/**
 * Where STS is, going by KMS: in its home Region. An endpoint without TLS is an emulator's, which
 * serves all of AWS at one address; the Internet is left alone then. Endpoints for KMS alone (of a
 * VPC) are with TLS.
 */
export function stsPlace(
  kms: Pick<KmsSettings, 'regions' | 'endpoints'> | undefined,
): Omit<StsPlace, 'timeoutMs'> {
  const [region] = kms?.regions ?? [];
  const endpoint = endpointFor(region ?? '', kms?.endpoints ?? []);
  return { region, ...(endpoint?.startsWith('http:') === true && { endpoint }) };
}

/**
 * Who AWS says that we are, for the journal: an ARN such as
 * `arn:aws:sts::111122223333:assumed-role/waxseal-operator/session`. The request needs no permission
 * (https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html).
 *
 * @returns undefined when it does not say so in time; never throws
 */
export async function stsCaller(place: StsPlace): Promise<string | undefined> {
  const { STSClient, GetCallerIdentityCommand } = await import('@aws-sdk/client-sts');
  const config: STSClientConfig = {
    maxAttempts: 1,
    ...(place.region === undefined ? {} : { region: place.region }),
    ...(place.endpoint === undefined ? {} : { endpoint: place.endpoint }),
  };
  const client = new STSClient(config);
  try {
    const abortSignal = AbortSignal.timeout(place.timeoutMs);
    const { Arn } = await client.send(new GetCallerIdentityCommand({}), { abortSignal });
    return Arn;
  } catch {
    return undefined; // the journal names user and host then
  } finally {
    client.destroy();
  }
}
