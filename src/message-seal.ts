import type { Clock } from './base/clock.ts';
import { errorMessage } from './base/errors.ts';
import { findAuthor } from './mail/author.ts';
import type { Client } from './mail/client.ts';
import type { Mailbox, MailParameters } from './mail/envelope.ts';
import {
  fieldsNamed,
  fieldValue,
  type HeaderField,
  type MessageHeader,
} from './mail/header-fields.ts';
import { dateField, messageIdField, receivedField } from './mail/received.ts';
import { type LocalReply, localReply } from './mail/reply.ts';
import type { SigningKey, SigningKeyring } from './mail/signer.ts';
import type { ContentFacts } from './mail/transaction.ts';
import type { Intake } from './message-intake.ts';
import { type ContentPolicy, contentRules } from './policy/content-rules.ts';
import { judge } from './policy/rule.ts';
import type { SignatureOptions } from './sign/dkim-signature.ts';
import { signMessage } from './sign/sign-message.ts';
import { planSigning, type SigningPolicy } from './sign/signing-plan.ts';
import type { TransactionJournal } from './transaction-journal.ts';

export interface SealOptions {
  readonly clock: Clock;
  readonly keyring: SigningKeyring;
  readonly content: ContentPolicy;
  readonly signing: SigningPolicy;
  readonly signature: SignatureOptions;
  /** Our name, an FQDN. */
  readonly by: string;
  readonly hideClient: boolean;
  readonly addDate: boolean;
  readonly addMessageId: boolean;
}

/** A message whose final dot has come. */
export interface MessageToSeal {
  readonly id: string;
  readonly client: Client;
  readonly mail: MailParameters;
  readonly recipients: readonly Mailbox[];
  readonly facts: ContentFacts;
  readonly intake: Intake;
  readonly journal: TransactionJournal;
  /** Monotonic time at which the client has to have its reply. */
  readonly dueMs: number;
}

export type Sealed =
  /** `prefix`: the fields to send on top of the message. */
  | { readonly kind: 'sealed'; readonly prefix: Buffer }
  | { readonly kind: 'refused'; readonly reply: LocalReply };

const MAX_SIGNING_MS = 60_000;

/** Judges a whole message and signs it: the last step before its content goes to an MX. */
export class MessageSeal {
  readonly #options: SealOptions;

  constructor(options: SealOptions) {
    this.#options = options;
  }

  /**
   * Content rules, author, signing plan, signatures, trace fields. Whatever fails in signing is
   * 451 4.7.5; nothing leaves unsigned because of a fault. Never rejects.
   */
  async seal(message: MessageToSeal): Promise<Sealed> {
    const { intake, journal, facts } = message;
    if (intake.kind === 'failed') {
      if (intake.fault !== undefined) journal.notes.push(intake.fault);
      return { kind: 'refused', reply: intake.reply };
    }
    const { header, bodyHash } = intake;
    journal.messageId = fieldsNamed(header, 'message-id').map(fieldValue)[0];
    const { content: policy } = this.#options;
    const receivedFields = fieldsNamed(header, 'received').length;
    const refusal = judge(contentRules, { content: facts, receivedFields, policy });
    if (refusal !== undefined) return { kind: 'refused', reply: refusal };
    const author = findAuthor(header);
    if (author.kind === 'refused') return author;
    return this.#sign(message, header, bodyHash, author.domain);
  }

  async #sign(
    message: MessageToSeal,
    header: MessageHeader,
    bodyHash: Buffer,
    authorDomain: string,
  ): Promise<Sealed> {
    const { clock, keyring, signing, signature } = this.#options;
    const { mail, journal } = message;
    const nullReversePath = mail.reversePath === undefined;
    const planNow = () => planSigning({ authorDomain, nullReversePath }, keyring, signing);
    const plan = planNow();
    if (plan.kind === 'refuse') return { kind: 'refused', reply: plan.reply };
    if (plan.kind === 'defer') {
      journal.notes.push(plan.reason);
      return { kind: 'refused', reply: plan.reply };
    }
    const wallMs = clock.wallMs();
    const added = this.#addedFields(message, header, wallMs);
    const received = this.#receivedField(message, wallMs);
    if (plan.kind === 'unsigned') {
      journal.unsigned = plan.why;
      return { kind: 'sealed', prefix: Buffer.concat([received, ...added].map(octetsOf)) };
    }
    const bound = this.#boundSigning(plan.keys, message.dueMs);
    const used = new Map(plan.keys.map((key) => [key, key]));
    try {
      const signatures = await signMessage({
        fields: [...added, ...header.fields],
        bodyHash,
        keys: plan.keys,
        options: signature,
        nowS: Math.floor(wallMs / 1000),
        signal: bound?.signal,
        keysNow: () => {
          const now = planNow();
          return now.kind === 'sign' ? now.keys : [];
        },
        onSubstitute: (key, other) => {
          used.set(key, other);
          keyring.signedInstead?.(other);
          journal.notes.push(`${other.selector} signed, since ${key.selector} could not`);
        },
      });
      journal.signed([...used.values()]);
      const prefix = Buffer.concat([received.octets, signatures, ...added.map(octetsOf)]);
      return { kind: 'sealed', prefix };
    } catch (error) {
      journal.notes.push(errorMessage(error));
      const text = `Signing for ${authorDomain} failed, try again later`;
      return { kind: 'refused', reply: localReply(451, '4.7.5', 'signing.failed', text) };
    } finally {
      bound?.cancel();
    }
  }

  /** A time limit for signers that wait for the network; local ones need none. */
  #boundSigning(
    keys: readonly SigningKey[],
    dueMs: number,
  ): { readonly signal: AbortSignal; readonly cancel: () => void } | undefined {
    if (!keys.some(({ signer }) => signer.remote)) return undefined;
    const { clock } = this.#options;
    const overdue = new AbortController();
    const cancel = clock.after(signingTimeMs(dueMs, clock), () => overdue.abort());
    return { signal: overdue.signal, cancel };
  }

  /** Date and Message-ID where they are missing and the configuration adds them. */
  #addedFields({ id }: MessageToSeal, header: MessageHeader, wallMs: number): HeaderField[] {
    const { addDate, addMessageId, by } = this.#options;
    const lacks = (name: string) => !header.fields.some((field) => field.name === name);
    const added: HeaderField[] = [];
    if (addDate && lacks('date')) added.push(dateField(wallMs));
    if (addMessageId && lacks('message-id')) added.push(messageIdField(id, by, wallMs));
    return added;
  }

  #receivedField({ id, client, mail, recipients }: MessageToSeal, wallMs: number): HeaderField {
    const { hideClient, by } = this.#options;
    return receivedField({
      client,
      hideClient,
      by,
      id,
      smtpUtf8: mail.smtpUtf8,
      recipients,
      wallMs,
    });
  }
}

function octetsOf(field: HeaderField): Buffer {
  return field.octets;
}

/** A signer gets a minute, but never more than half of what is left for the MX to answer in. */
function signingTimeMs(dueMs: number, clock: Clock): number {
  return Math.max(0, Math.min(MAX_SIGNING_MS, (dueMs - clock.monotonicMs()) / 2));
}
