import { KeysError } from '../keys-error.ts';

/**
 * The index of a keyring that lies in objects. It is the one text that is ever replaced: a change
 * writes a new shard beside the old one and then puts its name into the index, by compare-and-set.
 * So all of a change is seen or nothing, changes have one order, and looking for news is reading one
 * small text.
 */

export interface IndexedShard {
  /** Stays for the life of the shard: `shard-1`. */
  readonly name: string;
  /** The object with its content now. */
  readonly object: string;
  /** SHA-256 of the content, base64. */
  readonly digest: string;
  readonly generation: number;
  readonly domains: number;
  readonly bytes: number;
  /** With which the content can be erased; see `Put.erase`. */
  readonly erase?: string;
}

export interface ShardIndex {
  /** Rises with each change; no two changes have the same. */
  readonly generation: number;
  readonly shards: readonly IndexedShard[];
}

const FORMAT = 'waxseal-keyring-index-1';
const MAX_SHARDS = 20_000;
const OBJECT_NAME = /^[a-z0-9]([a-z0-9.-]{0,120}[a-z0-9])?$/;

export const EMPTY_INDEX: ShardIndex = { generation: 0, shards: [] };

export function renderIndex(index: ShardIndex): string {
  return `${JSON.stringify({ format: FORMAT, ...index })}\n`;
}

/** @throws KeysError `manifest-invalid` */
export function parseIndex(text: string, where: string): ShardIndex {
  try {
    const value: unknown = JSON.parse(text);
    const shards = field(value, 'shards');
    const generation = field(value, 'generation');
    if (field(value, 'format') === FORMAT && isCount(generation) && Array.isArray(shards)) {
      const known = shards.map(indexedShard);
      const names = new Set(known.map((shard) => shard?.name));
      const isWhole = known.every((shard) => shard !== undefined);
      if (isWhole && names.size === known.length && known.length <= MAX_SHARDS) {
        return { generation, shards: known };
      }
    }
  } catch {
    // Said below; the parser's own words may quote the text.
  }
  throw new KeysError('manifest-invalid', `the index of the keyring in ${where} is damaged`, {
    hint: 'restore it; the shards beside it hold the domains',
  });
}

function indexedShard(value: unknown): IndexedShard | undefined {
  const [name, object, digest] = [
    field(value, 'name'),
    field(value, 'object'),
    field(value, 'digest'),
  ];
  const [generation, domains, bytes] = [
    field(value, 'generation'),
    field(value, 'domains'),
    field(value, 'bytes'),
  ];
  const erase = field(value, 'erase');
  if (!isObjectName(name) || !isObjectName(object) || typeof digest !== 'string') return undefined;
  if (!isCount(generation) || !isCount(domains) || !isCount(bytes)) return undefined;
  const shard = { name, object, digest, generation, domains, bytes };
  return typeof erase === 'string' ? { ...shard, erase } : shard;
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.getOwnPropertyDescriptor(value, name)?.value;
}

function isObjectName(value: unknown): value is string {
  return typeof value === 'string' && OBJECT_NAME.test(value);
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
