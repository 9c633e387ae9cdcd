import { randomUUID } from 'node:crypto';

/**
 * A small message for trying things out.
 *
 * @param from address of the author; for the null reverse-path a name at `localhost` stands in
 */
export function testMessage(from: string, to: readonly string[], date: Date): Buffer {
  const author = from === '' ? 'postmaster@localhost' : from;
  const domain = author.slice(author.lastIndexOf('@') + 1);
  const lines = [
    `From: <${author}>`,
    `To: ${to.map((address) => `<${address}>`).join(',\r\n ')}`,
    'Subject: A test of Waxseal',
    `Date: ${date.toUTCString().replace('GMT', '+0000')}`,
    `Message-ID: <${randomUUID()}@${domain}>`,
    'MIME-Version: 1.0',
    'Content-Type: text/plain; charset=utf-8',
    '',
    'This message was made by "waxseal send", to try out the way of mail.',
    '',
  ];
  return Buffer.from(lines.join('\r\n'), 'utf8');
}
