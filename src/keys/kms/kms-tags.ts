import type { Tag } from '@aws-sdk/client-kms';
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
): Promise<readonly TaggedKey[]> {
  const found: TaggedKey[] = [];
  const arns = (await keyArns(kms, region)).values();
  const askNext = async () => {
    for (const arn of arns) {
      const tagged = known.get(arn) ?? (await tagsOf(kms, region, arn));
      if (tagged === undefined) continue;
      known.set(arn, tagged);
      found.push(tagged);
    }
  };
  await Promise.all(Array.from({ length: ASKED_AT_ONCE }, askNext));
  return found;
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

async function tagsOf(kms: Kms, region: string, arn: string): Promise<TaggedKey | undefined> {
  try {
    const { Tags = [] } = await kms.caller.call({
      operation: 'ListResourceTags',
      family: 'ListResourceTags',
      regions: [region],
      input: () => ({ KeyId: arn }),
    });
    const value = (name: string) => Tags.find(({ TagKey }) => TagKey === name)?.TagValue;
    const intent = value(INTENT);
    if (intent === undefined && value(DOMAIN) === undefined) return undefined;
    return { arn, domain: value(DOMAIN), selector: value(SELECTOR), intent };
  } catch (error) {
    // Somebody else's key: its policy may keep us out, or it is gone meanwhile.
    if (error instanceof KmsError && error.row.holdsKey) return undefined;
    throw error;
  }
}
