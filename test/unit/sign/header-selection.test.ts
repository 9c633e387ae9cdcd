import assert from 'node:assert/strict';
import { defaultHeaderLists } from '../../../src/config/default-header-lists.ts';
import { fieldOf } from '../../../src/mail/header-fields.ts';
import { HeaderSelection } from '../../../src/sign/header-selection.ts';

const SELECTION = new HeaderSelection(defaultHeaderLists);
const ALWAYS = 'from to cc subject date reply-to';

function selected(selection: HeaderSelection, ...lines: string[]) {
  const fields = lines.map((line) => {
    const [name = '', value = ''] = line.split(': ');
    return fieldOf(name, value);
  });
  const chosen = selection.select(fields);
  return {
    names: chosen.names.join(' '),
    fields: chosen.fields.map((field) => field.octets.toString().trimEnd()),
  };
}

describe('header selection', () => {
  it('oversigns the main fields even when absent', () => {
    assert.deepEqual(selected(SELECTION), { names: ALWAYS, fields: [] });
    assert.equal(
      selected(SELECTION, 'Subject: s', 'From: f').names,
      'from from to cc subject subject date reply-to',
    );
  });

  it('oversigns the second list only when present, and signs the third once for each', () => {
    const { names } = selected(
      SELECTION,
      'List-Id: l',
      'Message-ID: m',
      'Resent-To: r',
      'List-Unsubscribe: u',
      'X-Other: x',
    );
    const rest = 'list-id message-id message-id resent-to list-unsubscribe list-unsubscribe';
    assert.equal(names, `${ALWAYS} ${rest}`);
  });

  it('takes several of one name from the bottom up', () => {
    assert.deepEqual(
      selected(SELECTION, 'To: 1', 'From: f', 'To: 2', 'Resent-To: 3', 'Resent-To: 4'),
      {
        names: 'from from to to to cc subject date reply-to resent-to resent-to',
        fields: ['From: f', 'To: 2', 'To: 1', 'Resent-To: 4', 'Resent-To: 3'],
      },
    );
  });

  it('leaves out what changes on the way, and what no list names', () => {
    const { fields } = selected(
      SELECTION,
      ...['Received: r', 'Return-Path: p', 'Bcc: b', 'DKIM-Signature: d'],
      ...['Authentication-Results: a', 'ARC-Seal: s', 'X-Mailer: m'],
    );
    assert.deepEqual(fields, []);
  });

  it('signs From whatever the lists say', () => {
    const none = { alwaysOversigned: [], oversignedIfPresent: [], signedIfPresent: [] };
    assert.equal(selected(new HeaderSelection(none), 'From: f', 'To: t').names, 'from from');
    const once = new HeaderSelection({ ...none, signedIfPresent: ['From'] });
    assert.equal(selected(once, 'From: f').names, 'from from');
  });

  it('lets a name written out win over a star', () => {
    const lists = {
      alwaysOversigned: ['List-Id'],
      oversignedIfPresent: ['X-Tag'],
      signedIfPresent: ['list-*', 'x-*'],
    };
    assert.equal(
      selected(new HeaderSelection(lists), 'List-Id: a', 'List-Post: b', 'X-Tag: c', 'X-A: d')
        .names,
      'from list-id list-id list-post x-tag x-tag x-a',
    );
  });

  it('takes no name by a star that could not stand in h=', () => {
    const lists = { ...defaultHeaderLists, oversignedIfPresent: ['X-*'] };
    for (const selection of [SELECTION, new HeaderSelection(lists)]) {
      for (const name of ['List-a;l=0;z=b', `X-${'a'.repeat(1200)}`, 'Resent-a(x);', 'x-\xfc']) {
        assert.equal(selected(selection, `${name}: 1`).names, ALWAYS);
      }
    }
    assert.equal(selected(SELECTION, 'List-a=l!: 1').names, `${ALWAYS} list-a=l!`);
  });

  for (const name of [
    'Received',
    'bcc',
    'ARC-Seal',
    'ARC-*',
    'a*',
    'Rec*',
    '*',
    'a b',
    'To:',
    '',
    'x*y',
    'a;',
  ]) {
    it(`refuses ${JSON.stringify(name)} in a list`, () => {
      for (const list of ['oversignedIfPresent', 'signedIfPresent', 'alwaysOversigned'] as const) {
        assert.throws(() => new HeaderSelection({ ...defaultHeaderLists, [list]: [name] }), {
          code: 'config-invalid',
          message: new RegExp(`signing\\.headers\\.${list}`),
        });
      }
    });
  }
});
