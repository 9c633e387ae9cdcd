import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Rules of replies that smtp-server words: `send` in accept/session.ts names them by the command. */
const OF_THE_LIBRARY = ['command.auth', 'command.starttls'];

describe('docs/operations.md', () => {
  it('lists the rule of every reply that Waxseal makes, and no other', async () => {
    const rules = new Set(OF_THE_LIBRARY);
    let others = 0;
    for (const file of await readdir(`${root}src`, { recursive: true })) {
      if (!file.endsWith('.ts')) continue;
      const text = await readFile(`${root}src/${file}`, 'utf8');
      for (const [, rule] of text.matchAll(
        /(?<!function )localReply\(\s*[^,]+,\s*[^,]+,\s*(?:'([a-z\d.-]+)')?/g,
      )) {
        if (rule === undefined) others += 1;
        else rules.add(rule);
      }
    }
    assert.equal(others, 1, 'only `send` in accept/session.ts makes up its rule');
    const [, section = ''] = (await readFile(`${root}docs/operations.md`, 'utf8')).split(
      '## What a reply of Waxseal means',
    );
    const [replies = ''] = section.split('\n## ');
    const firstCells = replies.replace(/^(\|[^|]*\|).*$/gm, '$1');
    const listed = [...firstCells.matchAll(/`([a-z\d.-]+)`/g)].map(([, name]) => name);
    assert.deepEqual(listed.toSorted(), [...rules].sort());
  });
});
