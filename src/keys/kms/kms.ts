import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import { defaultRegion, type OpenKmsClient } from './aws-client.ts';
import type { KmsCallCounts } from './call-counters.ts';
import { EnvelopeVault } from './envelope-vault.ts';
import { arnIn, parseKmsArn } from './kms-arn.ts';
import { KmsCaller } from './kms-caller.ts';
import { KmsKeyHolds } from './kms-key-holds.ts';
import type { KmsSettings } from './kms-settings.ts';

export interface KmsParts {
  readonly clock: Clock;
  readonly log: Pick<Log, 'warning' | 'kmsCalls'>;
  /** From 0 to 1, for jitter. */
  readonly random?: (() => number) | undefined;
  readonly openClient?: OpenKmsClient | undefined;
  /** A relay may begin before all of its wrapped keys are decrypted; default: no. */
  readonly mayBeginEarly?: boolean;
}

/**
 * AWS KMS for one process: what both back ends share, and what outlives a reload of the keyring.
 * Nothing is asked, and the SDK is not loaded, before a key needs it.
 */
export class Kms {
  readonly settings: KmsSettings;
  readonly clock: Clock;
  readonly caller: KmsCaller;
  readonly holds: KmsKeyHolds;
  readonly vault: EnvelopeVault;
  readonly #log: KmsParts['log'];
  #regions: Promise<readonly string[]> | undefined;
  #cancelLog = () => {};

  constructor(settings: KmsSettings, parts: KmsParts) {
    const { clock, log, random = Math.random } = parts;
    const alert = (message: string) => log.warning({ about: 'kms', message });
    this.settings = settings;
    this.clock = clock;
    this.#log = log;
    this.caller = new KmsCaller({ settings, clock, alert, random, openClient: parts.openClient });
    this.holds = new KmsKeyHolds(clock, alert);
    this.vault = new EnvelopeVault({
      clock,
      random,
      alert,
      isPatient: parts.mayBeginEarly !== true,
    });
    this.#logLater();
  }

  /** Calls so far. */
  get counts(): KmsCallCounts {
    return this.caller.counts;
  }

  /** The Regions of the configuration, home first. @throws KmsError when none is known */
  regions(): Promise<readonly string[]> {
    const { regions } = this.settings;
    this.#regions ??=
      regions.length > 0 ? Promise.resolve(regions) : defaultRegion().then((name) => [name]);
    return this.#regions;
  }

  /**
   * Where a key can be used, the best first: those of the configuration, in its order, then others.
   *
   * @param replicas Regions that have the key too; undefined: not known, so all of the configuration
   */
  regionsOf(arn: string, replicas?: readonly string[]): readonly string[] {
    const parsed = parseKmsArn(arn);
    if (parsed === undefined) return [];
    if (!parsed.multiRegion) return [parsed.region];
    const configured = this.settings.regions;
    const has = new Set([parsed.region, ...(replicas ?? configured)]);
    return [...configured.filter((name) => has.delete(name)), ...has];
  }

  /** For a call: `regionsOf`, and the Region in which the key is for certain. */
  placeOf(arn: string): { readonly regions: readonly string[]; readonly home: string | undefined } {
    return { regions: this.regionsOf(arn), home: parseKmsArn(arn)?.region };
  }

  /** The key's ARN in a Region where it has a replica. */
  arnIn(arn: string, region: string): string {
    return arnIn(arn, region);
  }

  /** Ends calls and retries, logs the calls for the last time, and closes connections. */
  async close(): Promise<void> {
    this.#cancelLog();
    this.vault.close();
    this.#logCounts();
    await this.caller.close();
  }

  #logLater(): void {
    this.#cancelLog = this.clock.after(this.settings.countsLogMs, () => {
      this.#logCounts();
      this.#logLater();
    });
  }

  #logCounts(): void {
    const { calls, failures } = this.counts;
    if (Object.keys(calls).length > 0) this.#log.kmsCalls({ calls, failures });
  }
}
