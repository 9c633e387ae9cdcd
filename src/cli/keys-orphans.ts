import { Option } from 'commander';
import type { StoredKey } from '../keys/backend.ts';
import { BACKEND_NAMES, type BackendName } from '../keys/backend-names.ts';
import { CREATE_EVENTS } from '../keys/lifecycle/create-step.ts';
import { storedKey } from '../keys/stored-key.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { type AddKeysCommand, jsonText } from './keys-command.ts';
import { type LifecycleRun, runLifecycleCommand } from './keys-lifecycle.ts';
import { tableText } from './keys-text.ts';

const HELP = `
A private key that no manifest lists is left by a run that was killed (run it again: it adopts the key), or by
a keyring that was restored from an old copy. Nothing is deleted here; look at each before you do that.

Exit codes: 0 there are none, 1 failed, 2 wrong command line or configuration, 3 there are some
`;

interface OrphansOptions {
  readonly backend: readonly BackendName[] | undefined;
  readonly json: boolean;
}

/** `keys orphans` */
export const addKeysOrphans: AddKeysCommand = (parent, context, parts) => {
  parent
    .command('orphans')
    .summary('list private keys that the keyring does not know')
    .description('Lists private keys that a back end keeps and that no manifest lists.')
    .addOption(
      new Option(
        '--backend <name...>',
        'ask these back ends; default: those that keyring, journal and configuration name',
      ).choices(BACKEND_NAMES),
    )
    .option('--json', 'print JSON', false)
    .addHelpText('after', HELP)
    .action(async (options: OrphansOptions) => {
      const named = {
        json: options.json,
        command: 'keys orphans',
        readOnly: true,
        mayBeEmpty: true,
      };
      await runLifecycleCommand(context, parts, named, async (run) => listOrphans(run, options));
    });
};

/** Not only those of which the keyring has keys: the very first `create` may have been killed. */
async function usedBackends(
  run: LifecycleRun,
  inKeyring: Iterable<BackendName>,
): Promise<ReadonlySet<BackendName>> {
  const used = new Set(inKeyring);
  const { regions = [], endpoints = [], wrappingKey = '' } = run.settings.kms ?? {};
  if (regions.length + endpoints.length > 0 || wrappingKey !== '') used.add('kms-sign');
  for await (const { event, details } of run.access.journal.read({})) {
    const name = BACKEND_NAMES.find((one) => one === details?.backend);
    if (event === CREATE_EVENTS.intended && name !== undefined) used.add(name);
  }
  return used;
}

const HEADING = ['BACKEND', 'DOMAIN', 'SELECTOR', 'CREATED', 'REFERENCE', 'INTENT'];

async function listOrphans(run: LifecycleRun, options: OrphansOptions): Promise<ExitCode> {
  const known = new Map<BackendName, StoredKey[]>();
  for (const { domain, keys } of run.snapshot.domains.values()) {
    for (const key of keys) {
      const others = known.get(key.backend) ?? [];
      known.set(key.backend, others);
      if (key.state === 'destroyed' && key.material === undefined) continue;
      others.push(storedKey(domain, key));
    }
  }
  const orphans = [];
  const backends = options.backend ?? (await usedBackends(run, known.keys()));
  for (const name of backends) {
    const backend = await run.access.connect(name, 'must-exist');
    for (const orphan of await backend.orphans(known.get(name) ?? [])) {
      orphans.push({ backend: name, ...orphan });
    }
  }
  if (run.json) run.context.stdout(jsonText({ backends: [...backends], orphans }));
  else if (orphans.length === 0) {
    const asked = [...backends].join(', ') || 'none, nothing is in use yet';
    run.context.stdout(`the keyring knows every private key (back ends asked: ${asked})\n`);
  } else {
    const rows = orphans.map((orphan) => [
      orphan.backend,
      orphan.domain ?? '-',
      orphan.selector ?? '-',
      orphan.createdAt ?? '-',
      orphan.reference,
      orphan.intent ?? '-',
    ]);
    run.context.stdout(tableText(HEADING, rows));
  }
  return orphans.length === 0 ? EXIT.ok : EXIT.refused;
}
