import assert from 'node:assert/strict';
import { nextTurn } from '../../src/relay/smtp-client-content.ts';
import type { MxSession } from '../support/mx.ts';
import {
  endless,
  goAheadAndPause,
  MEGABYTE,
  MESSAGE,
  MxLab,
  said,
  text,
} from '../support/mx-lab.ts';
import { dueIn, inMemory, inPieces } from '../support/mx-leg.ts';

/* Rows of the fault matrix while content is on its way, each against real sockets. */

describe('faults of an MX while content is sent', () => {
  const lab = new MxLab();
  const { inData } = lab;

  afterEach(() => lab.close());

  it('row 24: reset in the middle of the content', async () => {
    for (const bytes of [1, 5_000_000]) {
      const content = (session: MxSession) => {
        if (session.content.length >= bytes) session.reset();
      };
      const { mx, leg } = await inData({ content });
      const result = await leg.send(inPieces(endless), dueIn());
      assert.match(said(result), /^not-sent 451 4\.4\.2 \[relay\.connection-lost\]/);
      assert.deepEqual(mx.contents, []);
      assert.equal(mx.sessions.length, 1);
    }
  });

  it('row 25: a refusal in the middle of the content stops it', async () => {
    for (const refusal of ['552 5.3.4 too MEGABYTE', '421 4.3.2 going down']) {
      let spoken = false;
      const content = (session: MxSession) => {
        if (!spoken) session.write(`${refusal}\r\n`);
        spoken = true;
      };
      const { mx, leg } = await inData({ content });
      const result = await leg.send(inPieces(endless), dueIn());
      assert.equal(said(result), `answered ${refusal}`);
      assert.deepEqual(mx.contents, []);
    }
  });

  it('row 25: a refusal before the content', async () => {
    const { mx, leg, session } = await inData({});
    session.write('554 5.7.1 not this client\r\n');
    await nextTurn();
    const result = await leg.send(inMemory(MESSAGE), dueIn());
    assert.equal(text(result.reply), '554 5.7.1 not this client');
    assert.ok(mx.contents.length <= 1);
  });

  it('row 26: an MX that reads nothing', async () => {
    for (const source of [inPieces(endless), inMemory(Buffer.concat(Array(20).fill(MEGABYTE)))]) {
      const { leg, session } = await inData({ data: goAheadAndPause });
      const result = await leg.send(source, dueIn(200));
      assert.match(said(result), /^not-sent 451 4\.4\.2 \[relay\.timeout\]/);
      session.resume();
      await session.closed;
      assert.deepEqual(session.contents, []);
    }
  });

  it('row 34: nor one while most of a message in memory waits to be written', async () => {
    const { leg, session } = await inData({ data: goAheadAndPause });
    const asked = leg.send(inMemory(Buffer.concat(Array(20).fill(MEGABYTE))), dueIn());
    await nextTurn();
    session.write('250 2.0.0 queued\r\n');
    const result = await asked;
    assert.match(said(result), /^not-sent 451 4\.5\.0 /);
  });
});
