import type { Tag } from '@aws-sdk/client-kms';
import { KeysRefusal } from '../keys-error.ts';
import type { KeyIdentity } from '../sealed-key.ts';
import type { Kms } from './kms.ts';
import { KmsError } from './kms-fault.ts';

/**
 * Waxseal's keys carry their names as tags, given in CreateKey itself: so a key whose making was
 * interrupted can be found again, and policies can ask for them (`aws:ResourceTag/waxseal:domain`).
 */
const DOMAIN = 'waxseal:domain';
const SELECTOR = 'waxseal:selector';
const INTENT = 'waxseal:intent';

/** A key in KMS that carries our tags. */
export interface TaggedKey {
  readonly arn: string;
  readonly domain: string | undefined;
  readonly selector: string | undefined;
  readonly intent: string | undefined;
}

/** What a look at all keys of a Region gave. */
export interface TaggedKeys {
  readonly ours: readonly TaggedKey[];
  /** ARNs of keys whose tags we may not read: others keep us out, or we lack the permission. */
  readonly hidden: readonly string[];
  /** Not one could be read: it is the permission that is missing. */
  readonly isBlind: boolean;
}

/** Keys whose tags are asked for at the same time. */
const ASKED_AT_ONCE = 16;
/** https://docs.aws.amazon.com/kms/latest/APIReference/API_ListKeys.html */
const PAGE_KEYS = 1000;

/** The tags of a key that is made. Domain and selector have no character that AWS forbids. */
export function tagsFor({ domain, selector }: KeyIdentity, intent: string): Tag[] {
  return [
    { TagKey: DOMAIN, TagValue: domain },
    { TagKey: SELECTOR, TagValue: selector },
    { TagKey: INTENT, TagValue: intent },
  ];
}

/**
 * All keys of a Region that carry our tags. KMS can neither filter its list nor give tags with it,
 * so this costs a call for every key of the account. It is eventually consistent.
 *
 * @param known tags found before, by ARN; filled in, since ours never change
 * @throws KmsError
 */
export async function taggedKeys(
  kms: Kms,
  region: string,
  known: Map<string, TaggedKey> = new Map(),
): Promise<TaggedKeys> {
  const ours: TaggedKey[] = [];
  const hidden: string[] = [];
  let read = 0;
  const arns = (await keyArns(kms, region)).values();
  const askNext = async () => {
    for (const arn of arns) {
      const tags = known.get(arn) ?? (await tagsOf(kms, region, arn));
      if (tags === 'hidden') hidden.push(arn);
      if (tags === 'hidden' || tags === 'gone') continue;
      read += 1;
      if (tags === 'foreign') continue;
      known.set(arn, tags);
      ours.push(tags);
    }
  };
  await Promise.all(Array.from({ length: ASKED_AT_ONCE }, askNext));
  return { ours, hidden, isBlind: hidden.length > 0 && read === 0 };
}

/**
 * Without its tags a key cannot be told from those of others.
 *
 * @param why what is not done because of it
 */
export function tagsHidden(region: string, operation: string, why: string): KeysRefusal {
  const message = `KMS in ${region} lets us look for keys with our tags no more than in part (kms:${operation} is denied), and ${why}`;
  return new KeysRefusal('key-tags-hidden', message, {
    hint: `grant kms:${operation} on the keys of the account, as docs/kms/operator-kms-sign.json does, and run it again`,
  });
}

async function keyArns(kms: Kms, region: string): Promise<readonly string[]> {
  const arns: string[] = [];
  let marker: string | undefined;
  do {
    const page = await kms.caller.call({
      operation: 'ListKeys',
      family: 'ListKeys',
      regions: [region],
      input: () => ({ Limit: PAGE_KEYS, ...(marker === undefined ? {} : { Marker: marker }) }),
    });
    for (const { KeyArn } of page.Keys ?? []) if (KeyArn !== undefined) arns.push(KeyArn);
    marker = page.Truncated === true ? page.NextMarker : undefined;
  } while (marker !== undefined);
  return arns;
}

async function tagsOf(
  kms: Kms,
  region: string,
  arn: string,
): Promise<TaggedKey | 'foreign' | 'hidden' | 'gone'> {
  try {
    const { Tags = [] } = await kms.caller.call({
      operation: 'ListResourceTags',
      family: 'ListResourceTags',
      regions: [region],
      input: () => ({ KeyId: arn }),
    });
    const value = (name: string) => Tags.find(({ TagKey }) => TagKey === name)?.TagValue;
    const intent = value(INTENT);
    if (intent === undefined && value(DOMAIN) === undefined) return 'foreign';
    return { arn, domain: value(DOMAIN), selector: value(SELECTOR), intent };
  } catch (error) {
    // Of somebody else's key the policy may keep us out, or it is gone meanwhile.
    if (!(error instanceof KmsError) || !error.row.holdsKey) throw error;
    return error.kind === 'access-denied' ? 'hidden' : 'gone';
  }
}
