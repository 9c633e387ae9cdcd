/**
 * A KMS on loopback: the one of the tests, with a latency for Sign, and with AWS's request quotas or
 * without any. It signs for real, in its own process. Reports `{ endpoint, wrappingKey }`; asked for
 * `counts`, how many calls it has refused and how many keys it has decrypted; told `sign-in-5`, it
 * answers Sign that many milliseconds late.
 */
import { FakeKms } from '../test/support/kms/fake-kms.ts';
import { obey, readOptions, report } from './control.ts';

export interface KmsStubOptions {
  readonly quotas: boolean;
}

export interface KmsStubReport {
  readonly endpoint: string;
  readonly wrappingKey: string;
}

export interface KmsStubCounts {
  readonly throttled: number;
  readonly decrypted: number;
}

const QUOTAS = ['sign RSA', 'sign ECC', 'symmetric', 'CreateKey'];

const { quotas } = readOptions<KmsStubOptions>();
const kms = await FakeKms.start(['eu-central-1']);
const region = kms.region();
if (!quotas) for (const family of QUOTAS) region.quotas.overrides.set(family, 1_000_000);
// It remembers calls for tests; here they would only pile up.
let decrypted = 0;
function forgetCalls(): void {
  decrypted += kms.calls.filter(
    ({ operation, error }) => operation === 'Decrypt' && error === undefined,
  ).length;
  kms.calls.length = 0;
}
setInterval(forgetCalls, 1000).unref();

function counts(): KmsStubCounts {
  forgetCalls();
  return { throttled: region.quotas.throttled, decrypted };
}

function signIn(ms: number): unknown {
  region.faults.clear();
  if (ms > 0) region.faults.inject({ kind: 'latency', ms }, { operation: 'Sign' });
  return { ms };
}

report({ endpoint: region.url, wrappingKey: kms.makeWrappingKey() } satisfies KmsStubReport);
obey({
  counts,
  'sign-in-0': () => signIn(0),
  'sign-in-5': () => signIn(5),
  'sign-in-20': () => signIn(20),
});
