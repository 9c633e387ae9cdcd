import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { printable } from '../../base/printable.ts';
import type { StoreSetting } from '../../config/config.ts';
import { KeysError, systemReason } from '../keys-error.ts';
import type { KubernetesAnswer, KubernetesClient } from './kubernetes-client.ts';
import type {
  Expected,
  ListedObject,
  ObjectPart,
  ObjectPlace,
  Put,
  StoredObject,
} from './object-place.ts';

/**
 * Texts in ConfigMaps, one in each, under `data.text`. A label says which keyring they belong to
 * and which part of it they are. `resourceVersion` is the version: a PUT that names another one than
 * stands there is answered 409 (https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions).
 *
 * ConfigMaps and not Secrets, because nothing in them is secret: private keys stand there sealed
 * under the master key, or wrapped by KMS. So the pod needs no right on any Secret.
 */
export class KubernetesPlace implements ObjectPlace {
  /** A ConfigMap may have 1 MiB in all (`data` of 1,048,576 octets), names and labels included. */
  readonly maxBytes = 1_000_000;
  readonly #client: KubernetesClient;
  readonly #settings: StoreSetting['kubernetes'];
  #namespace: string | undefined;

  constructor(client: KubernetesClient, settings: StoreSetting['kubernetes']) {
    this.#client = client;
    this.#settings = settings;
    this.#namespace = settings.namespace === '' ? undefined : settings.namespace;
  }

  get description(): string {
    return `the ConfigMaps ${this.#settings.name}-* of namespace ${this.#namespace ?? '(own)'}`;
  }

  get(part: ObjectPart, name: string): Promise<StoredObject | undefined>;
  get(
    part: ObjectPart,
    name: string,
    known: string | undefined,
  ): Promise<StoredObject | 'unchanged' | undefined>;
  async get(
    part: ObjectPart,
    name: string,
    known?: string,
  ): Promise<StoredObject | 'unchanged' | undefined> {
    const answer = await this.#ask('GET', await this.#path(this.#nameOf(part, name)));
    if (answer.status === 404) return undefined;
    if (answer.status !== 200) throw this.#refused('keyring-unreadable', answer);
    const version = textAt(answer.body, 'metadata', 'resourceVersion');
    if (version !== undefined && version === known) return 'unchanged';
    const text = textAt(answer.body, 'data', 'text');
    if (text === undefined || version === undefined) throw this.#foreign(part, name);
    return { text, version };
  }

  async put(part: ObjectPart, name: string, text: string, expected: Expected): Promise<Put> {
    if (expected === 'absent') return await this.#create(part, name, text);
    if (expected !== 'any') return await this.#replace(part, name, text, expected.version);
    // A PUT without a version replaces whatever stands there, and makes nothing new.
    const replaced = await this.#replace(part, name, text, undefined);
    return replaced.kind === 'written' ? replaced : await this.#create(part, name, text);
  }

  async #create(part: ObjectPart, name: string, text: string): Promise<Put> {
    const body = this.#configMap(part, name, text, undefined);
    const answer = await this.#ask('POST', await this.#path(''), body);
    return answer.status === 409 ? CONFLICT : this.#written(answer); // AlreadyExists
  }

  async #replace(
    part: ObjectPart,
    name: string,
    text: string,
    version: string | undefined,
  ): Promise<Put> {
    const body = this.#configMap(part, name, text, version);
    const answer = await this.#ask('PUT', await this.#path(this.#nameOf(part, name)), body);
    const isOther = answer.status === 409 || answer.status === 404; // another version, or gone
    return isOther ? CONFLICT : this.#written(answer);
  }

  #written(answer: KubernetesAnswer): Put {
    const version = textAt(answer.body, 'metadata', 'resourceVersion');
    if (![200, 201].includes(answer.status) || version === undefined) {
      throw this.#refused('keyring-unwritable', answer);
    }
    return { kind: 'written', version, erase: undefined };
  }

  #configMap(part: ObjectPart, name: string, text: string, version: string | undefined): unknown {
    const labels = { 'waxseal-keyring': this.#settings.name, 'waxseal-part': part };
    const metadata = {
      name: this.#nameOf(part, name),
      labels,
      ...(version === undefined ? {} : { resourceVersion: version }),
    };
    return { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { text } };
  }

  async remove(part: ObjectPart, name: string): Promise<void> {
    const answer = await this.#ask('DELETE', await this.#path(this.#nameOf(part, name)));
    if (![200, 202, 404].includes(answer.status)) throw this.#refused('keyring-unwritable', answer);
  }

  async list(part: ObjectPart, names = ''): Promise<readonly ListedObject[]> {
    const found: ListedObject[] = [];
    const prefix = this.#nameOf(part, '');
    let next = '';
    do {
      const query = new URLSearchParams({
        labelSelector: `waxseal-keyring=${this.#settings.name},waxseal-part=${part}`,
        limit: String(LIST_LIMIT),
        ...(next === '' ? {} : { continue: next }),
      });
      const answer = await this.#ask(
        'GET',
        `${await this.#path('')}?${query}`,
        undefined,
        METADATA,
      );
      if (answer.status !== 200) throw this.#refused('keyring-unreadable', answer);
      const items = valueAt(answer.body, 'items');
      for (const item of Array.isArray(items) ? items : []) {
        const name = textAt(item, 'metadata', 'name') ?? '';
        const created = textAt(item, 'metadata', 'creationTimestamp') ?? '';
        const version = textAt(item, 'metadata', 'resourceVersion') ?? '';
        if (!name.startsWith(prefix + names)) continue;
        const changedMs = Date.parse(created) || 0;
        found.push({ name: name.slice(prefix.length), version, changedMs });
      }
      next = textAt(answer.body, 'metadata', 'continue') ?? '';
    } while (next !== '' && found.length < MAX_LISTED);
    return found.sort((one, other) => (one.name < other.name ? -1 : 1));
  }

  close(): void {
    this.#client.close();
  }

  #nameOf(part: ObjectPart, name: string): string {
    const prefix = `${this.#settings.name}-`;
    return PREFIXES[part] === undefined ? prefix + name : `${prefix}${PREFIXES[part]}${name}`;
  }

  async #path(name: string): Promise<string> {
    this.#namespace ??= await this.#ownNamespace();
    const maps = `/api/v1/namespaces/${encodeURIComponent(this.#namespace)}/configmaps`;
    return name === '' ? maps : `${maps}/${encodeURIComponent(name)}`;
  }

  async #ownNamespace(): Promise<string> {
    const file = path.join(path.dirname(this.#settings.tokenFile), 'namespace');
    try {
      return (await readFile(file, 'utf8')).trim();
    } catch (error) {
      throw new KeysError('keyring-store', `${file} ${systemReason(error)}`, {
        cause: error,
        hint: 'set keys.store.kubernetes.namespace',
      });
    }
  }

  async #ask(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    where: string,
    body?: unknown,
    accept?: string,
  ): Promise<KubernetesAnswer> {
    return await this.#client.request({
      method,
      path: where,
      ...(body === undefined ? {} : { body }),
      ...(accept === undefined ? {} : { accept }),
    });
  }

  #refused(code: string, { status, body }: KubernetesAnswer): KeysError {
    const why = printable(textAt(body, 'message') ?? '', 300);
    const message = `${this.description}: Kubernetes answers ${status}${why === '' ? '' : `: ${why}`}`;
    return new KeysError(code, message, status === 403 ? { hint: RBAC_HINT } : {});
  }

  #foreign(part: ObjectPart, name: string): KeysError {
    const message = `ConfigMap ${this.#nameOf(part, name)} is there and is none of the keyring`;
    return new KeysError('keyring-unreadable', message, {
      hint: 'give the keyring another keys.store.kubernetes.name',
    });
  }
}

/** What stands between the keyring's name and an object's: parts that name their objects freely. */
const PREFIXES: Readonly<Partial<Record<ObjectPart, string>>> = {
  journal: 'journal-',
  relay: 'relay-',
};
/** No request is repeated here, so none of ours can be under way. */
const CONFLICT: Put = { kind: 'conflict', isPending: false };
const LIST_LIMIT = 500;
const MAX_LISTED = 50_000;
/** Names and dates without contents (receiving resources as metadata, API concepts). */
const METADATA = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';
const RBAC_HINT =
  'the service account needs a Role: get, list, create, update and delete on configmaps (the chart makes it)';

function valueAt(value: unknown, ...names: readonly string[]): unknown {
  let at = value;
  for (const name of names) {
    if (typeof at !== 'object' || at === null) return undefined;
    at = Object.getOwnPropertyDescriptor(at, name)?.value;
  }
  return at;
}

function textAt(value: unknown, ...names: readonly string[]): string | undefined {
  const found = valueAt(value, ...names);
  return typeof found === 'string' ? found : undefined;
}
