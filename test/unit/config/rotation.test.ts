import assert from 'node:assert/strict';
import { build, problemsOf } from './build.ts';

describe('configuration: rotation of keys', () => {
  it('takes days in fractions, and habits for some domains', () => {
    const { config, warnings } = build(`
keys:
  rotation:
    rotateAfterDays: 90
    retireAfterDays: 6.5
    domains:
      - domains: [Example.COM, .example.net]
        standby: yes
        names: slots
`);
    const { rotation } = config.keys;
    assert.equal(rotation.rotateAfterDays, 90);
    assert.equal(rotation.retireAfterDays, 6.5);
    assert.deepEqual(rotation.domains, [
      { domains: ['example.com', '.example.net'], standby: true, names: 'slots' },
    ]);
    assert.deepEqual(
      warnings.filter(({ key }) => key.startsWith('keys.rotation')),
      [],
    );
  });

  it('reads the rows from the environment', () => {
    const rows = '[{"domains": ["a.example"], "rotateAfterDays": "30.5"}]';
    const { config } = build('', { WAXSEAL_KEYS_ROTATION_DOMAINS: rows });
    assert.deepEqual(config.keys.rotation.domains, [
      { domains: ['a.example'], rotateAfterDays: 30.5 },
    ]);
  });

  const mistakes: readonly [string, RegExp][] = [
    ['rotateAfterDays: -1', /number of days from 0 to 3650/],
    ['rotateAfterDays: soon', /number of days/],
    ['names: wild', /must be one of dated, slots/],
    ['domains: [{rotateAfterDays: 3}]', /domains is missing/],
    ['domains: [{domains: [a.example], rotateAfterDay: 3}]', /did you mean "rotateAfterDays"/],
    ['domains: [{domains: [a.example], reveal: /tmp}]', /unknown key/],
  ];
  for (const [line, message] of mistakes) {
    it(`refuses "${line}"`, () => {
      const [problem] = problemsOf(`keys:\n  rotation:\n    ${line}\n`);
      assert.match(problem?.message ?? '', message);
    });
  }

  it('warns of habits under which old keys are never revoked', () => {
    const { warnings } = build(`
keys:
  rotation:
    domains:
      - {domains: [a.example], queueLifetimeDays: 7}
      - {domains: [b.example], retireAfterDays: 8}
`);
    assert.deepEqual(
      warnings.map(({ key }) => key).filter((key) => key.startsWith('keys.rotation')),
      ['keys.rotation.domains[0]'],
    );
  });
});
