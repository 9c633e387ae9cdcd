import assert from 'node:assert/strict';
import { KMS_EFFECTS } from '../../support/kms/kms-faults.ts';
import { RotationLab } from '../../support/kms/rotation-lab.ts';
import { scaledClock } from '../../support/kms/scaled-clock.ts';

const HOME = 'eu-central-1';
const AWAY = 'eu-west-1';
const DOMAIN = 'one.many.test';

/** The in-repo KMS with two Regions, both of them in `kms.regions`. */
describe('keys rotate, with keys in several Regions', function () {
  this.timeout(30_000);
  let lab: RotationLab;

  beforeEach(async () => {
    lab = await RotationLab.start({
      domains: 0,
      regions: [HOME, AWAY],
      clock: scaledClock(100),
      settings: { attemptTimeoutMs: 60_000, totalTimeoutMs: 60_000 },
    });
  });
  afterEach(() => lab?.stop());

  const keys = async (...args: readonly string[]) => await lab.run(args);

  /** Selector to the Regions where KMS has a key tagged with it. */
  function regions(): Record<string, string> {
    const found: Record<string, string> = {};
    for (const region of [HOME, AWAY]) {
      for (const { usage, tags, role } of lab.kms.server.account.keysIn(region)) {
        const selector = tags.get('waxseal:selector')?.replace(/^wx\d{6}/, '') ?? '?';
        if (usage !== 'SIGN_VERIFY') continue;
        found[selector] = `${found[selector] ?? ''} ${region}${role === 'primary' ? '*' : ''}`;
      }
    }
    return found;
  }

  async function active(...args: readonly string[]): Promise<void> {
    const made = await keys('create', DOMAIN, '--backend', 'kms-sign', ...args);
    assert.equal(made.code, 0, made.err);
    const activated = await keys('activate', DOMAIN, '--force');
    assert.equal(activated.code, 0, activated.err);
  }

  const rotate = async (...args: readonly string[]) =>
    await keys('rotate', DOMAIN, '--again', '--step', ...args);

  it('keeps the Regions of the key that the new one succeeds, and says which there are besides', async () => {
    await active('--algorithm', 'rsa2048', '--regions', AWAY);
    await active('--algorithm', 'ed25519', '--regions', `${HOME},${AWAY}`);
    const { out, code } = await rotate();
    assert.equal(code, 4, out); // authLag
    assert.deepEqual(regions(), {
      r1: ` ${AWAY}`,
      e1: ` ${HOME}* ${AWAY}`,
      r2: ` ${AWAY}`,
      e2: ` ${HOME}* ${AWAY}`,
    });
    const note = /wx\d+r2 is in eu-west-1, as the keys before; kms\.regions has eu-central-1 too/;
    assert.match(out, note);
    assert.doesNotMatch(out, /e2 is in/);
    const [entry] = await lab.entries();
    const places = entry?.keys.map(({ material }) => material?.regions ?? 'one');
    assert.deepEqual(places, ['one', `${HOME},${AWAY}`, 'one', `${HOME},${AWAY}`]);
  });

  it('leaves out a Region that is not configured any more', async () => {
    await active('--algorithm', 'rsa2048', '--regions', `${AWAY},${HOME}`);
    await lab.run(['rotate', DOMAIN, '--again', '--step'], { regions: [HOME] });
    assert.deepEqual(regions(), { r1: ` ${HOME} ${AWAY}*`, r2: ` ${HOME}` });
  });

  it('takes the Regions of --regions, and refuses them beside a new key that is elsewhere', async () => {
    await active('--algorithm', 'rsa2048', '--regions', HOME);
    const { out } = await rotate('--regions', `${AWAY},${HOME}`);
    assert.deepEqual(regions(), { r1: ` ${HOME}`, r2: ` ${HOME} ${AWAY}*` });
    assert.doesNotMatch(out, /as the keys before/);
    assert.equal((await rotate('--regions', `${AWAY},${HOME}`)).code, 4);
    const other = await rotate('--regions', HOME);
    assert.equal(other.code, 3);
    assert.match(other.err, /a new key already, wx\d+r2: rsa2048 with kms-sign in eu-west-1, eu-/);
    assert.match(other.err, /hint: .*keys abort.*without --algorithm, --backend and --regions/);
  });

  it('is refused where the back end has no Regions, before anything is done', async () => {
    const refused = await keys('rotate', DOMAIN, '--regions', HOME);
    assert.equal(refused.code, 3);
    assert.match(refused.err, /the back end file has no Regions/);
    assert.deepEqual(await lab.entries(), []);
    await assert.rejects(rotate('--regions', `${HOME},${HOME}`), /must be a list like/);
  });

  it('--due leaves back ends without Regions alone', async () => {
    await lab.stop();
    lab = await RotationLab.start({ domains: 1, regions: [HOME, AWAY] });
    const due = await keys('rotate', '--due', '--step', '--regions', AWAY);
    assert.equal(due.code, 0, due.err);
    const [entry] = await lab.entries();
    assert.deepEqual(
      entry?.keys.map(({ backend, state }) => `${backend} ${state}`),
      ['kms-envelope retiring', 'kms-envelope active'],
    );
    assert.deepEqual(regions(), {});
  });

  it('goes on in the Regions where an interrupted run began', async () => {
    await active('--algorithm', 'rsa2048', '--regions', HOME);
    lab.kms.server
      .region(AWAY)
      .faults.inject(KMS_EFFECTS.accessDenied, { operation: 'DescribeKey', times: 1 });
    assert.equal((await rotate('--regions', AWAY)).code, 1);
    assert.deepEqual(regions(), { r1: ` ${HOME}`, r2: ` ${AWAY}` });
    const { code, err } = await rotate();
    assert.equal(code, 4, err);
    assert.deepEqual(regions(), { r1: ` ${HOME}`, r2: ` ${AWAY}` }, 'no second key');
    const [entry] = await lab.entries();
    assert.match(entry?.keys.at(-1)?.material?.arn ?? '', /:kms:eu-west-1:/);
  });
});
