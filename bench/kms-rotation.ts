/**
 * Rotates the wrapped keys of many domains at once with `rotate --due --step`, in a process of its own
 * that holds the KMS and the DNS server too: the in-repo KMS with AWS's quotas, a keyring in files.
 * Reports `RotationFigures`.
 */
import { RotationLab } from '../test/support/kms/rotation-lab.ts';
import { readOptions, report } from './control.ts';

export interface KmsRotationOptions {
  readonly domains: number;
  /** Rotated of them, as with `--max`; default: all. */
  readonly max?: number;
}

export interface RotationFigures {
  /** Domains that have a new active key, and an old one that is retiring. */
  readonly rotated: number;
  readonly seconds: number;
  /** What the quota for key pairs alone takes, at the share that Waxseal keeps. */
  readonly quotaSeconds: number;
  readonly throttled: number;
  readonly calls: number;
  /** Of command, KMS and DNS server together. */
  readonly cpuMsPerDomain: number;
  readonly peakResidentMiB: number;
}

const { domains, max = domains } = readOptions<KmsRotationOptions>();
/** AWS's default for RSA-2048: https://docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html */
const PAIRS_PER_SECOND = 20;
const lab = await RotationLab.start({ domains });
const { server, settings } = lab.kms;
const before = process.cpuUsage();
const startMs = performance.now();
const step = ['rotate', '--due', '--step', '--json', '--concurrency', '8'];
await lab.run([...step, '--max', String(max)]);
const seconds = (performance.now() - startMs) / 1000;
const used = process.cpuUsage(before);
const entries = await lab.entries();
const isRotated = (states: string) => states === 'retiring active';
report({
  rotated: entries.filter(({ keys }) => isRotated(keys.map(({ state }) => state).join(' '))).length,
  seconds,
  quotaSeconds: max / ((PAIRS_PER_SECOND * settings.quotaShare) / 100),
  throttled: server.region().quotas.throttled,
  calls: server.calls.length,
  cpuMsPerDomain: (used.user + used.system) / 1000 / max,
  peakResidentMiB: process.resourceUsage().maxRSS / 1024,
} satisfies RotationFigures);
await lab.stop();
