import assert from 'node:assert/strict';
import { recordName } from '../../../../src/keys/key-name.ts';
import { recordValue } from '../../../../src/keys/key-record.ts';
import { type RecordWish, writeRecords } from '../../../../src/keys/lifecycle/write-records.ts';
import type { ManifestKey } from '../../../../src/keys/manifest.ts';
import { habits, runKeys } from '../../../support/lifecycle-cli.ts';
import { Crash, LifecycleLab } from '../../../support/lifecycle-lab.ts';

const DOMAIN = 'a.example';

describe('writing records', () => {
  let lab: LifecycleLab;
  let key: ManifestKey;
  let name: string;

  beforeEach(async () => {
    lab = new LifecycleLab();
    const made = await runKeys(lab, { ...habits }, ['create', DOMAIN, '--algorithm', 'rsa2048']);
    assert.equal(made.code, 0, made.err);
    const [first] = lab.entry(DOMAIN).keys;
    assert.ok(first !== undefined);
    key = first;
    name = recordName(key.selector, DOMAIN);
  });

  const write = async (record: RecordWish['record'] = 'key', adopt = false) => {
    const access = lab.access();
    return await writeRecords(access, access.publisherFor(DOMAIN), DOMAIN, [{ key, record }], {
      adopt,
    });
  };

  it('never takes over what somebody else wrote, however often it is tried', async () => {
    lab.zone.set(name, { value: recordValue(key), ttlS: 60 }); // by hand, from "keys dns"
    for (let run = 1; run <= 3; run += 1) {
      const result = await write();
      assert.equal(result.kind, 'in-the-way', `run ${run}`);
      assert.match(result.kind === 'in-the-way' ? result.hint : '', /--adopt-record/);
    }
    assert.equal((await write('none')).kind, 'written', 'there is no record of ours');
    assert.equal(lab.zone.get(name)?.ttlS, 60, 'and theirs stays');
    assert.equal((await write('key', true)).kind, 'written');
    assert.equal((await write('none')).kind, 'written');
    assert.equal(lab.zone.has(name), false, 'it was adopted');
  });

  it('knows its own record again, of a run that was killed before it heard of it', async () => {
    lab.crashAt = { at: lab.effects + 2, when: 'after' };
    await assert.rejects(write(), Crash);
    lab.crashAt = undefined;
    assert.equal(lab.zone.get(name)?.value, recordValue(key));
    assert.equal((await write()).kind, 'written');
    assert.equal((await write('none')).kind, 'written');
    assert.equal(lab.zone.has(name), false);
  });

  it('knows its own record again though another run was refused in between', async () => {
    assert.equal((await write()).kind, 'written');
    const ours = lab.zone.get(name);
    assert.ok(ours !== undefined);
    lab.zone.set(name, { value: 'v=spf1 -all', ttlS: 60 });
    assert.equal((await write('revoked')).kind, 'in-the-way');
    lab.zone.set(name, ours);
    assert.equal((await write('revoked')).kind, 'written');
    assert.match(lab.zone.get(name)?.value ?? '', /p=$/);
  });
});
