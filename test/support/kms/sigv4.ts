import { createHash, createHmac } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

/**
 * The signature that a request must have, worked out from the request as it arrived:
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 *
 * @returns undefined when its header Authorization is not of this form
 */
export function expectedSignature(
  method: string,
  url: string,
  headers: IncomingHttpHeaders,
  body: string,
  secret: string,
): { readonly accessKeyId: string; readonly given: string; readonly expected: string } | undefined {
  const [, accessKeyId = '', scope = '', names = '', given = ''] =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
      headers.authorization ?? '',
    ) ?? [];
  if (given === '') return undefined;
  const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
  const [path = '', query = ''] = url.split('?');
  const canonical = [
    method,
    path,
    query,
    ...names
      .split(';')
      .map((name) => `${name}:${String(headers[name]).trim().replace(/\s+/g, ' ')}`),
    '',
    names,
    sha256(body),
  ].join('\n');
  const toSign = `AWS4-HMAC-SHA256\n${headers['x-amz-date']}\n${scope}\n${sha256(canonical)}`;
  const key = scope
    .split('/')
    .reduce<Buffer>(
      (octets, part) => createHmac('sha256', octets).update(part).digest(),
      Buffer.from(`AWS4${secret}`),
    );
  return { accessKeyId, given, expected: createHmac('sha256', key).update(toSign).digest('hex') };
}
