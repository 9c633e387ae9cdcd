import { hostname, userInfo } from 'node:os';
import type { KmsSettings } from '../keys/kms/kms-settings.ts';
import { stsCaller, stsPlace } from '../keys/lifecycle/sts-caller.ts';

/** The journal's entry waits for it, and so does an emergency; then it does without. */
const STS_TIMEOUT_MS = 1500;

/** Who calls, as this machine knows it. */
export function callerName(): string {
  try {
    return `${userInfo().username}@${hostname()}`;
  } catch {
    return `uid ${process.getuid?.() ?? '?'}@${hostname()}`; // a user without a name
  }
}

/** Who calls, as AWS knows it; undefined when it does not say so at once. */
export async function awsCallerName(kms: KmsSettings | undefined): Promise<string | undefined> {
  return await stsCaller({ ...stsPlace(kms), timeoutMs: STS_TIMEOUT_MS });
}
