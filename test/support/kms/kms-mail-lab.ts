import { join } from 'node:path';
import type { BackendName } from '../../../src/keys/backend-names.ts';
import { domainEntry } from '../../../src/keys/import/take-over.ts';
import { keyAlgorithmNamed } from '../../../src/keys/key-algorithm.ts';
import { recordName } from '../../../src/keys/key-name.ts';
import { recordValue } from '../../../src/keys/key-record.ts';
import type { KeyState } from '../../../src/keys/key-state.ts';
import type { KmsSettings } from '../../../src/keys/kms/kms-settings.ts';
import type { ManifestKey } from '../../../src/keys/manifest.ts';
import { FileKeyringStore } from '../../../src/keys/store/file-store.ts';
import { dotDecoded } from '../dot-decoded.ts';
import { MailLab } from '../mail-lab.ts';
import { RawClient } from '../raw-client.ts';
import { mailauthVerdicts } from '../test-signer.ts';
import { waitFor } from '../wait-for.ts';
import { KmsLab } from './kms-lab.ts';

/** A key that the lab put into the keyring. */
export interface LabKey {
  readonly domain: string;
  readonly key: ManifestKey;
}

/** `waxseal serve` as a process, one MX at sink.test, and the in-repo KMS. `file.test` has keys in files. */
export class KmsMailLab {
  readonly kms: KmsLab;
  readonly mail: MailLab;
  readonly #keys: LabKey[] = [];

  private constructor(kms: KmsLab, mail: MailLab) {
    this.kms = kms;
    this.mail = mail;
  }

  static async start(
    settings: Partial<KmsSettings> = {},
    regions: readonly string[] = ['eu-central-1'],
  ): Promise<KmsMailLab> {
    const kms = await KmsLab.start({ regions });
    const mail = await MailLab.start({ 'sink.test': {} }, ['file.test'], {
      kms: {
        regions,
        endpoints: kms.server.endpoints,
        wrappingKey: kms.wrappingKey,
        ...settings,
      },
    });
    return new KmsMailLab(kms, mail);
  }

  /** Makes a key in KMS and writes it into the keyring; `reload` puts it in force. */
  async addKey(
    backend: BackendName,
    domain: string,
    algorithm: string,
    state: KeyState = 'active',
  ): Promise<LabKey> {
    const row = keyAlgorithmNamed(algorithm);
    if (row === undefined) throw new Error(`no algorithm ${algorithm}`);
    const selector = `${backend}-${row.selectorLetter}${this.#keys.length + 1}`;
    const connected = await this.kms.connect(backend);
    const identity = { domain, selector, algorithm };
    const { publicKey, material } = await connected.create(identity, selector, 'now');
    const now = new Date().toISOString();
    const key: ManifestKey = {
      selector,
      algorithm,
      backend,
      state,
      publicKey: row.recordOctets(publicKey).toString('base64'),
      ttlS: 3600,
      createdAt: now,
      activatedAt: state === 'active' ? now : undefined,
      retiringSince: undefined,
      material,
    };
    const store = new FileKeyringStore(join(this.mail.waxseal.dir, 'keys'));
    await store.change(async (current) => {
      const entry = domainEntry(current, domain);
      return { domain: { ...entry, keys: [...entry.keys, key] }, result: undefined };
    });
    this.#keys.push({ domain, key });
    return { domain, key };
  }

  async reload(): Promise<void> {
    const { waxseal } = this.mail;
    const reloads = () => waxseal.records.filter(({ event }) => event === 'reloaded').length;
    const before = reloads();
    waxseal.signal('SIGHUP');
    await waitFor('the reload', () => reloads() > before);
  }

  /** Ends `serve` and starts it again. */
  async restart(): Promise<void> {
    await this.mail.waxseal.end();
    this.mail.waxseal.records.length = 0;
    await this.mail.waxseal.serve();
  }

  /** Sends one message in a session of its own. @returns the last reply */
  async send(domain: string, subject = 'hello'): Promise<string> {
    const client = await RawClient.session(this.mail.waxseal.port);
    try {
      const message = `From: author@${domain}\r\nTo: a@sink.test\r\nSubject: ${subject}\r\n\r\nbody\r\n`;
      return await client.send(`bounce@${domain}`, ['a@sink.test'], Buffer.from(message));
    } finally {
      client.close();
    }
  }

  /** Tries again, as a queue does, until it is accepted. */
  async sendUntilAccepted(domain: string): Promise<void> {
    await waitFor(`mail of ${domain} to be accepted`, async () =>
      (await this.send(domain)).startsWith('250'),
    );
  }

  /** Messages that the MX has. */
  get contents(): readonly string[] {
    return this.mail.mx('sink.test').contents;
  }

  /** Octets of content that the MX ever got, of messages that never ended too. */
  get contentBytes(): number {
    return this.mail
      .mx('sink.test')
      .sessions.reduce((sum, { content, contents }) => sum + content.length + contents.length, 0);
  }

  /** What mailauth says of the last message, and which selectors signed it. */
  async verdicts(): Promise<{ readonly verdicts: string[]; readonly selectors: string[] }> {
    const content = this.contents.at(-1) ?? '';
    const records = this.#keys.map(({ domain, key }) => ({
      recordName: recordName(key.selector, domain),
      record: recordValue(key),
    }));
    const verdicts = await mailauthVerdicts(
      dotDecoded(Buffer.from(content, 'latin1')),
      records,
      Math.floor(Date.now() / 1000),
    );
    const selectors = [...content.matchAll(/[\s;]s=([a-z0-9-]+);/g)].map(([, name = '']) => name);
    return { verdicts, selectors };
  }

  /** Warnings of the relay about KMS. */
  get alerts(): readonly string[] {
    return this.mail.waxseal.records
      .filter(({ event, about }) => event === 'warning' && about === 'kms')
      .map(({ message }) => String(message));
  }

  async stop(): Promise<void> {
    await this.mail.stop();
    await this.kms.stop();
  }
}
