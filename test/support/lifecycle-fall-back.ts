import { createKeysOf } from '../../src/keys/lifecycle/create-step.ts';
import { publishStep } from '../../src/keys/lifecycle/publish-step.ts';
import { createOptions } from '../../src/keys/lifecycle/step-work.ts';
import { verifyStep } from '../../src/keys/lifecycle/verify-step.ts';
import type { LifecycleLab } from './lifecycle-lab.ts';

/** Makes a verified RSA key of the back end that stands in for kms-sign. @returns its selector */
export async function addFallBack(lab: LifecycleLab): Promise<string> {
  const work = lab.work();
  const options = createOptions(work, lab.entry(), 'kms-envelope');
  const { domain } = lab.entry();
  const { added } = await createKeysOf(work.access, domain, options, async () => ['rsa2048']);
  const selectors = added.map(({ selector }) => selector);
  await publishStep(work, { entry: lab.entry(), selectors });
  await verifyStep(work, { entry: lab.entry(), selectors });
  return selectors.join();
}
