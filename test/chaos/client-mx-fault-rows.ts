import { type Heard, messageOf } from '../support/client-lab.ts';
import type { LabDomain } from '../support/mail-lab.ts';
import type { MxScript, MxSession } from '../support/mx.ts';
import { testCertificate } from '../support/mx-certificate.ts';

/*
 * The rows of the fault matrix that one MX and one message can show: what the MX does, what the
 * client must hear at which command, and how the record ends.
 */

/** Larger than what stands in memory and in socket buffers, so that it is still being sent. */
const BIG = messageOf('big', 'a line of the body\r\n'.repeat(800_000));
export const SMALL = messageOf('small');
const CERTIFICATE = testCertificate('elsewhere.test');

type OnContent = NonNullable<MxScript['content']>;

/** One row. */
export interface Fault extends LabDomain {
  readonly at: Heard['at'];
  readonly heard: RegExp;
  readonly outcome: RegExp;
  readonly content?: Buffer;
  readonly parameters?: string;
  /** Parts of the record's `remote`. */
  readonly tls?: RegExp;
}

/** Says something once, as soon as the first octet of content is there. */
function amid(words: string): OnContent {
  return (session) => {
    if (session.content.length > 0 && !session.commands.includes('(said)')) {
      session.commands.push('(said)');
      session.write(words);
    }
  };
}

function resetAt(octets: number): OnContent {
  return (session) => {
    if (session.content.length >= octets) session.reset();
  };
}

const none = { extensions: [] };
const deferred = /^deferred$/;
const rejected = /^rejected$/;
const inDoubt = /^in-doubt$/;
const accepted = /^accepted$/;
const untrusted = /^451 4\.5\.0 .*\[waxseal relay\.\S+ \S+\]$/s;
export const lost = /^451 4\.4\.2 .*\[waxseal relay\.\S+ \S+\]$/s;

/** By name. */
export const FAULTS: Readonly<Record<string, Fault>> = {
  'row 9: 421 as greeting': {
    script: { greeting: '421 4.3.2 busy' },
    at: 'RCPT',
    heard: /^451-4\.4\.1 .*\n451 4\.4\.1 .*busy.*\[waxseal relay\.no-host \S+\]$/,
    outcome: deferred,
  },
  'row 9: 554 as greeting': {
    script: { greeting: '554 5.7.1 not from there' },
    at: 'RCPT',
    heard: /^554 5\.7\.1 not from there$/,
    outcome: rejected,
  },
  'row 11: STARTTLS refused, then plain text': {
    script: { starttls: '454 4.7.0 not now' },
    options: { tls: CERTIFICATE },
    at: '.',
    heard: /^250 2\.0\.0 queued$/,
    outcome: accepted,
    tls: /^none$/,
  },
  'row 11: handshake dropped, then plain text': {
    script: {
      starttls: (session) => {
        session.write('220 ready\r\n');
        session.drop();
        return undefined;
      },
    },
    options: { tls: CERTIFICATE },
    at: '.',
    heard: /^250 2\.0\.0 queued$/,
    outcome: accepted,
    tls: /^none$/,
  },
  'row 11: a certificate of somebody else': {
    options: { tls: CERTIFICATE },
    at: '.',
    heard: /^250 2\.0\.0 queued$/,
    outcome: accepted,
    tls: /^TLSv1\.3 \S+ unverified$/,
  },
  'row 13: octets behind the answer to STARTTLS': {
    script: { starttls: '220 ready\r\n250 mx.test\r\n' },
    options: { tls: CERTIFICATE },
    at: 'RCPT',
    heard: /^451-4\.7\.5 .*\n451 4\.7\.5 .*STARTTLS.*\[waxseal relay\.tls \S+\]$/,
    outcome: deferred,
  },
  'row 14: MAIL refused for now': {
    script: { mail: '451 4.3.0 later' },
    at: 'RCPT',
    heard: /^451 4\.3\.0 later$/,
    outcome: deferred,
  },
  'row 14: MAIL refused for good': {
    script: { mail: '550-5.7.1 no\r\n550 5.7.1 never\r\n' },
    at: 'RCPT',
    heard: /^550-5\.7\.1 no\n550 5\.7\.1 never$/,
    outcome: rejected,
  },
  'row 15: RCPT 450': {
    script: { rcpt: '450 4.2.1 greylisted' },
    at: 'RCPT',
    heard: /^450 4\.2\.1 greylisted$/,
    outcome: deferred,
  },
  'row 15: RCPT 550, without an enhanced code': {
    script: { rcpt: '550 no such user' },
    at: 'RCPT',
    heard: /^550 5\.0\.0 no such user$/,
    outcome: rejected,
  },
  'row 15: RCPT 421 is 451 to the client, whose session lives': {
    script: { rcpt: '421 4.3.2 going away' },
    at: 'RCPT',
    heard: /^451 4\.3\.2 going away$/,
    outcome: deferred,
  },
  'row 23: DATA 451': {
    script: { data: '451 4.3.1 no room' },
    at: 'DATA',
    heard: /^451 4\.3\.1 no room$/,
    outcome: deferred,
  },
  'row 23: DATA 554': {
    script: { data: '554 5.5.1 no' },
    at: 'DATA',
    heard: /^554 5\.5\.1 no$/,
    outcome: rejected,
  },
  'row 23: DATA 250': {
    script: { data: '250 2.0.0 ok' },
    at: 'DATA',
    heard: untrusted,
    outcome: deferred,
  },
  'row 23: DATA garbage': {
    script: { data: 'go ahead!' },
    at: 'DATA',
    heard: untrusted,
    outcome: deferred,
  },
  'row 24: reset at the first octet': {
    script: { content: resetAt(1) },
    content: BIG,
    at: '.',
    heard: lost,
    outcome: deferred,
  },
  'row 24: reset half-way': {
    script: { content: resetAt(4_000_000) },
    content: BIG,
    at: '.',
    heard: lost,
    outcome: /^deferred$|^in-doubt$/,
  },
  'row 24: reset at the last octet': {
    script: {
      content: (session) => {
        if (session.content.subarray(-5).toString() === '\r\n.\r\n') session.reset();
      },
      dot: () => undefined,
    },
    at: '.',
    heard: lost,
    outcome: inDoubt,
  },
  'row 25: a refusal amid the content': {
    script: { content: amid('552 5.2.2 mailbox full\r\n') },
    content: BIG,
    at: '.',
    heard: /^552 5\.2\.2 mailbox full$/,
    outcome: rejected,
  },
  'row 25: 421 amid the content': {
    script: { content: amid('421 4.3.2 going down\r\n') },
    content: BIG,
    at: '.',
    heard: /^451 4\.\d\.\d .*going down/,
    outcome: deferred,
  },
  'row 26: an MX that reads nothing': {
    script: {
      data: (session) => {
        session.pause();
        return '354 go';
      },
    },
    content: BIG,
    at: '.',
    heard: /^451 4\.4\.2 .*\[waxseal relay\.timeout \S+\]$/s,
    outcome: deferred,
  },
  'row 27: dot 4xx, verbatim': {
    script: { dot: '452-4.2.2 over quota\r\n452 4.2.2 ask again\r\n' },
    at: '.',
    heard: /^452-4\.2\.2 over quota\n452 4\.2\.2 ask again$/,
    outcome: deferred,
  },
  'row 27: dot 5xx, verbatim': {
    script: { dot: '554-5.7.1 Spam? See\r\n554-5.7.1 https://mx.test/why\r\n554 5.7.1 [7]\r\n' },
    at: '.',
    heard: /^554-5\.7\.1 Spam\? See\n554-5\.7\.1 https:\/\/mx\.test\/why\n554 5\.7\.1 \[7\]$/,
    outcome: rejected,
  },
  'row 29: FIN behind the dot': {
    script: { dot: (session) => session.drop() as undefined },
    at: '.',
    heard: lost,
    outcome: inDoubt,
  },
  'row 29: RST behind the dot': {
    script: { dot: (session) => session.reset() as undefined },
    at: '.',
    heard: lost,
    outcome: inDoubt,
  },
  'row 30: 421 behind the dot': {
    script: { dot: '421 4.3.2 closing' },
    at: '.',
    heard: /^451 4\.3\.2 closing$/,
    outcome: deferred,
  },
  'row 31: endless lines for RCPT': {
    script: { rcpt: Buffer.from('250-and\r\n'.repeat(200_000)) },
    at: 'RCPT',
    heard: untrusted,
    outcome: deferred,
  },
  'row 31: a line of 10 MB for RCPT': {
    script: { rcpt: Buffer.alloc(10_000_000, '250 x') },
    at: 'RCPT',
    heard: untrusted,
    outcome: deferred,
  },
  'row 31: an endless line for the dot': {
    script: { dot: Buffer.alloc(10_000_000, '250 x') },
    at: '.',
    heard: untrusted,
    outcome: inDoubt,
  },
  'row 31: a reply that trickles': {
    script: { rcpt: trickle },
    at: 'RCPT',
    heard: /^451 4\.4\.2 .*\[waxseal relay\.timeout \S+\]$/s,
    outcome: deferred,
  },
  'row 33: differing codes for RCPT': {
    script: { rcpt: '250-ok\r\n550 no\r\n' },
    at: 'RCPT',
    heard: untrusted,
    outcome: deferred,
  },
  'row 33: differing codes for the dot': {
    script: { dot: '250-ok\r\n550 no\r\n' },
    at: '.',
    heard: untrusted,
    outcome: inDoubt,
  },
  'row 33: a code of two digits': {
    script: { dot: '25\r\n' },
    at: '.',
    heard: untrusted,
    outcome: inDoubt,
  },
  'row 33: 999': {
    script: { dot: '999 ok' },
    at: '.',
    heard: untrusted,
    outcome: inDoubt,
  },
  'row 33: an empty line': {
    script: { rcpt: '\r\n' },
    at: 'RCPT',
    heard: untrusted,
    outcome: deferred,
  },
  'row 34: 250 along with 354': {
    script: { data: '354 go\r\n250 2.0.0 queued\r\n' },
    at: 'DATA',
    heard: untrusted,
    outcome: deferred,
  },
  'row 34: 250 amid the content': {
    script: { content: amid('250 2.0.0 queued\r\n') },
    content: BIG,
    at: '.',
    heard: untrusted,
    outcome: deferred,
  },
  'row 44: no 8BITMIME': {
    options: none,
    parameters: ' BODY=8BITMIME',
    at: 'RCPT',
    heard: /^550 5\.6\.3 .*\[waxseal relay\.8bitmime \S+\]$/,
    outcome: rejected,
  },
  'row 44: no SMTPUTF8': {
    options: none,
    parameters: ' SMTPUTF8',
    at: 'RCPT',
    heard: /^550 5\.6\.7 .*\[waxseal relay\.smtputf8 \S+\]$/,
    outcome: rejected,
  },
  'row 44: SIZE too small, our fields included': {
    options: { extensions: ['SIZE 5000'] },
    parameters: ' SIZE=4990',
    at: 'RCPT',
    heard: /^552 5\.3\.4 .*\[waxseal relay\.size \S+\]$/,
    outcome: rejected,
  },
};

/** An octet now and then, for as long as the connection stands. */
function trickle(session: MxSession): undefined {
  session.write('250 ');
  const timer = setInterval(() => session.write('x'), 100);
  void session.closed.then(() => clearInterval(timer));
  return undefined;
}
