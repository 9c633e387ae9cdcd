import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Clock, systemClock } from '../../../src/base/clock.ts';
import { KmsAccount, type KmsKey } from './kms-account.ts';
import { keyIdOfCiphertext } from './kms-cryptography.ts';
import { invalid, KmsAnswerError } from './kms-error.ts';
import { errorOf, type KmsEffect, KmsFaults } from './kms-faults.ts';
import {
  contextOf,
  KMS_OPERATIONS,
  type KmsCallContext,
  type KmsInput,
  type KmsOperationRow,
} from './kms-operations.ts';
import { KmsQuotas } from './kms-quotas.ts';
import { expectedSignature } from './sigv4.ts';

/** A call as it came in. */
export interface KmsCallRecord {
  readonly region: string;
  readonly operation: string;
  readonly input: KmsInput;
  /** The type of the error answered; undefined when it went well. */
  error: string | undefined;
}

/**
 * A condition of a policy, e.g. `kms:EncryptionContext:domain` or `aws:ResourceTag/…`:
 * https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html
 *
 * @returns false: AccessDeniedException
 */
export type KmsCondition = (call: {
  /** Of the caller. */
  readonly accessKeyId: string;
  readonly operation: string;
  readonly region: string;
  readonly key: KmsKey | undefined;
  readonly context: Readonly<Record<string, string>>;
  readonly input: KmsInput;
}) => boolean;

/** Everybody who calls. */
export const CALLER_ARN = 'arn:aws:sts::111122223333:assumed-role/waxseal-operator/me';

const MAX_BODY_BYTES = 64 * 1024;
/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html */
const MAX_SKEW_MS = 300_000;

/** Callers whose signatures are checked: AWS's own example. */
export const SECRETS = {
  AKIDEXAMPLE: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
} as const;

/**
 * AWS KMS as its SDK sees it: HTTP with AWS JSON 1.1, one server on loopback for each Region, one
 * account. It keeps the rules that AWS documents and can be made to fail.
 */
export class FakeKms {
  readonly account: KmsAccount;
  readonly regions: ReadonlyMap<string, FakeKmsRegion>;
  readonly calls: KmsCallRecord[] = [];
  readonly conditions: KmsCondition[] = [];

  private constructor(clock: Clock, regions: readonly string[]) {
    this.account = new KmsAccount(clock);
    this.regions = new Map(regions.map((name) => [name, new FakeKmsRegion(this, name)]));
  }

  /** @param clock for quotas, latency, waiting periods; the machine's for the dates of signatures */
  static async start(
    regions: readonly string[] = ['eu-central-1'],
    clock: Clock = systemClock,
  ): Promise<FakeKms> {
    const kms = new FakeKms(clock, regions);
    for (const region of kms.regions.values()) await region.listen();
    return kms;
  }

  /** The Region that was named first, or another one. */
  region(name?: string): FakeKmsRegion {
    const found = name === undefined ? [...this.regions.values()][0] : this.regions.get(name);
    if (found === undefined) throw new Error(`no Region ${name}`);
    return found;
  }

  /** For `kms.endpoints`. */
  get endpoints(): readonly string[] {
    return [...this.regions.values()].map((region) => `${region.name}=${region.url}`);
  }

  /** Makes a symmetric key. @returns its ARN */
  makeWrappingKey(region: string = this.region().name): string {
    const account = this.account;
    const input = { KeySpec: 'SYMMETRIC_DEFAULT', KeyUsage: 'ENCRYPT_DECRYPT' };
    KMS_OPERATIONS.CreateKey?.run({ account, region, input, key: undefined });
    return account.keysIn(region).at(-1)?.arn ?? '';
  }

  /** Calls of an operation so far. */
  count(operation: string): number {
    return this.calls.filter((call) => call.operation === operation).length;
  }

  async stop(): Promise<void> {
    for (const region of this.regions.values()) await region.close();
  }
}

/** One Region's endpoint. */
export class FakeKmsRegion {
  readonly name: string;
  readonly faults: KmsFaults;
  readonly quotas: KmsQuotas;
  /** How far its clock is ahead of the machine's. */
  skewMs = 0;
  /** Connections that it has accepted. */
  connections = 0;
  readonly #kms: FakeKms;
  #server: Server | undefined;
  #port = 0;

  constructor(kms: FakeKms, name: string) {
    this.#kms = kms;
    this.name = name;
    this.faults = new KmsFaults(kms.account.clock);
    this.quotas = new KmsQuotas(kms.account.clock);
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Listens, on the same port as before. */
  async listen(): Promise<void> {
    const server = createServer((request, response) => void this.#serve(request, response));
    this.#server = server;
    server.on('connection', () => {
      this.connections += 1;
    });
    server.listen({ host: '127.0.0.1', port: this.#port });
    await once(server, 'listening');
    this.#port = (server.address() as AddressInfo).port;
  }

  /** From now on connections are refused, and those that stand are cut. */
  async close(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.headers['content-type'] === 'application/x-www-form-urlencoded') {
      await this.#sayWhoCalls(request, response);
      return;
    }
    const operation = /^TrentService\.(\w+)$/.exec(String(request.headers['x-amz-target']))?.[1];
    try {
      const body = await bodyOf(request);
      const input = JSON.parse(body) as KmsInput;
      const record: KmsCallRecord = {
        region: this.name,
        operation: operation ?? '',
        input,
        error: undefined,
      };
      this.#kms.calls.push(record);
      const effects = this.faults.effectsOn(record.operation, this.#named(input)?.id);
      if (effects.some(({ kind }) => kind === 'silence')) return;
      for (const effect of effects) if (effect.kind === 'latency') await this.#wait(effect.ms);
      const cut = effects.find((effect) => effect.kind === 'cut');
      let answer: Record<string, unknown>;
      try {
        if (cut !== undefined && cut.after !== true) {
          response.destroy();
          return;
        }
        const accessKeyId = this.#authenticate(request, body);
        answer = this.#answer(record.operation, input, { accessKeyId, effects });
      } catch (error) {
        if (error instanceof KmsAnswerError) record.error = error.type;
        throw error;
      }
      if (cut !== undefined) response.destroy();
      else this.#reply(response, 200, answer);
    } catch (error) {
      if (!(error instanceof KmsAnswerError)) throw error;
      const isJson = error.type !== '';
      const body = isJson ? { __type: error.type, message: error.message } : undefined;
      this.#reply(response, error.status, body);
    }
  }

  /**
   * STS at the same address, as emulators have it:
   * https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
   */
  async #sayWhoCalls(request: IncomingMessage, response: ServerResponse): Promise<void> {
    await bodyOf(request);
    response.writeHead(200, { 'content-type': 'text/xml' });
    response.end(
      `<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>${CALLER_ARN}</Arn></GetCallerIdentityResult></GetCallerIdentityResponse>`,
    );
  }

  /** The form of an answer: https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html */
  #reply(response: ServerResponse, status: number, body: object | undefined): void {
    response.writeHead(status, {
      'content-type': body === undefined ? 'text/html' : 'application/x-amz-json-1.1',
      'x-amzn-requestid': randomUUID(),
      date: new Date(Date.now() + this.skewMs).toUTCString(),
    });
    response.end(body === undefined ? '<html>Bad Gateway</html>' : JSON.stringify(body));
  }

  /**
   * When and for which Region a request was signed is checked; and its signature, of one caller.
   *
   * @returns the caller's access key id
   */
  #authenticate(request: IncomingMessage, body: string): string {
    const scope = /Credential=([^/]+)\/\d{8}\/([^/]+)\/kms\/aws4_request/.exec(
      request.headers.authorization ?? '',
    );
    if (scope === null) {
      throw new KmsAnswerError(
        'MissingAuthenticationTokenException',
        'Missing Authentication Token',
      );
    }
    const [, accessKeyId = '', region] = scope;
    if (region !== this.name) {
      const message = `Credential should be scoped to a valid region, not '${region}'.`;
      throw new KmsAnswerError('InvalidSignatureException', message);
    }
    const written = String(request.headers['x-amz-date']);
    const iso = written.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z');
    const now = Date.now() + this.skewMs;
    if (!(Math.abs(Date.parse(iso) - now) <= MAX_SKEW_MS)) {
      const message = `Signature expired: ${written} is now earlier than ${new Date(now).toISOString()}`;
      throw new KmsAnswerError('InvalidSignatureException', message);
    }
    const { method = '', url = '', headers } = request;
    const signature = expectedSignature(method, url, headers, body, SECRETS.AKIDEXAMPLE);
    if (signature === undefined || !Object.hasOwn(SECRETS, accessKeyId)) return accessKeyId;
    if (signature.given === signature.expected) return accessKeyId;
    const message =
      'The request signature we calculated does not match the signature you provided.';
    throw new KmsAnswerError('InvalidSignatureException', message);
  }

  #answer(
    name: string,
    input: KmsInput,
    {
      accessKeyId,
      effects,
    }: { readonly accessKeyId: string; readonly effects: readonly KmsEffect[] },
  ): Record<string, unknown> {
    const row = KMS_OPERATIONS[name];
    if (row === undefined) throw new KmsAnswerError('UnknownOperationException', name);
    const { account } = this.#kms;
    const key = this.#keyOf(input);
    const context: KmsCallContext = { account, region: this.name, input, key };
    this.quotas.count(row.quota(context));
    for (const effect of effects) if (effect.kind === 'error') throw errorOf(effect);
    const asked = { operation: name, region: this.name, key, context: contextOf(input), input };
    const call = { ...asked, accessKeyId };
    if (!this.#kms.conditions.every((condition) => condition(call))) {
      const message = `not authorized to perform: kms:${name} because no identity-based policy allows it`;
      throw new KmsAnswerError('AccessDeniedException', message);
    }
    if (key !== undefined) checkKey(row, key);
    if (input.DryRun === true) {
      if (row.dryRun !== true) throw invalid('DryRun');
      // https://docs.aws.amazon.com/kms/latest/developerguide/testing-permissions.html
      const message = 'The request would have succeeded, but the DryRun option is set.';
      throw new KmsAnswerError('DryRunOperationException', message, 412);
    }
    const answer = row.run(context);
    if (!effects.some(({ kind }) => kind === 'wrong-signature')) return answer;
    const signature = Buffer.from(String(answer.Signature), 'base64');
    signature.writeUInt8(signature.readUInt8(20) ^ 1, 20);
    return { ...answer, Signature: signature.toString('base64') };
  }

  #keyOf(input: KmsInput): KmsKey | undefined {
    const { account } = this.#kms;
    if (typeof input.KeyId === 'string') return account.find(this.name, input.KeyId);
    if (typeof input.CiphertextBlob !== 'string') return undefined;
    const blob = Buffer.from(input.CiphertextBlob, 'base64');
    return account.find(this.name, keyIdOfCiphertext(blob));
  }

  #named(input: KmsInput): KmsKey | undefined {
    try {
      return this.#keyOf(input);
    } catch {
      return undefined;
    }
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#kms.account.clock.after(ms, resolve);
    });
  }
}

/** https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html#key-state-table */
function checkKey(row: KmsOperationRow, key: KmsKey): void {
  const pending = key.state === 'PendingDeletion' || key.state === 'PendingReplicaDeletion';
  const invalidState = (what: string) =>
    new KmsAnswerError('KMSInvalidStateException', `${key.arn} ${what}.`);
  if (row.states === 'pending' && !pending) throw invalidState('is not pending deletion');
  if (row.states === 'not-pending' && pending) throw invalidState('is pending deletion');
  if (row.states === 'enabled') {
    if (pending) throw invalidState('is pending deletion');
    if (key.state === 'Creating') throw invalidState('is creating');
    if (key.state === 'Disabled') {
      throw new KmsAnswerError('DisabledException', `${key.arn} is disabled.`);
    }
  }
  if (row.usage !== undefined && row.usage !== key.usage) {
    const message = `${key.arn} key usage is ${key.usage} which is not valid for this operation.`;
    throw new KmsAnswerError('InvalidKeyUsageException', message);
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > MAX_BODY_BYTES) throw invalid('the request is too large');
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}
