import assert from 'node:assert/strict';
import { checkCertificates } from '../../../src/base/certificates.ts';
import { testCertificate } from '../../support/mx-certificate.ts';

describe('files of trusted certificates', () => {
  const { cert, key } = testCertificate('ca.example');

  it('may hold one or several, with text around them', () => {
    checkCertificates('relay.caFile', cert);
    checkCertificates('relay.caFile', Buffer.from(`first\n${cert}\r\nsecond\n${cert}`));
  });

  const bad: [string, string, RegExp][] = [
    ['nothing', '', /^relay\.caFile: there is no certificate/],
    ['junk', 'junk', /there is no certificate/],
    ['a key', key, /there is no certificate/],
    ['one that breaks off', cert.slice(0, 200), /there is no certificate/],
    [
      'a broken one behind a good one',
      cert + cert.replace(/\nMII../, '\nAAAA'),
      /certificate 2 of 2/,
    ],
  ];
  for (const [what, pem, message] of bad) {
    it(`may not hold ${what}`, () => {
      assert.throws(() => checkCertificates('relay.caFile', pem), {
        code: 'tls-material-invalid',
        message,
      });
    });
  }
});
