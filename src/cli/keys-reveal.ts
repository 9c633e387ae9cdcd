import type { KeyringAccess } from '../keys/keyring-access.ts';
import { type Revelation, revealKey } from '../keys/reveal-key.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { jsonText, type KeysRun } from './keys-command.ts';

/**
 * What `--reveal` does: publishes revoked keys as PEM, and says where, or until when it waits.
 *
 * @param directory `keys.rotation.reveal`; empty: off, which is refused
 * @throws KeysError, KeysRefusal as `revealKey`
 */
export async function revealKeys(
  run: Pick<KeysRun, 'context' | 'json'> & { readonly access: KeyringAccess },
  domain: string,
  selectors: readonly string[],
  directory: string,
): Promise<ExitCode> {
  const revealed: (Revelation & { readonly selector: string })[] = [];
  for (const selector of selectors) {
    const place = directory === '' ? undefined : directory;
    const revelation = await revealKey(run.access, { domain, selector, directory: place });
    revealed.push({ selector, ...revelation });
  }
  const text = revealed.map((one) =>
    one.kind === 'revealed'
      ? `${domain}, selector ${one.selector}: the private key is public now: ${one.file}\n`
      : `${domain}, selector ${one.selector}: caches may hold its record until ${one.until}\n`,
  );
  run.context.stdout(run.json ? jsonText({ domain, revealed }) : text.join(''));
  return revealed.some((one) => one.kind === 'waiting') ? EXIT.waiting : EXIT.ok;
}
