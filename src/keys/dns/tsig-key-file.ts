import { readBoundedFile } from '../bounded-file.ts';
import { isBase64 } from '../key-record.ts';
import { KeysError, systemReason } from '../keys-error.ts';

const MAX_FILE_OCTETS = 8192;
const MIN_SECRET_OCTETS = 16;
const HINT =
  'it holds what "tsig-keygen" prints (key "NAME" { algorithm hmac-sha256; secret "…"; };), or the secret alone in base64';

/**
 * Reads the secret of a TSIG key: a key statement as BIND has it, or bare base64.
 *
 * @param name the key's name, normalised; a statement must be of this key
 * @throws KeysError `key-publisher-secret`, which never shows what is in the file
 */
export async function readTsigSecret(file: string, name: string): Promise<Buffer> {
  const content = await readBoundedFile(file, MAX_FILE_OCTETS).catch((error: unknown) => {
    throw unusable(file, systemReason(error));
  });
  if (content === 'too-large') throw unusable(file, `has over ${MAX_FILE_OCTETS} octets`);
  try {
    return parseTsigSecret(content.octets.toString('latin1'), file, name);
  } finally {
    content.octets.fill(0);
  }
}

function parseTsigSecret(text: string, file: string, name: string): Buffer {
  const bare = withoutComments(text);
  const statements = [...bare.matchAll(/\bkey\s+"?([^\s"{]+)"?\s*\{([^}]*)\}/gi)];
  if (statements.length === 0) return decode(bare.trim(), file);
  const statement = statements.find((one) => normalized(one[1] ?? '') === name);
  if (statement === undefined) throw unusable(file, `has no key named ${name}`);
  const body = statement[2] ?? '';
  const algorithm = /\balgorithm\s+"?([^\s";]+)"?\s*;/i.exec(body)?.[1]?.toLowerCase();
  if (algorithm !== undefined && algorithm !== 'hmac-sha256') {
    throw unusable(file, 'has a key for another algorithm than hmac-sha256');
  }
  return decode(/\bsecret\s+"?([^\s";]+)"?\s*;/i.exec(body)?.[1] ?? '', file);
}

function decode(base64: string, file: string): Buffer {
  if (base64 === '' || !isBase64(base64)) throw unusable(file, 'holds no secret in base64');
  const secret = Buffer.from(base64, 'base64');
  if (secret.length < MIN_SECRET_OCTETS) {
    throw unusable(file, `holds a secret of less than ${MIN_SECRET_OCTETS} octets`);
  }
  return secret;
}

/** Comments as BIND's configuration has them. A `/` may be base64, so `//` counts at a line's start. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, ' ').replace(/^\s*(?:#|\/\/).*$/gm, ' ');
}

function normalized(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}

function unusable(file: string, what: string): KeysError {
  return new KeysError('key-publisher-secret', `the TSIG key file ${file} ${what}`, { hint: HINT });
}
