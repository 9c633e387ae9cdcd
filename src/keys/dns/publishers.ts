import type { Clock } from '../../base/clock.ts';
import { normalizeName } from '../../base/dns-name.ts';
import { parseDnsServer } from '../../base/dns-servers.ts';
import { WaxsealError } from '../../base/errors.ts';
import { PrintPublisher } from './print-publisher.ts';
import type { Publisher, PublishResult, RecordChange } from './publisher.ts';
import { incompleteSetting, type PublisherSetting, settingFor } from './publisher-settings.ts';
import { RequestPace } from './request-pace.ts';
import { Rfc2136Publisher } from './rfc2136-publisher.ts';
import { SlotPublisher } from './slots.ts';
import { readTsigSecret } from './tsig-key-file.ts';

export type { PublisherSetting } from './publisher-settings.ts';

/** What publishers share. */
export interface PublisherParts {
  readonly clock: Clock;
  /** Route 53 takes 5 requests a second of one account; all publishers of a process share them. */
  readonly route53Pace: RequestPace;
}

/** One row: how publishers of a kind are made. */
interface PublisherRow {
  /** @throws KeysError when the setting, or a file that it names, cannot be used */
  open(setting: PublisherSetting, parts: PublisherParts): Promise<Publisher> | Publisher;
}

const UPDATE_TIMEOUT_MS = 15_000;
const ROUTE53_PER_SECOND = 5;

/** By `kind`. */
export const PUBLISHERS: Readonly<Record<PublisherSetting['kind'], PublisherRow>> = {
  print: { open: () => new PrintPublisher() },
  rfc2136: {
    open: async ({ server, keyName, keyFile, zone }, { clock }) => {
      if (server === undefined || keyName === undefined || keyFile === undefined) {
        throw incompleteSetting('rfc2136', 'server, keyName and keyFile');
      }
      const name = normalizeName(keyName);
      return new Rfc2136Publisher({
        server: parseDnsServer(server),
        key: { name, secret: await readTsigSecret(keyFile, name) },
        zone: zone === undefined ? undefined : normalizeName(zone),
        timeoutMs: UPDATE_TIMEOUT_MS,
        clock,
      });
    },
  },
  route53: {
    // The vendor's client is large; who has no such row does without it.
    open: async (setting, parts) => (await import('./open-route53.ts')).openRoute53(setting, parts),
  },
};

export function publisherParts(clock: Clock): PublisherParts {
  return { clock, route53Pace: new RequestPace(clock, ROUTE53_PER_SECOND) };
}

/** The publishers of a configuration: one for each row, made when it is first needed. */
export class Publishers {
  readonly #settings: readonly PublisherSetting[];
  readonly #parts: PublisherParts;
  readonly #open = new Map<PublisherSetting, Promise<Publisher>>();

  constructor(settings: readonly PublisherSetting[], parts: PublisherParts) {
    this.#settings = settings;
    this.#parts = parts;
  }

  /** The publisher of a domain; a person (`print`) where no row is for it. */
  publisherFor(domain: string): Publisher {
    const setting = settingFor(domain, this.#settings) ?? PRINT;
    const publisher = new LazyPublisher(setting.kind, () => this.#opened(setting));
    const { slotsUnder } = setting;
    return slotsUnder === undefined
      ? publisher
      : new SlotPublisher(publisher, domain, normalizeName(slotsUnder));
  }

  close(): void {
    for (const opening of this.#open.values()) {
      opening.then(
        (publisher) => publisher.close(),
        () => {}, // it was never open
      );
    }
    this.#open.clear();
  }

  #opened(setting: PublisherSetting): Promise<Publisher> {
    const known = this.#open.get(setting);
    if (known !== undefined) return known;
    const opening = openRow(setting, this.#parts);
    this.#open.set(setting, opening);
    opening.catch(() => this.#open.delete(setting)); // the next change tries again
    return opening;
  }
}

async function openRow(setting: PublisherSetting, parts: PublisherParts): Promise<Publisher> {
  return await PUBLISHERS[setting.kind].open(setting, parts);
}

const PRINT: PublisherSetting = { domains: ['*'], kind: 'print' };

/** Of one domain and on its own: `close` ends it. */
export function publisherFor(
  domain: string,
  settings: { readonly publishers: readonly PublisherSetting[]; readonly clock: Clock },
): Publisher {
  const all = new Publishers(settings.publishers, publisherParts(settings.clock));
  const { name, apply } = bound(all.publisherFor(domain));
  return { name, apply, close: () => all.close() };
}

function bound(publisher: Publisher): Pick<Publisher, 'name' | 'apply'> {
  return {
    name: publisher.name,
    apply: (changes, signal) => publisher.apply(changes, signal),
  };
}

/** Opens a row at its first change. What the row refuses is a result, as all that goes wrong here. */
class LazyPublisher implements Publisher {
  readonly name: string;
  readonly #open: () => Promise<Publisher>;

  constructor(name: string, open: () => Promise<Publisher>) {
    this.name = name;
    this.#open = open;
  }

  async apply(changes: readonly RecordChange[], signal?: AbortSignal): Promise<PublishResult> {
    let publisher: Publisher;
    try {
      publisher = await this.#open();
    } catch (error) {
      if (!(error instanceof WaxsealError)) throw error;
      return { kind: 'failed', reason: error.message, hint: error.hint ?? '' };
    }
    return await publisher.apply(changes, signal);
  }

  close(): void {
    // The row is shared; whoever made `Publishers` closes it.
  }
}
