import { access, readdir } from 'node:fs/promises';
import path from 'node:path';
import { printable } from '../../base/printable.ts';
import { readBoundedFile } from '../bounded-file.ts';
import { toSigningDomain } from '../key-name.ts';
import { KeysError, KeysRefusal, systemReason } from '../keys-error.ts';
import {
  type DataSet,
  isSet,
  MAX_CONF_BYTES,
  type OpenDkimConf,
  parseDataSet,
  parseOpenDkimConf,
} from './opendkim-conf.ts';
import {
  MAX_TABLE_BYTES,
  type ParsedTable,
  parseTable,
  type TableRemark,
} from './opendkim-table.ts';

/** What the operator named. */
export interface OpenDkimFiles {
  /** Path of opendkim.conf; undefined: the tables are named. */
  readonly confFile: string | undefined;
  /** As in opendkim.conf: `refile:/etc/opendkim/KeyTable`; these win over the file. */
  readonly keyTable: string | undefined;
  readonly signingTable: string | undefined;
}

/** OpenDKIM's tables as read. */
export interface OpenDkimTables {
  readonly keyTable: ParsedTable;
  readonly signingTable: ParsedTable;
  readonly multiple: boolean;
  /** What relative paths of private keys are relative to: `BaseDirectory`, or the KeyTable's own. */
  readonly keyDirectory: string;
  readonly untranslated: readonly TableRemark[];
}

/** `Include` in `Include` (MAXLEVEL in OpenDKIM's config.c). */
const MAX_INCLUDES = 5;
/** Names read from one directory of keys. */
const MAX_DIRECTORY_NAMES = 100_000;

/**
 * Reads the tables.
 *
 * @throws KeysError `key-table-unreadable`, KeysRefusal `key-table`
 */
export async function loadOpenDkim(files: OpenDkimFiles): Promise<OpenDkimTables> {
  const conf = files.confFile === undefined ? new Map() : await readConf(files.confFile, 0);
  const baseDirectory = path.resolve(conf.get('basedirectory')?.value ?? '.');
  const keyTable = files.keyTable ?? conf.get('keytable')?.value;
  const signingTable = files.signingTable ?? conf.get('signingtable')?.value;
  const untranslated = confRemarks(conf);
  if (keyTable === undefined && conf.has('keyfile')) {
    const single = await singleKeyTables(conf, baseDirectory);
    return { ...single, multiple: false, keyDirectory: baseDirectory, untranslated };
  }
  if (keyTable === undefined || signingTable === undefined) {
    const missing = keyTable === undefined ? 'KeyTable' : 'SigningTable';
    throw new KeysRefusal('key-table', `there is no ${missing} to read`, {
      hint: 'name both: --key-table and --signing-table, or --opendkim-conf',
    });
  }
  const keys = await readTable('KeyTable', keyTable, baseDirectory);
  return {
    keyTable: keys,
    signingTable: await readTable('SigningTable', signingTable, baseDirectory),
    multiple: isSet(conf, 'MultipleSignatures'),
    keyDirectory: conf.has('basedirectory') ? baseDirectory : path.dirname(keys.path),
    untranslated,
  };
}

/**
 * Domains for which a key lies under a path with `%`, such as `/etc/opendkim/keys/%/mail.private`.
 * They are what a pattern for everybody can stand for.
 */
export async function domainsOnDisk(keyTable: ParsedTable): Promise<readonly string[]> {
  const domains = new Set<string>();
  for (const row of keyTable.rows) {
    const [domain, , ...rest] = row.value.split(':');
    const template = rest.join(':');
    if (domain !== '%' || !/^\/.*%/.test(template)) continue;
    for (const found of await expand(template)) domains.add(found);
  }
  return [...domains].sort();
}

async function expand(template: string): Promise<readonly string[]> {
  const parts = template.split('/');
  const at = parts.findIndex((part) => part.includes('%'));
  const [before = '', after = ''] = (parts[at] ?? '').split('%', 2);
  let names: string[];
  try {
    names = await readdir(parts.slice(0, at).join('/') || '/');
  } catch {
    return []; // the plan says that no domain is known
  }
  const domains: string[] = [];
  for (const name of names.slice(0, MAX_DIRECTORY_NAMES)) {
    if (!name.startsWith(before) || !name.endsWith(after)) continue;
    const domain = name.slice(before.length, name.length - after.length);
    if (toSigningDomain(domain) !== domain) continue;
    const isThere = await access(template.replaceAll('%', domain)).then(
      () => true,
      () => false,
    );
    if (isThere) domains.push(domain);
  }
  return domains;
}

async function readConf(file: string, level: number): Promise<OpenDkimConf> {
  const own = parseOpenDkimConf(await readText(file, MAX_CONF_BYTES), file);
  const include = own.get('include');
  if (include === undefined) return own;
  if (level === MAX_INCLUDES) {
    throw new KeysRefusal('key-table', `${include.place}: too many files include others`);
  }
  return new Map([...(await readConf(include.value, level + 1)), ...own]);
}

/** Directives that choose keys in a way that tables do not tell. */
function confRemarks(conf: OpenDkimConf): TableRemark[] {
  const remarks: TableRemark[] = [];
  for (const name of ['SetupPolicyScript', 'ChangeRootDirectory', 'SenderHeaders']) {
    const directive = conf.get(name.toLowerCase());
    if (directive === undefined) continue;
    const hint = `see what ${name} changes for your domains; it is left out`;
    remarks.push({ place: directive.place, message: `${name} is not followed`, hint });
  }
  return remarks;
}

/** `Domain`, `Selector` and `KeyFile`: one key for a list of domains, as tables. */
async function singleKeyTables(
  conf: OpenDkimConf,
  baseDirectory: string,
): Promise<Pick<OpenDkimTables, 'keyTable' | 'signingTable'>> {
  const keyFile = conf.get('keyfile');
  const selector = conf.get('selector')?.value;
  const domain = conf.get('domain');
  if (keyFile === undefined || selector === undefined || domain === undefined) {
    throw new KeysRefusal('key-table', 'KeyFile needs Domain and Selector beside it');
  }
  const set = parseDataSet(domain.value, baseDirectory);
  const domains =
    set.kind === 'list' ? set.items : (await rowsOf('Domain', set)).rows.map((row) => row.name);
  const file = path.resolve(baseDirectory, keyFile.value);
  const line = Number(/\d+$/.exec(domain.place)?.[0] ?? 0);
  const shared = { path: domain.place.replace(/:\d+$/, ''), kind: 'file', remarks: [] } as const;
  const keyRows = domains.map((name) => ({ line, name, value: `${name}:${selector}:${file}` }));
  const signingRows = domains.flatMap((name) => {
    const own = { line, name, value: name };
    return isSet(conf, 'SubDomains') ? [own, { line, name: `.${name}`, value: name }] : [own];
  });
  return {
    keyTable: { ...shared, rows: keyRows },
    signingTable: { ...shared, rows: signingRows },
  };
}

async function readTable(what: string, spec: string, baseDirectory: string): Promise<ParsedTable> {
  return await rowsOf(what, parseDataSet(spec, baseDirectory));
}

async function rowsOf(what: string, set: DataSet): Promise<ParsedTable> {
  switch (set.kind) {
    case 'file':
    case 'refile':
      return parseTable(await readText(set.path, MAX_TABLE_BYTES), set.path, set.kind);
    case 'list':
      throw notRead(what, 'a list in place of a file');
    case 'unsupported':
      throw notRead(what, `a data set of type ${printable(set.type, 40)}`);
  }
}

function notRead(what: string, kind: string): KeysRefusal {
  return new KeysRefusal('key-table', `${what} is ${kind}, which is not read`, {
    hint: 'write it out as a file of the form "NAME VALUE" and name that with file: or refile:',
  });
}

async function readText(file: string, maxBytes: number): Promise<string> {
  try {
    const content = await readBoundedFile(file, maxBytes);
    if (content !== 'too-large') return content.octets.toString('utf8');
  } catch (error) {
    throw new KeysError('key-table-unreadable', `${file} ${systemReason(error)}`, { cause: error });
  }
  throw new KeysRefusal('key-table', `${file} has over ${maxBytes} octets`);
}
