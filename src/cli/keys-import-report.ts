import { printable } from '../base/printable.ts';
import type { OpenDkimImport } from '../keys/import/import-opendkim.ts';
import type { ImportedKey } from '../keys/import/import-source.ts';
import type { TableRemark } from '../keys/import/opendkim-table.ts';
import { recordName } from '../keys/key-name.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { jsonText, type KeysRun, writeWarnings } from './keys-command.ts';
import { dnsRecords, dnsRecordsText, recordWarnings, shownKey, tableText } from './keys-text.ts';

const HEADING = ['DOMAIN', 'SELECTOR', 'ALGORITHM', 'BACKEND', 'STATE', 'RECORD', 'OUTCOME'];

/** Says what one import did, and what to do next. */
export function reportImported(run: KeysRun, imported: ImportedKey): ExitCode {
  const { domain, key, outcome, record, recordAdopted } = imported;
  const records = dnsRecords(domain, [key]);
  writeWarnings(run, [...new Set([...imported.warnings, ...recordWarnings(records)])]);
  if (run.json) {
    const { subdomains } = domain;
    const document = { domain: domain.domain, subdomains, outcome, recordAdopted, record };
    run.context.stdout(jsonText({ ...document, keys: [shownKey(key)], records }));
    return EXIT.ok;
  }
  const said = {
    imported: '1 key(s) imported, not active yet',
    'already-there': 'this key is in the keyring already',
    'would-import': '1 key would be imported; nothing was changed',
  }[outcome];
  const dns =
    record.verdict === 'seen'
      ? `DNS shows its record${recordAdopted ? ', which is ours from now on' : ''}.\n`
      : `${dnsRecordsText(records)}\nWhen DNS shows the record(s):\n`;
  run.context.stdout(
    `${domain.domain}: ${said}:\n  ${key.selector}  ${key.algorithm}  ${key.backend}  ${key.state}\n\n` +
      `${dns}  waxseal keys activate ${domain.domain}\n`,
  );
  return EXIT.ok;
}

/** Says what became of OpenDKIM's tables; the exit code says whether something is left to do. */
export function reportOpenDkim(run: KeysRun, imported: OpenDkimImport): ExitCode {
  const { keys, failed, untranslated, remarks, shared } = imported;
  const code = failed.length + untranslated.length === 0 ? EXIT.ok : EXIT.refused;
  writeWarnings(run, [...new Set(keys.flatMap((key) => key.warnings))]);
  if (run.json) {
    const plain = keys.map(({ domain, key, ...rest }) => ({
      domain: domain.domain,
      subdomains: domain.subdomains,
      key: shownKey(key),
      ...rest,
    }));
    run.context.stdout(jsonText({ keys: plain, failed, untranslated, remarks, shared }));
    return code;
  }
  const rows = keys.map(({ domain, key, record, recordAdopted, outcome }) => [
    domain.subdomains ? `${domain.domain} (+ subdomains)` : domain.domain,
    key.selector,
    key.algorithm,
    key.backend,
    key.state,
    recordAdopted ? 'adopted' : record.verdict,
    outcome,
  ]);
  const together = shared.map(
    ({ domains, selectors }) =>
      `One private key for ${domains.join(', ')} (${selectors.join(', ')}): it stays shared.\n`,
  );
  const all = [
    rows.length === 0 ? 'No key was imported.\n' : tableText(HEADING, rows),
    ...together,
    section('Worth knowing:', remarks),
  ];
  run.context.stdout(all.join(''));
  const faults = failed.map(({ domain, selector, place, message, hint }) => ({
    place,
    message: `${recordName(selector, domain)}: ${message}`,
    ...(hint === undefined ? {} : { hint }),
  }));
  run.context.stderr(section('Not imported:', faults));
  run.context.stderr(section('Not translated; this needs you:', untranslated));
  return code;
}

function section(title: string, remarks: readonly TableRemark[]): string {
  if (remarks.length === 0) return '';
  const lines = remarks.map(({ place, message, hint }) => {
    const advice = hint === undefined ? '' : `    hint: ${printable(hint)}\n`;
    return `  ${printable(place)}: ${printable(message)}\n${advice}`;
  });
  return `\n${title}\n${lines.join('')}`;
}
