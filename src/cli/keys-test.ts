import { errorMessage } from '../base/errors.ts';
import { KEY_STATE_ROWS } from '../keys/key-state.ts';
import { chooseKeys } from '../keys/lifecycle/choose-keys.ts';
import { lookAtKey, missingText } from '../keys/lifecycle/look-at-dns.ts';
import type { ManifestKey } from '../keys/manifest.ts';
import { probeSigner } from '../keys/probe-signer.ts';
import { storedKey } from '../keys/stored-key.ts';
import type { ExitCode } from './exit-codes.ts';
import { EXIT } from './exit-codes.ts';
import {
  type AddKeysCommand,
  domainArgument,
  jsonText,
  selectorsArgument,
} from './keys-command.ts';
import { entryOf, type LifecycleRun, runLifecycleCommand } from './keys-lifecycle.ts';

const HELP = `
Each key signs a probe with the credentials of this environment, the signature is verified against the public
key in the keyring, and DNS is asked whether it shows that very key. Run it where the relay runs, as the user
that it runs as. Nothing is changed and no mail is sent.

Exit codes: 0 all is well, 1 a key cannot sign here, or DNS does not show it, 2 wrong command line or
configuration, 3 no such domain or selector
`;

interface TestOptions {
  readonly selector: readonly string[];
  readonly json: boolean;
}

interface TestResult {
  readonly selector: string;
  readonly state: string;
  /** `ok`, or why it cannot sign here. */
  readonly signs: string;
  /** `seen`, or what is missing where. */
  readonly dns: string;
}

/** `keys test DOMAIN` */
export const addKeysTest: AddKeysCommand = (parent, context, parts) => {
  parent
    .command('test')
    .summary('sign a probe here and verify it against DNS')
    .description('Signs a probe with the keys of a domain and verifies it against live DNS.')
    .argument('<domain>', 'the domain of the keys', domainArgument)
    .option('--selector <name>', 'this key; may be repeated', selectorsArgument, [])
    .option('--json', 'print JSON', false)
    .addHelpText('after', HELP)
    .action(async (domain: string, options: TestOptions) => {
      const named = { json: options.json, command: 'keys test', readOnly: true };
      await runLifecycleCommand(context, parts, named, async (run) => test(run, domain, options));
    });
};

async function test(run: LifecycleRun, domain: string, options: TestOptions): Promise<ExitCode> {
  const entry = entryOf(run, domain);
  const published = (['published', 'verified', 'active', 'retiring'] as const).filter(
    (state) => KEY_STATE_ROWS[state].record === 'key',
  );
  const keys = chooseKeys(entry, options.selector, ['created', ...published]);
  const results: TestResult[] = [];
  for (const key of keys) results.push(await testKey(run, domain, key));
  if (run.json) run.context.stdout(jsonText({ domain, keys: results }));
  else {
    for (const { selector, state, signs, dns } of results) {
      run.context.stdout(`${domain}: ${selector} (${state}): signs: ${signs}; DNS: ${dns}\n`);
    }
  }
  if (results.length === 0) run.context.stderr(`${domain} has no key that could sign\n`);
  const isWell = results.every(({ signs, dns }) => signs === 'ok' && dns === 'seen');
  return isWell && results.length > 0 ? EXIT.ok : EXIT.failed;
}

async function testKey(run: LifecycleRun, domain: string, key: ManifestKey): Promise<TestResult> {
  const { selector, state } = key;
  let signs = 'ok';
  try {
    const backend = await run.access.connect(key.backend, 'must-exist');
    await probeSigner(backend, storedKey(domain, key));
  } catch (error) {
    signs = errorMessage(error);
  }
  // The signature verified against the manifest's public key, and DNS shows that same key.
  const report = await lookAtKey(run.access, domain, key);
  const dns = report.verdict === 'seen' ? 'seen' : missingText(report);
  return { selector, state, signs, dns };
}
