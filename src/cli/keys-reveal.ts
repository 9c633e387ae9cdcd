import { KeysRefusal } from '../keys/keys-error.ts';
import { chooseKeys } from '../keys/lifecycle/choose-keys.ts';
import { withKeys } from '../keys/lifecycle/key-changes.ts';
import { underLease } from '../keys/lifecycle/leased-domain.ts';
import { note } from '../keys/lifecycle/lifecycle-access.ts';
import { lookAtKey, missingText, seenByServers } from '../keys/lifecycle/look-at-dns.ts';
import { longestTtlS } from '../keys/lifecycle/write-records.ts';
import type { ManifestDomain, ManifestKey } from '../keys/manifest.ts';
import { type Revelation, refuseRevelation, revealKey } from '../keys/reveal-key.ts';
import type { CliContext } from './context.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import type { LifecycleRun } from './keys-lifecycle.ts';

/** What became of one key. */
export type Revealed = { readonly selector: string } & (
  | Revelation
  | {
      readonly kind: 'refused';
      readonly code: string;
      readonly why: string;
      readonly hint?: string;
    }
);

/** To be asked before anything is changed: @throws KeysRefusal `key-reveal-off` */
export function refuseRevealOff(run: Pick<LifecycleRun, 'settings'>, domain: string): void {
  if (directoryOf(run) === undefined) refuseRevelation(domain);
}

/**
 * What `--reveal` does: publishes revoked keys as PEM in `keys.rotation.reveal`, or says until when
 * each waits, or why it cannot be.
 *
 * @param named selectors; empty: all keys that are revoked
 * @throws KeysError as `revealKey`; what is refused is in the result
 */
export async function revealKeys(
  run: Pick<LifecycleRun, 'settings' | 'access'>,
  entry: ManifestDomain,
  named: readonly string[],
): Promise<readonly Revealed[]> {
  const { domain } = entry;
  const revealed: Revealed[] = [];
  for (const key of chooseKeys(entry, named, ['revoked'])) {
    const { selector } = key;
    const ttlS = await longestTtlS(run.access, domain, selector);
    const request = { domain, selector, directory: directoryOf(run), longestTtlS: ttlS };
    try {
      if (key.revokedAt !== undefined) await refuseShown(run, domain, key);
      const revelation = await revealKey(run.access, request);
      revealed.push({ selector, ...revelation });
      if (revelation.kind === 'waiting') continue;
      const details = { file: revelation.file };
      await note(run.access, { event: 'revealed', domain, selector, details });
    } catch (error) {
      if (!(error instanceof KeysRefusal)) throw error;
      const { code, message: why, hint } = error;
      revealed.push({ selector, kind: 'refused', code, why, ...(hint !== undefined && { hint }) });
    }
  }
  return revealed;
}

/**
 * A zone that was restored from an old copy shows the key again, long after the withdrawal was seen.
 * Then that counts as not seen, and the times begin anew.
 *
 * @throws KeysRefusal `key-revocation-not-seen`
 */
async function refuseShown(
  { access }: Pick<LifecycleRun, 'access'>,
  domain: string,
  key: ManifestKey,
): Promise<void> {
  const report = await lookAtKey(access, domain, key);
  if (seenByServers(report)) return;
  const { selector } = key;
  await underLease(access, domain, async ({ write }) => {
    await note(access, { event: 'record-not-seen-any-more', domain, selector });
    await write((current) =>
      withKeys(current, [selector], ({ state }) =>
        state === 'revoked' ? { revokedAt: undefined } : {},
      ),
    );
  });
  const message = `the empty p= does not stand on all name servers: ${missingText(report)}`;
  throw new KeysRefusal('key-revocation-not-seen', message, {
    hint: `"waxseal keys revoke ${domain}" empties the record again; the time begins anew then`,
  });
}

/** Tells a person; what is refused goes to standard error. */
export function writeRevealed(
  context: Pick<CliContext, 'stdout' | 'stderr'>,
  domain: string,
  revealed: readonly Revealed[],
): void {
  if (revealed.length === 0) context.stdout(`${domain}: nothing to reveal: no key is revoked\n`);
  for (const one of revealed) {
    const head = `${domain}: ${one.selector}:`;
    if (one.kind === 'revealed') {
      context.stdout(`${head} the private key is public now: ${one.file}\n`);
    } else if (one.kind === 'waiting') {
      context.stderr(`${head} not revealed: caches may hold its record until ${one.until}\n`);
    } else {
      context.stderr(`${head} not revealed: ${one.why}\n`);
      if (one.hint !== undefined) context.stderr(`hint: ${one.hint}\n`);
    }
  }
}

export function revealCode(revealed: readonly Revealed[]): ExitCode {
  if (revealed.some(({ kind }) => kind === 'refused')) return EXIT.refused;
  return revealed.some(({ kind }) => kind === 'waiting') ? EXIT.waiting : EXIT.ok;
}

function directoryOf({ settings }: Pick<LifecycleRun, 'settings'>): string | undefined {
  const directory = settings.keys.rotation?.reveal ?? '';
  return directory === '' ? undefined : directory;
}
