import assert from 'node:assert/strict';
import path from 'node:path';
import { FileReports } from '../../src/keys/store/relay-reports.ts';
import { KMS_EFFECTS, type KmsEffect } from '../support/kms/kms-faults.ts';
import { KmsMailLab } from '../support/kms/kms-mail-lab.ts';
import { waitFor } from '../support/wait-for.ts';

const SHORT = { attemptTimeoutMs: 1000, totalTimeoutMs: 2500 };
const DEFERRED = /^451 4\.7\.5 .*\[waxseal signing\.failed /;

describe('waxseal serve with keys in KMS (kms-sign)', function () {
  this.timeout(60_000);
  let lab: KmsMailLab;
  afterEach(() => lab?.stop());

  const start = async (settings = {}, regions?: readonly string[]) => {
    lab = await KmsMailLab.start(settings, regions);
    await lab.addKey('kms-sign', 'signer.test', 'rsa2048');
    await lab.addKey('kms-sign', 'signer.test', 'ed25519');
    await lab.reload();
  };
  const faults = () => lab.kms.server.region().faults;

  it('signs every message with RSA and Ed25519, and logs the calls when it stops', async () => {
    await start();
    assert.match(await lab.send('signer.test'), /^250 /);
    assert.match(await lab.send('signer.test'), /^250 /);
    const { verdicts, selectors } = await lab.verdicts();
    assert.deepEqual(verdicts, ['pass', 'pass']);
    assert.deepEqual(selectors.sort(), ['kms-sign-e2', 'kms-sign-r1']);
    await lab.mail.waxseal.end();
    const counts = lab.mail.waxseal.records.findLast(({ event }) => event === 'kms-calls');
    assert.deepEqual(counts?.calls, { Sign: 4 });
    assert.equal(lab.kms.server.count('GetPublicKey'), 2, 'only when the keys were made');
  });

  describe('fault row 19: throttled, 5xx, time-out', () => {
    const rows: Readonly<Record<string, KmsEffect>> = {
      throttled: KMS_EFFECTS.throttled,
      '5xx': KMS_EFFECTS.internal,
      'no answer': KMS_EFFECTS.silence,
      'cut connections': KMS_EFFECTS.cut,
    };
    for (const [name, effect] of Object.entries(rows)) {
      it(`${name}: 451 4.7.5, nothing reached the MX, others unaffected, comes back`, async () => {
        await start(SHORT);
        faults().inject(effect);
        assert.match(await lab.send('signer.test'), DEFERRED);
        assert.equal(lab.contentBytes, 0, 'no octet of content reached the MX');
        assert.match(await lab.send('file.test'), /^250 /);
        faults().clear();
        await lab.sendUntilAccepted('signer.test');
        assert.deepEqual((await lab.verdicts()).verdicts, ['pass', 'pass']);
      });
    }

    it('connection refused: the same', async () => {
      await start(SHORT);
      await lab.kms.server.region().close();
      assert.match(await lab.send('signer.test'), DEFERRED);
      assert.equal(lab.contentBytes, 0);
      assert.match(await lab.send('file.test'), /^250 /);
      await lab.kms.server.region().listen();
      await lab.sendUntilAccepted('signer.test');
    });

    it('one throttled call is tried again, and nobody notices', async () => {
      await start();
      faults().inject(KMS_EFFECTS.throttled, { times: 2 });
      assert.match(await lab.send('signer.test'), /^250 /);
    });
  });

  describe('fault row 20: access denied, disabled, wrong Region', () => {
    const rows: Readonly<Record<string, KmsEffect>> = {
      'access denied': KMS_EFFECTS.accessDenied,
      disabled: KMS_EFFECTS.disabled,
      'pending deletion': KMS_EFFECTS.pendingDeletion,
      'not found': { kind: 'error', type: 'NotFoundException' },
      'unknown credentials': KMS_EFFECTS.badToken,
    };
    for (const [name, effect] of Object.entries(rows)) {
      it(`${name}: 451 4.7.5 and never 5xx, a word in the log, others unaffected`, async () => {
        await start();
        await lab.addKey('kms-sign', 'other.test', 'ed25519');
        await lab.reload();
        const [rsa] = lab.kms.server.account.keysIn('eu-central-1').slice(-3);
        faults().inject(effect, { operation: 'Sign', keyId: rsa!.id });
        assert.match(await lab.send('signer.test'), DEFERRED);
        assert.equal(lab.contentBytes, 0);
        assert.match(await lab.send('other.test'), /^250 /, 'it is held against that key alone');
        assert.match(await lab.send('file.test'), /^250 /);
        if (name !== 'unknown credentials') {
          await waitFor('the alert', () =>
            lab.alerts.some((text) => text.startsWith('signer.test, selector kms-sign-r1 cannot')),
          );
        }
        faults().clear();
        await lab.sendUntilAccepted('signer.test');
      });
    }

    it('a key that is really disabled signs nothing, and signs again when enabled', async () => {
      await start();
      const keys = lab.kms.server.account.keysIn('eu-central-1');
      for (const key of keys) if (key.usage === 'SIGN_VERIFY') key.state = 'Disabled';
      assert.match(await lab.send('signer.test'), DEFERRED);
      for (const key of keys) key.state = 'Enabled';
      await lab.sendUntilAccepted('signer.test');
    });
  });

  it('fault row 21: a signature that takes 10 seconds is waited for, others are not', async () => {
    await start();
    await lab.addKey('kms-sign', 'other.test', 'ed25519');
    await lab.reload();
    const keys = lab.kms.server.account.keysIn('eu-central-1').slice(-3);
    for (const { id } of keys.slice(0, 2)) {
      faults().inject({ kind: 'latency', ms: 10_000 }, { operation: 'Sign', keyId: id });
    }
    const order: string[] = [];
    const slow = lab.send('signer.test').then((reply) => {
      order.push('slow');
      return reply;
    });
    await waitFor('both signatures to be asked for', () => lab.kms.server.count('Sign') === 2);
    for (const domain of ['other.test', 'file.test']) {
      assert.match(await lab.send(domain), /^250 /);
      order.push(domain);
    }
    assert.match(await slow, /^250 /);
    assert.deepEqual(order, ['other.test', 'file.test', 'slow']);
  });

  it('fault row 22: a signature that does not verify is 451 4.7.5 and never sent', async () => {
    await start();
    faults().inject(KMS_EFFECTS.wrongSignature);
    assert.match(await lab.send('signer.test'), DEFERRED);
    assert.equal(lab.contentBytes, 0);
    await waitFor('the alert', () => lab.alerts.some((text) => /does not verify/.test(text)));
    faults().clear();
    await lab.sendUntilAccepted('signer.test');
    assert.deepEqual((await lab.verdicts()).verdicts, ['pass', 'pass']);
  });

  it('a KMS that finds our clock wrong: the SDK learns the difference', async () => {
    await start();
    lab.kms.server.region().skewMs = 3_600_000;
    assert.match(await lab.send('signer.test'), /^250 /);
    assert.ok(lab.kms.server.calls.some(({ error }) => error === 'InvalidSignatureException'));
  });

  it('fails over to another Region, and comes back', async () => {
    await start(SHORT, ['eu-central-1', 'eu-west-1']);
    await lab.kms.server.region('eu-central-1').close();
    assert.match(await lab.send('signer.test'), /^250 /);
    assert.deepEqual((await lab.verdicts()).verdicts, ['pass', 'pass']);
    const regions = lab.kms.server.calls
      .filter(({ operation }) => operation === 'Sign')
      .map(({ region }) => region);
    assert.deepEqual(regions, ['eu-west-1', 'eu-west-1']);
    await lab.kms.server.region('eu-central-1').listen();
    await waitFor('home to be asked again', async () => {
      assert.match(await lab.send('signer.test'), /^250 /);
      return lab.kms.server.calls.some(
        ({ operation, region }) => operation === 'Sign' && region === 'eu-central-1',
      );
    });
  });

  it('never fails over from access denied', async () => {
    await start({}, ['eu-central-1', 'eu-west-1']);
    lab.kms.server.region('eu-central-1').faults.inject(KMS_EFFECTS.accessDenied);
    assert.match(await lab.send('signer.test'), DEFERRED);
    assert.ok(
      lab.kms.server.calls.every(
        ({ region, operation }) => operation !== 'Sign' || region === 'eu-central-1',
      ),
    );
  });

  describe('with a fall-back key', () => {
    const startWithFallback = async (fallback: boolean) => {
      lab = await KmsMailLab.start({ ...SHORT, fallback });
      await lab.addKey('kms-sign', 'signer.test', 'rsa2048');
      await lab.addKey('kms-envelope', 'signer.test', 'rsa2048', 'verified');
      await lab.reload();
    };

    it('signs with it where KMS does not answer, and names it in the log', async () => {
      await startWithFallback(true);
      faults().inject(KMS_EFFECTS.silence);
      assert.match(await lab.send('signer.test'), /^250 /);
      const { verdicts, selectors } = await lab.verdicts();
      assert.deepEqual(verdicts, ['pass']);
      assert.deepEqual(selectors, ['kms-envelope-r2']);
      await waitFor('the record', () => lab.mail.waxseal.transactions.length === 1);
      assert.deepEqual(lab.mail.waxseal.transactions[0]?.signatures, [
        { d: 'signer.test', s: 'kms-envelope-r2', a: 'rsa-sha256' },
      ]);
      faults().clear();
      await waitFor('the main key to sign', async () => {
        await lab.send('signer.test');
        return (await lab.verdicts()).selectors[0] === 'kms-sign-r1';
      });
    });

    it('never where access was taken away', async () => {
      await startWithFallback(true);
      for (const effect of [KMS_EFFECTS.accessDenied, KMS_EFFECTS.disabled]) {
        faults().clear();
        faults().inject(effect);
        assert.match(await lab.send('signer.test'), DEFERRED);
      }
    });

    it('is off by default', async () => {
      await startWithFallback(false);
      faults().inject(KMS_EFFECTS.silence);
      assert.match(await lab.send('signer.test'), DEFERRED);
    });
  });

  describe('while the key before is retiring', () => {
    const startRotated = async () => {
      lab = await KmsMailLab.start();
      await lab.addKey('kms-sign', 'signer.test', 'rsa2048', 'retiring');
      const { key } = await lab.addKey('kms-sign', 'signer.test', 'rsa2048');
      const { dir } = lab.mail.waxseal;
      const files = { dir: path.join(dir, 'keys'), masterKeyFile: path.join(dir, 'master.key') };
      await lab.mail.waxseal.configure({ keys: { ...files, watchMs: 200 } });
      await lab.restart();
      return { selector: key.selector, keyId: key.material?.arn?.split('/').at(-1) ?? '' };
    };
    const reports = async () =>
      await new FileReports(path.join(lab.mail.waxseal.dir, 'keys')).read();
    const complaints = async (selector: string) =>
      (await reports()).flatMap(({ keys }) => keys.filter((one) => one.selector === selector));

    it('that one signs where the new one may not be used, and the report of the relay says so', async () => {
      const { selector, keyId } = await startRotated();
      faults().inject(KMS_EFFECTS.accessDenied, { keyId });
      for (let count = 0; count < 2; count += 1) {
        assert.match(await lab.send('signer.test'), /^250 /);
        const { verdicts, selectors } = await lab.verdicts();
        assert.deepEqual([verdicts, selectors], [['pass'], ['kms-sign-r1']]);
      }
      await waitFor('the alert', () => lab.alerts.length > 0);
      assert.match(lab.alerts[0] ?? '', /cannot sign: .*AccessDenied/);
      await waitFor('the report', async () => (await complaints(selector)).length > 0);
      assert.match((await complaints(selector))[0]?.reason ?? '', /AccessDenied/);
      faults().clear();
      await waitFor(
        'the relay to find out without mail',
        async () => (await complaints(selector)).length === 0,
        30_000,
      );
      assert.match(await lab.send('signer.test'), /^250 /);
      assert.deepEqual((await lab.verdicts()).selectors, [selector]);
      assert.match((await reports())[0]?.standIns?.[0]?.selector ?? '', /^kms-sign-r1$/);
    });

    it('a signature that does not verify is 451 all the same', async () => {
      const { keyId } = await startRotated();
      faults().inject(KMS_EFFECTS.wrongSignature, { keyId });
      assert.match(await lab.send('signer.test'), DEFERRED);
      assert.match(await lab.send('signer.test'), DEFERRED);
      assert.equal(lab.contentBytes, 0);
    });
  });

  it('answers 451 when the budget of the day is used up, and warns before', async () => {
    lab = await KmsMailLab.start({ budget: 5 });
    await lab.addKey('kms-sign', 'signer.test', 'ed25519');
    await lab.reload();
    for (let count = 0; count < 5; count += 1) assert.match(await lab.send('signer.test'), /^250 /);
    assert.match(await lab.send('signer.test'), DEFERRED);
    assert.match(await lab.send('file.test'), /^250 /);
    await waitFor('the alerts', () => lab.alerts.length >= 2);
    assert.match(lab.alerts[0] ?? '', /^4 of the 5 KMS calls/);
    assert.equal(lab.kms.server.count('Sign'), 5);
  });
});
