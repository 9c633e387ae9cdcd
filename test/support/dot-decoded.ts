/**
 * Content as an MX understands it: the final `.CRLF` taken off, one leading dot of each line removed
 * (RFC 5321 section 4.5.2). Slow and plain on purpose.
 */
export function dotDecoded(received: Buffer): Buffer {
  const text = received.toString('latin1').replace(/\.\r\n$/, '');
  return Buffer.from(text.replace(/(^|\r\n)\./g, '$1'), 'latin1');
}
