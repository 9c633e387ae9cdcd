import type convict from 'convict';
import type { Config } from './config.ts';
import { rotationSchema } from './rotation-schema.ts';
import {
  directory,
  file,
  integer,
  milliseconds,
  oneOf,
  serviceUrl,
  text,
} from './scalar-formats.ts';
import { setting } from './setting.ts';

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

/** Where the keys are, and how a relay follows what changes there. */
export const keysSchema: convict.Schema<Config['keys']> = {
  dir: setting(
    directory,
    'keys',
    'Directory of the keyring: the manifests of domains, the encrypted private keys, the journal, the reports of relays. Not used with another `keys.store.kind` than `file`.',
  ),
  masterKeyFile: setting(
    file,
    'secrets/master.key',
    'Key that encrypts the private keys. Keep it outside `keys.dir`, and keep a copy of it: without it every private key is lost.',
  ),
  watchMs: setting(
    milliseconds(100, HOUR_MS),
    2000,
    'How often a running relay looks whether the keyring changed; it takes a change over at once, without a reload. Above a few seconds `keys emergency` takes effect late.',
  ),
  maxStaleMs: setting(
    milliseconds(60_000, 30 * DAY_MS),
    DAY_MS,
    'A relay that could not confirm the keyring for so long signs nothing (451 4.7.5), since a key of it may be revoked by now. Old keys are revoked only after this time has passed too.',
  ),
  recheckMs: setting(
    milliseconds(0, 7 * DAY_MS),
    HOUR_MS,
    'How often a relay looks whether the DNS records of its active and retiring keys still stand; it reports what it finds in the log and goes on signing. 0: never.',
  ),
  store: {
    kind: setting(
      oneOf('file', 'kubernetes', 's3'),
      'file',
      'Where the keyring is kept. `file`: in `keys.dir`. `kubernetes`: in ConfigMaps, by the service account of the pod. `s3`: in a bucket, with the credentials that the AWS SDK finds. Private keys stand there only encrypted: under the master key, or wrapped by KMS.',
    ),
    kubernetes: {
      server: setting(
        serviceUrl,
        'https://kubernetes.default.svc',
        'URL of the API server, as a pod sees it.',
      ),
      namespace: setting(
        text,
        '',
        'Namespace of the keyring. Empty: that of the pod (file `namespace` beside the token).',
      ),
      name: setting(
        text,
        'waxseal-keyring',
        'Name of the keyring; the names of its ConfigMaps begin with it.',
      ),
      tokenFile: setting(
        file,
        '/var/run/secrets/kubernetes.io/serviceaccount/token',
        'Token of the service account; read again every minute.',
      ),
      caFile: setting(
        file,
        '/var/run/secrets/kubernetes.io/serviceaccount/ca.crt',
        'Authorities (PEM) of the API server. Empty: the ones that Node.js brings along.',
      ),
    },
    s3: {
      bucket: setting(text, '', 'Bucket of the keyring. Nothing else should write to it.'),
      prefix: setting(text, 'waxseal/', 'What the names of all objects of the keyring begin with.'),
      region: setting(text, '', 'Region of the bucket. Empty: as the AWS SDK finds it.'),
      endpoint: setting(serviceUrl, '', 'URL of a service that speaks S3. Empty: that of AWS.'),
    },
    timeoutMs: setting(
      milliseconds(100, 60_000),
      10_000,
      'How long one request to Kubernetes or S3 may take.',
    ),
    domainsPerShard: setting(
      integer(1, 1000),
      100,
      'Domains in one ConfigMap or object before the next one is begun.',
    ),
  },
  rotation: rotationSchema,
};
