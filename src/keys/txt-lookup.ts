import type { Resolver } from '../base/resolver.ts';

/** What the DNS says about a name's TXT records. */
export type TxtAnswer =
  /** Each record with its strings joined, as verifiers read it (RFC 6376 section 3.6.2.2). */
  | { readonly kind: 'found'; readonly texts: readonly string[] }
  | { readonly kind: 'absent' }
  /** No answer now; nothing is known. */
  | { readonly kind: 'failed'; readonly reason: string };

/** Looks TXT records up. Failures are values. */
export interface TxtLookup {
  txt(name: string): Promise<TxtAnswer>;
}

/** Asks through a resolver. */
export function resolverTxtLookup(resolver: Resolver): TxtLookup {
  return {
    txt: async (name) => {
      const answer = await resolver.resolve(name, 'TXT');
      switch (answer.kind) {
        case 'records':
          return {
            kind: 'found',
            texts: answer.records.map((strings) => Buffer.concat(strings).toString('latin1')),
          };
        case 'nodata':
        case 'nxdomain':
          return { kind: 'absent' };
        case 'failure':
          return { kind: 'failed', reason: answer.detail };
      }
    },
  };
}
