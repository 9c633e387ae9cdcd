import { type LocalReply, localReply } from '../mail/reply.ts';
import type { SigningKey, SigningKeyring } from '../mail/signer.ts';

/** What to do with a message whose author domain has no key; `signing.unmatched`. */
export type UnmatchedAction = 'refuse' | 'unsigned' | `fallback:${string}`;

/** The part of the configuration that decides which keys sign. */
export interface SigningPolicy {
  readonly unmatched: UnmatchedAction;
  /** The same for messages with the null reverse-path: bounces must be able to leave. */
  readonly unmatchedNullSender: UnmatchedAction;
  /** Domains (A-labels) that sign each message that is signed, besides the author's. */
  readonly alsoSignAs: readonly string[];
}

/** What is known of a message when the plan is made. */
export interface SigningFacts {
  /** The domain that should sign, from the header; see `findAuthor`. A-labels, lower case. */
  readonly authorDomain: string;
  readonly nullReversePath: boolean;
}

/** Who signs a message, or why nobody does. */
export type SigningPlan =
  | { readonly kind: 'sign'; readonly keys: readonly SigningKey[] }
  /** It leaves as it is; `why` is for the log. */
  | { readonly kind: 'unsigned'; readonly why: string }
  /** 550 5.7.1: no key, and the configuration does not allow it to leave without. */
  | { readonly kind: 'refuse'; readonly reply: LocalReply }
  /** 451 4.7.5: it should be signed and cannot be now; `reason` is for the log. */
  | { readonly kind: 'defer'; readonly reply: LocalReply; readonly reason: string };

/**
 * Decides who signs. Whatever is wrong with keys or configuration is temporary: a message is never
 * sent unsigned, and never bounced, because of a fault on our side.
 */
export function planSigning(
  facts: SigningFacts,
  keyring: SigningKeyring,
  policy: SigningPolicy,
): SigningPlan {
  if (keyring.fault !== undefined) return defer(facts.authorDomain, keyring.fault);
  const own = keyring.keysFor(facts.authorDomain);
  if (own.kind === 'unusable') return defer(own.domain, own.reason);
  if (own.kind === 'keys') return withAdditional(own.domain, own.keys, keyring, policy);
  const action = facts.nullReversePath ? policy.unmatchedNullSender : policy.unmatched;
  if (action === 'refuse') return refuse(facts.authorDomain);
  if (action === 'unsigned') {
    return { kind: 'unsigned', why: `no key for ${facts.authorDomain}` };
  }
  const domain = action.slice('fallback:'.length);
  const fallback = keyring.keysFor(domain);
  if (fallback.kind === 'unusable') return defer(fallback.domain, fallback.reason);
  if (fallback.kind === 'keys') {
    return withAdditional(fallback.domain, fallback.keys, keyring, policy);
  }
  return defer(domain, `the fallback domain ${domain} has no key`);
}

/** Adds the keys of `alsoSignAs`; a domain that signs already is not added again. */
function withAdditional(
  domain: string,
  keys: readonly SigningKey[],
  keyring: SigningKeyring,
  policy: SigningPolicy,
): SigningPlan {
  if (keys.length === 0) return defer(domain, `${domain} has no active key`);
  const all = [...keys];
  for (const additional of policy.alsoSignAs) {
    const found = keyring.keysFor(additional);
    if (found.kind === 'unusable') return defer(found.domain, found.reason);
    if (found.kind === 'unknown-domain' || found.keys.length === 0) {
      return defer(additional, `${additional} of signing.alsoSignAs has no key`);
    }
    all.push(...found.keys.filter((key) => !all.some((other) => sameRecord(key, other))));
  }
  return { kind: 'sign', keys: all };
}

function sameRecord(one: SigningKey, other: SigningKey): boolean {
  return one.domain === other.domain && one.selector === other.selector;
}

function refuse(domain: string): SigningPlan {
  const text = `No DKIM key for ${domain}, the domain of the From field: add one (waxseal keys create ${domain}) or use a From address of a domain that has one`;
  return { kind: 'refuse', reply: localReply(550, '5.7.1', 'signing.unmatched', text) };
}

function defer(domain: string, reason: string): SigningPlan {
  const text = `Signing for ${domain} is not possible now, try again later`;
  return { kind: 'defer', reply: localReply(451, '4.7.5', 'signing.key', text), reason };
}
