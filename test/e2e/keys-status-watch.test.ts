import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { type Bind, startBind } from '../support/bind.ts';
import { CliPlace } from '../support/cli-place.ts';
import { requirePeer } from '../support/peers.ts';
import { plainText, Terminal } from '../support/terminal.ts';

const CLI = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));
const ZONE = 'example.test';
const HOME = '\u001b[H';

describe('keys status --watch on a terminal', function () {
  this.timeout(60_000);
  let bind: Bind;
  let place: CliPlace;
  let terminal: Terminal;
  let script: string;

  before(async function () {
    script = requirePeer(this, 'script');
    bind = await startBind(requirePeer(this, 'named'), { [ZONE]: '' }, { ttlS: 0 });
    place = await CliPlace.make();
    const hints = [{ zone: ZONE, servers: [bind.server] }];
    await place.configure({ dns: { servers: [bind.server], hints } });
    for (const domain of [ZONE, `sub.${ZONE}`]) {
      const { code, stderr } = await place.run(['keys', 'create', domain]);
      assert.equal(code, 0, stderr);
    }
  });
  afterEach(() => terminal?.close());
  after(async () => {
    await bind?.close();
    await place?.end();
  });

  /** Until it was redrawn twice and then Ctrl-C was typed. @returns what was drawn, by lines */
  async function drawn(columns: number, rows: number, ...args: readonly string[]) {
    const command = ['keys', 'status', ...args, '--watch', '1s', '--config', place.configFile];
    terminal = new Terminal(script, [process.execPath, CLI, ...command], { columns, rows });
    const frames = () => terminal.output.split(HOME).slice(1);
    const isWhole = (frame: string) => frame.includes('\u001b[J');
    await terminal.shows(() => frames().filter(isWhole).length >= 4);
    terminal.type('\u0003');
    assert.equal(await terminal.end(), 130, terminal.output);
    return frames()
      .filter(isWhole)
      .map((frame) => plainText(frame.slice(0, frame.indexOf('\u001b[J'))).split('\r\n'));
  }

  it('writes each table over the last one, and ends at Ctrl-C', async () => {
    const [asking, first = [], second = [], third = []] = await drawn(120, 30);
    assert.deepEqual(asking, ['asking the name servers …', '']);
    for (const lines of [first, second, third]) {
      assert.match(
        lines[0] ?? '',
        /^every 1 second, until Ctrl-C; \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ$/,
      );
      assert.match(lines[1] ?? '', /^DOMAIN +SELECTOR/);
      assert.match(lines[2] ?? '', /^example\.test +wx\d+r1 .*not-yet \(0 of 1 server\)$/);
      assert.match(lines.join('\n'), /^sub\.example\.test +wx\d+e1/m);
    }
    assert.notEqual(first[0], third[0]);
    assert.equal(terminal.output.split('\u001b[2J').length, 2, 'the window is cleared once');
  });

  it('fits its window', async () => {
    const [, ...frames] = await drawn(60, 12);
    for (const lines of frames) {
      assert.equal(lines.length, 12, 'the cursor stands in the last row: nothing scrolls');
      for (const line of lines) assert.ok(line.length <= 60, line);
      assert.match(lines.at(-2) ?? '', /^… more than fits: name a domain/);
    }
    const [, one = []] = await drawn(60, 24, ZONE);
    assert.doesNotMatch(one.join('\n'), /more than fits/);
    assert.match(
      one.join(' ').replaceAll(/ +/g, ' '),
      /"waxseal keys rotate example\.test" takes all/,
    );
  });
});
