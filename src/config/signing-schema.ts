import type convict from 'convict';
import type { Config } from './config.ts';
import { defaultHeaderLists } from './default-header-lists.ts';
import { listFormat } from './format.ts';
import { domain } from './network-formats.ts';
import { oneOf, onOff, seconds } from './scalar-formats.ts';
import { setting } from './setting.ts';
import { headerName, headerNameOrPrefix, unmatched } from './signing-formats.ts';

/** What is signed, and how (RFC 6376). */
export const signingSchema: convict.Schema<Config['signing']> = {
  unmatched: setting(
    unmatched,
    'refuse',
    'A message whose author domain has no key: `refuse` it with 550 5.7.1, send it `unsigned`, or sign it with the keys of another domain (`fallback:<domain>`).',
  ),
  unmatchedNullSender: setting(
    unmatched,
    'unsigned',
    'The same for messages with the null reverse-path (bounces), which must be able to leave.',
  ),
  canonicalization: setting(
    oneOf('relaxed/relaxed', 'relaxed/simple', 'simple/relaxed', 'simple/simple'),
    'relaxed/relaxed',
    'Canonicalisation of header and body, `c=` (RFC 6376 section 3.4).',
  ),
  expireAfterS: setting(
    seconds(0, 31_536_000),
    0,
    'Signatures expire after this many seconds (`x=`). 0: they do not.',
  ),
  identity: setting(
    onOff,
    false,
    'Write `i=@<domain>` into signatures. Off: receivers take the same from `d=`.',
  ),
  alsoSignAs: setting(
    listFormat(domain),
    [],
    "Domains that sign every message that is signed, besides the author's: a provider's own, for feedback loops.",
  ),
  headers: {
    alwaysOversigned: setting(
      listFormat(headerName),
      [...defaultHeaderLists.alwaysOversigned],
      'Fields signed once more than they are there, even when absent, so that nobody can add one. From has to be among them.',
    ),
    oversignedIfPresent: setting(
      listFormat(headerNameOrPrefix),
      [...defaultHeaderLists.oversignedIfPresent],
      'Fields signed once more than they are there, if they are there.',
    ),
    signedIfPresent: setting(
      listFormat(headerNameOrPrefix),
      [...defaultHeaderLists.signedIfPresent],
      'Fields signed as often as they are there. A field in several lists counts for the first; a name written out counts before one with `*`.',
    ),
  },
};
