import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import type { StoreSetting } from '../../config/config.ts';
import { KeysError, systemCode } from '../keys-error.ts';
import type {
  Expected,
  ListedObject,
  ObjectPart,
  ObjectPlace,
  Put,
  StoredObject,
} from './object-place.ts';

/**
 * Texts as objects of a bucket. The ETag is the version: `If-Match` and `If-None-Match: *` make a
 * write fail with 412, or 409 when another one is under way
 * (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html). In a bucket that
 * keeps versions, what is replaced is deleted by its version id, or in all its versions where that is
 * not known, so that nothing of it stays.
 */
export class S3Place implements ObjectPlace {
  readonly maxBytes = 4 * 1024 * 1024;
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #timeoutMs: number;

  /** Credentials are what the SDK's default chain finds. */
  constructor({ s3, timeoutMs }: Pick<StoreSetting, 's3' | 'timeoutMs'>) {
    this.#client = new S3Client({
      ...(s3.region === '' ? {} : { region: s3.region }),
      ...(s3.endpoint === '' ? {} : { endpoint: s3.endpoint, forcePathStyle: true }),
      maxAttempts: 3,
      // Other services than AWS may not know the newer checksums.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
    });
    this.#bucket = s3.bucket;
    this.#prefix = s3.prefix;
    this.#timeoutMs = timeoutMs;
  }

  get description(): string {
    return `s3://${this.#bucket}/${this.#prefix}`;
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
    const command = new GetObjectCommand({
      ...this.#object(part, name),
      ...(known === undefined ? {} : { IfNoneMatch: known }),
    });
    try {
      const { Body, ETag, ContentLength } = await this.#client.send(command, this.#bound());
      if (Body === undefined || ETag === undefined || (ContentLength ?? 0) > this.maxBytes) {
        throw new KeysError(
          'keyring-unreadable',
          `${this.description}${name} is no object of ours`,
        );
      }
      return { text: await Body.transformToString('utf-8'), version: ETag };
    } catch (error) {
      const status = statusOf(error);
      if (status === 304) return 'unchanged';
      if (status === 404 && nameOf(error) !== 'NoSuchBucket') return undefined;
      throw this.#failed('keyring-unreadable', error);
    }
  }

  async put(part: ObjectPart, name: string, text: string, expected: Expected): Promise<Put> {
    const condition =
      expected === 'any'
        ? {}
        : expected === 'absent'
          ? { IfNoneMatch: '*' }
          : { IfMatch: expected.version };
    const object = { ...this.#object(part, name), Body: text, ContentType: 'application/json' };
    try {
      const put = await this.#client.send(
        new PutObjectCommand({ ...object, ...condition }),
        this.#bound(),
      );
      return { kind: 'written', version: put.ETag ?? '', erase: put.VersionId };
    } catch (error) {
      const status = statusOf(error);
      const isGone = status === 404 && nameOf(error) !== 'NoSuchBucket';
      // 404: If-Match on what is not there any more; 409: another write was under way.
      const isPending = status === 409;
      if (status === 412 || isPending || isGone) return { kind: 'conflict', isPending };
      throw this.#failed('keyring-unwritable', error);
    }
  }

  async remove(part: ObjectPart, name: string, erase?: string): Promise<void> {
    const object = this.#object(part, name);
    try {
      // Only shards hold private keys, and only those who write them may look at versions.
      const isUnknown = part === 'shard' && erase === undefined;
      const versions = isUnknown ? await this.#versionsOf(object.Key) : [erase];
      for (const VersionId of versions) {
        const version = VersionId === undefined ? {} : { VersionId };
        await this.#client.send(new DeleteObjectCommand({ ...object, ...version }), this.#bound());
      }
    } catch (error) {
      if (statusOf(error) === 404 && nameOf(error) !== 'NoSuchBucket') return;
      throw this.#failed('keyring-unwritable', error);
    }
  }

  /** All that there is of an object, delete markers too. `undefined`: what has no version id. */
  async #versionsOf(key: string): Promise<readonly (string | undefined)[]> {
    const found: (string | undefined)[] = [];
    let next: { readonly KeyMarker?: string; readonly VersionIdMarker?: string } | undefined = {};
    while (next !== undefined) {
      const command: ListObjectVersionsCommand = new ListObjectVersionsCommand({
        Bucket: this.#bucket,
        Prefix: key,
        ...next,
      });
      const page = await this.#client.send(command, this.#bound()).catch((error: unknown) => {
        if ([405, 501].includes(statusOf(error) ?? 0)) return undefined; // it keeps no versions
        throw error;
      });
      if (page === undefined) return [undefined];
      for (const { Key, VersionId } of [...(page.Versions ?? []), ...(page.DeleteMarkers ?? [])]) {
        if (Key === key) found.push(VersionId === 'null' ? undefined : VersionId);
      }
      const { IsTruncated, NextKeyMarker: KeyMarker, NextVersionIdMarker: VersionIdMarker } = page;
      next =
        IsTruncated === true && KeyMarker !== undefined
          ? { KeyMarker, ...(VersionIdMarker === undefined ? {} : { VersionIdMarker }) }
          : undefined;
    }
    return found;
  }

  async list(part: ObjectPart, names = ''): Promise<readonly ListedObject[]> {
    const prefix = this.#prefix + FOLDERS[part];
    const found: ListedObject[] = [];
    let next: string | undefined;
    try {
      do {
        const command = new ListObjectsV2Command({
          Bucket: this.#bucket,
          Prefix: prefix + names,
          ...(next === undefined ? {} : { ContinuationToken: next }),
        });
        const page = await this.#client.send(command, this.#bound());
        for (const { Key = '', ETag: version = '', LastModified } of page.Contents ?? []) {
          const changedMs = LastModified?.getTime() ?? 0;
          found.push({ name: Key.slice(prefix.length), version, changedMs });
        }
        next = page.NextContinuationToken;
      } while (next !== undefined && found.length < MAX_LISTED);
    } catch (error) {
      throw this.#failed('keyring-unreadable', error);
    }
    return found.sort((one, other) => (one.name < other.name ? -1 : 1));
  }

  close(): void {
    this.#client.destroy();
  }

  #object(part: ObjectPart, name: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.#bucket, Key: this.#prefix + FOLDERS[part] + name };
  }

  #bound(): { readonly abortSignal: AbortSignal } {
    return { abortSignal: AbortSignal.timeout(this.#timeoutMs) };
  }

  /** The SDK's errors hold the request; its code and its id say enough. */
  #failed(code: string, error: unknown): KeysError {
    if (error instanceof KeysError) return error;
    const status = statusOf(error);
    const id = error instanceof S3ServiceException ? error.$metadata.requestId : undefined;
    const why = [
      nameOf(error) ?? systemCode(error) ?? 'no answer',
      status === undefined ? '' : `(${status})`,
      id === undefined ? '' : `request ${id}`,
    ].filter((part) => part !== '');
    const hint =
      status === 403
        ? 's3:GetObject, s3:PutObject, s3:DeleteObject, s3:DeleteObjectVersion, s3:ListBucket and s3:ListBucketVersions are needed'
        : 'check keys.store.s3 and the credentials';
    return new KeysError(code, `${this.description}: ${why.join(' ')}`, { hint });
  }
}

const FOLDERS: Readonly<Record<ObjectPart, string>> = {
  index: '',
  shard: 'shards/',
  journal: 'journal/',
  relay: 'relays/',
};
const MAX_LISTED = 1_000_000;

function statusOf(error: unknown): number | undefined {
  return error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;
}

function nameOf(error: unknown): string | undefined {
  return error instanceof Error && error.name !== 'Error' ? error.name : undefined;
}
