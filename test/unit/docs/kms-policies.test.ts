import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import { type IamPolicy, type IamRequest, isAllowed } from '../../support/iam-policy.ts';
import { requirePeer } from '../../support/peers.ts';

const FOLDER = path.join(import.meta.dirname, '../../../docs/kms');
const FILES = readdirSync(FOLDER).filter((name) => name.endsWith('.json'));
const policy = (name: string): IamPolicy =>
  JSON.parse(readFileSync(path.join(FOLDER, name), 'utf8')) as IamPolicy;
const ALL = FILES.map(policy);

/** Actions that AWS authorizes for no single resource. */
const WITHOUT_RESOURCE = ['kms:CreateKey', 'kms:ListKeys', 'route53:ListHostedZonesByName'];

/** Keys that hold for every action on a KMS key. */
const OF_KMS_KEYS = /^(aws:ResourceTag\/.+|kms:KeyUsage)$/;
const OF_SYMMETRIC_USE = /^kms:(EncryptionAlgorithm|EncryptionContextKeys|EncryptionContext:.+)$/;

/**
 * Which condition keys an action knows; with another one a statement would never match, or always.
 * https://docs.aws.amazon.com/service-authorization/latest/reference/list_awskeymanagementservice.html
 * (and list_amazonroute53.html, list_amazons3.html, list_awsidentityandaccessmanagementiam.html)
 */
const CONDITION_KEYS: Readonly<Record<string, readonly RegExp[]>> = {
  'kms:CreateKey': [
    /^kms:(KeySpec|KeyUsage|MultiRegionKeyType|BypassPolicyLockoutSafetyCheck)$/,
    /^aws:RequestTag\/.+$/,
  ],
  'kms:TagResource': [/^aws:TagKeys$/, OF_KMS_KEYS],
  'kms:ReplicateKey': [/^kms:ReplicaRegion$/, OF_KMS_KEYS],
  'kms:Sign': [/^kms:(SigningAlgorithm|MessageType)$/, OF_KMS_KEYS],
  'kms:Decrypt': [OF_SYMMETRIC_USE, OF_KMS_KEYS],
  'kms:Encrypt': [OF_SYMMETRIC_USE, OF_KMS_KEYS],
  'kms:GenerateDataKeyPairWithoutPlaintext': [
    OF_SYMMETRIC_USE,
    OF_KMS_KEYS,
    /^kms:DataKeyPairSpec$/,
  ],
  'kms:DisableKey': [OF_KMS_KEYS],
  'kms:EnableKey': [OF_KMS_KEYS],
  'kms:CancelKeyDeletion': [OF_KMS_KEYS],
  'kms:ScheduleKeyDeletion': [OF_KMS_KEYS, /^kms:ScheduleKeyDeletionPendingWindowInDays$/],
  'iam:CreateServiceLinkedRole': [/^iam:AWSServiceName$/],
  'route53:ChangeResourceRecordSets': [
    /^route53:ChangeResourceRecordSets(NormalizedRecordNames|RecordTypes|Actions)$/,
  ],
  's3:ListBucket': [/^s3:prefix$/, /^aws:SecureTransport$/],
  's3:ListBucketVersions': [/^s3:prefix$/, /^aws:SecureTransport$/],
  's3:GetObject': [/^aws:SecureTransport$/],
  's3:PutObject': [/^s3:if-(none-)?match$/, /^aws:SecureTransport$/],
};

const WRAPPING_KEY = 'arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab';
const SIGNING_KEY = 'arn:aws:kms:eu-west-1:111122223333:key/ffffffff-12ab-34cd-56ef-1234567890ab';
const ZONE = 'arn:aws:route53:::hostedzone/Z0123456789ABCDEFGHIJ';
const BUCKET = 'arn:aws:s3:::example-waxseal-keyring';

const OURS = {
  'aws:ResourceTag/waxseal:domain': 'example.com',
  'kms:KeyUsage': 'SIGN_VERIFY',
};
const RSA = {
  'kms:SigningAlgorithm': 'RSASSA_PKCS1_V1_5_SHA_256',
  'kms:MessageType': 'DIGEST',
};
const ED25519 = { 'kms:SigningAlgorithm': 'ED25519_SHA_512', 'kms:MessageType': 'RAW' };
const CONTEXT = {
  'kms:EncryptionAlgorithm': 'SYMMETRIC_DEFAULT',
  'kms:EncryptionContextKeys': ['domain', 'selector'],
  'kms:EncryptionContext:domain': 'example.com',
  'kms:EncryptionContext:selector': 'wx202611r1',
};
const RECORD = {
  'route53:ChangeResourceRecordSetsNormalizedRecordNames': ['wx202611r1._domainkey.example.com'],
  'route53:ChangeResourceRecordSetsRecordTypes': ['TXT'],
  'route53:ChangeResourceRecordSetsActions': ['DELETE', 'CREATE'],
};

const kms = (name: string, resource: string, context: IamRequest['context'] = {}): IamRequest => ({
  action: `kms:${name}`,
  resource,
  context,
});
const change = (context: IamRequest['context'] = {}, resource = ZONE): IamRequest => ({
  action: 'route53:ChangeResourceRecordSets',
  resource,
  context: { ...RECORD, ...context },
});
const create = (context: IamRequest['context'] = {}): IamRequest =>
  kms('CreateKey', '*', {
    'kms:KeyUsage': 'SIGN_VERIFY',
    'kms:KeySpec': 'RSA_2048',
    'kms:BypassPolicyLockoutSafetyCheck': 'false',
    'aws:RequestTag/waxseal:domain': 'example.com',
    'aws:RequestTag/waxseal:intent': 'x',
    ...context,
  });
const without = (context: Readonly<Record<string, string | readonly string[]>>, key: string) =>
  Object.fromEntries(Object.entries(context).filter(([name]) => name !== key));

/** Policy, request, and what IAM must say. */
const REQUESTS: readonly (readonly [string, string, IamRequest, boolean])[] = [
  ['relay-kms-sign', 'RSA', kms('Sign', SIGNING_KEY, { ...OURS, ...RSA }), true],
  ['relay-kms-sign', 'Ed25519', kms('Sign', SIGNING_KEY, { ...OURS, ...ED25519 }), true],
  [
    'relay-kms-sign',
    'RSA over a raw message',
    kms('Sign', SIGNING_KEY, { ...OURS, ...RSA, 'kms:MessageType': 'RAW' }),
    false,
  ],
  [
    'relay-kms-sign',
    'RSA-PSS',
    kms('Sign', SIGNING_KEY, { ...OURS, ...RSA, 'kms:SigningAlgorithm': 'RSASSA_PSS_SHA_256' }),
    false,
  ],
  ['relay-kms-sign', 'a key without our tag', kms('Sign', SIGNING_KEY, RSA), false],
  [
    'relay-kms-sign',
    "another domain's key",
    kms('Sign', SIGNING_KEY, { ...RSA, 'aws:ResourceTag/waxseal:domain': 'notexample.com' }),
    false,
  ],
  [
    'relay-kms-sign',
    'the public key, which the manifest has',
    kms('GetPublicKey', SIGNING_KEY, OURS),
    false,
  ],
  ['relay-kms-envelope', 'our context', kms('Decrypt', WRAPPING_KEY, CONTEXT), true],
  [
    'relay-kms-envelope',
    'another domain',
    kms('Decrypt', WRAPPING_KEY, { ...CONTEXT, 'kms:EncryptionContext:domain': 'example.org' }),
    false,
  ],
  [
    'relay-kms-envelope',
    'no selector',
    kms('Decrypt', WRAPPING_KEY, without(CONTEXT, 'kms:EncryptionContext:selector')),
    false,
  ],
  [
    'relay-kms-envelope',
    'a context with more in it',
    kms('Decrypt', WRAPPING_KEY, { ...CONTEXT, 'kms:EncryptionContextKeys': ['domain', 'x'] }),
    false,
  ],
  ['relay-kms-envelope', 'no context', kms('Decrypt', WRAPPING_KEY), false],
  ['relay-kms-envelope', 'another key', kms('Decrypt', SIGNING_KEY, CONTEXT), false],
  ['relay-kms-envelope', 'wrapping', kms('Encrypt', WRAPPING_KEY, CONTEXT), false],
  ['operator-kms-sign', 'a key for signing', create(), true],
  [
    'operator-kms-sign',
    'a key for encryption',
    create({ 'kms:KeyUsage': 'ENCRYPT_DECRYPT' }),
    false,
  ],
  [
    'operator-kms-sign',
    'a key without our tags',
    kms('CreateKey', '*', without(create().context ?? {}, 'aws:RequestTag/waxseal:intent')),
    false,
  ],
  ['operator-kms-sign', 'disabling', kms('DisableKey', SIGNING_KEY, OURS), false],
  ['operator-kms-sign', 'deleting', kms('ScheduleKeyDeletion', SIGNING_KEY, OURS), false],
  [
    'operator-kms-envelope',
    'a wrapped key pair',
    kms('GenerateDataKeyPairWithoutPlaintext', WRAPPING_KEY, {
      ...CONTEXT,
      'kms:DataKeyPairSpec': 'ECC_NIST_EDWARDS25519',
    }),
    true,
  ],
  ['operator-kms-envelope', 'wrapping a PEM', kms('Encrypt', WRAPPING_KEY, CONTEXT), true],
  ['emergency', 'disabling ours', kms('DisableKey', SIGNING_KEY, OURS), true],
  ['emergency', "disabling somebody else's", kms('DisableKey', SIGNING_KEY), false],
  ['emergency', 'deleting', kms('ScheduleKeyDeletion', SIGNING_KEY, OURS), false],
  [
    'destroyer',
    'deleting ours in 30 days',
    kms('ScheduleKeyDeletion', SIGNING_KEY, {
      ...OURS,
      'kms:ScheduleKeyDeletionPendingWindowInDays': '30',
    }),
    true,
  ],
  [
    'destroyer',
    'deleting ours in 7 days',
    kms('ScheduleKeyDeletion', SIGNING_KEY, {
      ...OURS,
      'kms:ScheduleKeyDeletionPendingWindowInDays': '7',
    }),
    false,
  ],
  ['destroyer', 'taking it back', kms('CancelKeyDeletion', SIGNING_KEY, OURS), true],
  ['destroyer', 'signing', kms('Sign', SIGNING_KEY, { ...OURS, ...RSA }), false],
  ['route53-publisher', 'a key record', change(), true],
  [
    'route53-publisher',
    'UPSERT',
    change({ 'route53:ChangeResourceRecordSetsActions': ['UPSERT'] }),
    false,
  ],
  [
    'route53-publisher',
    'a CNAME',
    change({ 'route53:ChangeResourceRecordSetsRecordTypes': ['CNAME'] }),
    false,
  ],
  [
    'route53-publisher',
    'a batch with another name in it',
    change({
      'route53:ChangeResourceRecordSetsNormalizedRecordNames': [
        'wx1._domainkey.example.com',
        'www.example.com',
      ],
    }),
    false,
  ],
  ['route53-publisher', 'another zone', change({}, `${ZONE}X`), false],
  [
    's3-keyring-relay',
    'reading the keyring',
    { action: 's3:GetObject', resource: `${BUCKET}/waxseal/index` },
    true,
  ],
  [
    's3-keyring-relay',
    'writing the keyring',
    { action: 's3:PutObject', resource: `${BUCKET}/waxseal/index` },
    false,
  ],
  [
    's3-keyring-operator',
    'erasing the journal',
    { action: 's3:DeleteObject', resource: `${BUCKET}/waxseal/journal/a` },
    false,
  ],
];

/** What would end the wrapping key, and with it every key that it wraps. */
const ENDINGS = ['DisableKey', 'ScheduleKeyDeletion', 'DeleteImportedKeyMaterial', 'PutKeyPolicy'];

/** What Waxseal asks of KMS and Route 53. */
const OPERATIONS = [
  ...['CancelKeyDeletion', 'CreateKey', 'Decrypt', 'DescribeKey', 'DisableKey', 'EnableKey'],
  ...['Encrypt', 'GenerateDataKeyPairWithoutPlaintext', 'GetPublicKey', 'ListKeys'],
  ...['ListResourceTags', 'ReplicateKey', 'ScheduleKeyDeletion', 'Sign', 'TagResource'],
].map((name) => `kms:${name}`);

describe('docs/kms', () => {
  it('allows what Waxseal asks of KMS, and nothing else', () => {
    const allowed = FILES.filter((name) => !name.endsWith('-policy.json'))
      .flatMap((name) => policy(name).Statement)
      .filter(({ Effect }) => Effect === 'Allow')
      .flatMap(({ Action }) => Action)
      .filter((action) => action.startsWith('kms:'));
    assert.deepEqual([...new Set(allowed)].sort(), OPERATIONS.sort());
  });

  for (const name of FILES) {
    it(`${name}: no wildcard for actions, few for resources, condition keys that hold`, () => {
      const { Version, Statement } = policy(name);
      assert.equal(Version, '2012-10-17');
      assert.equal(new Set(Statement.map(({ Sid }) => Sid)).size, Statement.length);
      for (const { Sid, Action, Resource, Principal, Condition, ...rest } of Statement) {
        assert.match(Sid, /^[A-Za-z0-9]+$/);
        assert.deepEqual(Object.keys(rest), ['Effect'], Sid);
        assert.ok(Array.isArray(Action) && Action.length > 0, Sid);
        for (const action of Action) assert.match(action, /^[a-z0-9]+:[A-Z][A-Za-z0-9]+$/, Sid);
        // In the policy of a resource, "*" is that resource.
        if (Resource === '*' && Principal === undefined) {
          assert.deepEqual(
            Action.filter((action) => !WITHOUT_RESOURCE.includes(action)),
            [],
            Sid,
          );
        }
        for (const key of Object.values(Condition ?? {}).flatMap((keys) => Object.keys(keys))) {
          for (const action of Action) {
            const known = CONDITION_KEYS[action] ?? [];
            assert.ok(
              known.some((pattern) => pattern.test(key)),
              `${Sid}: ${action} and ${key}`,
            );
          }
        }
      }
    });
  }

  for (const [name, what, request, expected] of REQUESTS) {
    it(`${name} ${expected ? 'allows' : 'refuses'} ${what}`, () => {
      assert.equal(isAllowed([policy(`${name}.json`)], request), expected);
    });
  }

  it('lets nobody end the wrapping key, by any policy and by all together', () => {
    const given = FILES.filter((name) => !name.endsWith('-policy.json')).map(policy);
    for (const policies of [given, ...given.map((one) => [one])]) {
      for (const ending of ENDINGS) {
        for (const usage of ['ENCRYPT_DECRYPT', 'SIGN_VERIFY']) {
          // Even if somebody tagged it as ours.
          const context = {
            ...OURS,
            'kms:KeyUsage': usage,
            'kms:ScheduleKeyDeletionPendingWindowInDays': '30',
          };
          assert.ok(!isAllowed(policies, kms(ending, WRAPPING_KEY, context)), `${ending} ${usage}`);
        }
      }
    }
  });

  it('lets nobody end a second wrapping key that no policy names', () => {
    const context = {
      ...OURS,
      'kms:KeyUsage': 'ENCRYPT_DECRYPT',
      'kms:ScheduleKeyDeletionPendingWindowInDays': '30',
    };
    for (const ending of ENDINGS) {
      const given = FILES.filter((name) => !name.endsWith('-policy.json')).map(policy);
      assert.ok(!isAllowed(given, kms(ending, SIGNING_KEY, context)), ending);
    }
  });

  it('keeps the wrapping key by its own policy too', () => {
    const own = policy('wrapping-key-policy.json');
    for (const ending of ENDINGS.filter((name) => name !== 'PutKeyPolicy')) {
      assert.ok(!isAllowed([own, ...ALL], kms(ending, WRAPPING_KEY, OURS)), ending);
    }
    const changers = own.Statement.filter(({ Action }) => Action.includes('kms:PutKeyPolicy'));
    assert.equal(changers.length, 1);
    assert.doesNotMatch(JSON.stringify(changers[0]?.Principal), /Waxseal/);
  });

  it('lets S3 refuse a write that compares nothing, and an erased journal', () => {
    const policies = [policy('s3-keyring-operator.json'), policy('s3-bucket-policy.json')];
    const write = (context: IamRequest['context']): IamRequest => ({
      action: 's3:PutObject',
      resource: `${BUCKET}/waxseal/index`,
      context: { 'aws:SecureTransport': 'true', ...context },
    });
    assert.ok(isAllowed(policies, write({ 's3:if-match': 'etag' })));
    assert.ok(isAllowed(policies, write({ 's3:if-none-match': '*' })));
    assert.ok(!isAllowed(policies, write({})));
    const action = 's3:DeleteObjectVersion';
    assert.ok(isAllowed(policies, { action, resource: `${BUCKET}/waxseal/shards/a` }));
    const administrator: IamPolicy = {
      Version: '2012-10-17',
      Statement: [{ Sid: 'All', Effect: 'Allow', Action: [action], Resource: '*' }],
    };
    const journal = { action, resource: `${BUCKET}/waxseal/journal/a` };
    assert.ok(!isAllowed([administrator, policy('s3-bucket-policy.json')], journal));
  });

  it('gives relays in Kubernetes the right to read, and to write their report only', () => {
    const text = readFileSync(path.join(FOLDER, 'kubernetes-rbac.yaml'), 'utf8');
    const documents = parseAllDocuments(text).map((document) => document.toJS());
    const roles = new Map<string, { verbs: string[]; resources: string[] }[]>(
      documents
        .filter(({ kind }) => kind === 'Role')
        .map(({ metadata, rules }) => [metadata.name, rules]),
    );
    assert.doesNotMatch(JSON.stringify([...roles]), /\*|secrets/);
    assert.deepEqual(
      roles.get('waxseal-relay')?.flatMap(({ verbs }) => verbs),
      ['get', 'list'],
    );
    for (const { kind, roleRef } of documents) {
      if (kind === 'RoleBinding') assert.ok(roles.has(roleRef.name));
    }
    const fence = documents.find(({ kind }) => kind === 'ValidatingAdmissionPolicy');
    const binding = documents.find(({ kind }) => kind === 'ValidatingAdmissionPolicyBinding');
    assert.equal(binding.spec.policyName, fence.metadata.name);
    const reports = roles.get('waxseal-relay-reports')?.flatMap(({ verbs }) => verbs) ?? [];
    const operations = fence.spec.matchConstraints.resourceRules[0].operations as string[];
    assert.deepEqual(
      operations.map((name) => name.toLowerCase()),
      reports,
    );
  });

  describe('name servers', () => {
    let folder: string;
    beforeEach(() => {
      folder = mkdtempSync(path.join(tmpdir(), 'waxseal-docs-'));
      cpSync(FOLDER, folder, { recursive: true });
    });
    afterEach(() => rmSync(folder, { recursive: true, force: true }));

    it('named-checkconf takes named.conf', function () {
      const program = requirePeer(this, 'named-checkconf');
      execFileSync(program, [path.join(folder, 'named.conf')]);
    });

    it('knotc takes knot.conf', function () {
      const program = requirePeer(this, 'knotc');
      execFileSync(program, ['-c', path.join(folder, 'knot.conf'), 'conf-check'], {
        stdio: 'pipe',
      });
    });
  });
});
