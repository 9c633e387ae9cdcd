import assert from 'node:assert/strict';
import type { PeerCertificate } from 'node:tls';
import { certificateNames } from '../../../src/accept/certificate-names.ts';

const names = (certificate: object): string[] => certificateNames(certificate as PeerCertificate);

describe('certificateNames', () => {
  it('takes the common name and the DNS and e-mail names, each once', () => {
    assert.deepEqual(
      names({
        subject: { CN: 'Mail.example' },
        subjectaltname: 'DNS:mail.example, DNS:b.example, IP Address:192.0.2.1, email:a@b.example',
      }),
      ['mail.example', 'b.example', 'a@b.example'],
    );
  });

  it('is not fooled by a quoted name that holds a separator', () => {
    assert.deepEqual(names({ subject: {}, subjectaltname: 'DNS:"x, DNS:evil.example"' }), []);
  });

  it('copes with several common names and with none', () => {
    assert.deepEqual(names({ subject: { CN: ['one', 'two'] } }), ['one', 'two']);
    assert.deepEqual(names({}), []);
  });
});
