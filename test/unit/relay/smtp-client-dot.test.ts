import assert from 'node:assert/strict';
import type { ParsedReply } from '../../../src/mail/reply-parser.ts';
import type { ContentWriter } from '../../../src/relay/smtp-client-content.ts';
import { judgeDotReplies } from '../../../src/relay/smtp-client-dot.ts';

type Codes = (number | 'malformed')[];

function judge(codes: Codes, writer: Partial<ContentWriter>, unasked = false) {
  return judgement(codes, writer, unasked).kind;
}

function judgement(codes: Codes, writer: Partial<ContentWriter>, unasked = false) {
  const found = codes.map<ParsedReply>((code) =>
    code === 'malformed' ? { kind: code, what: 'x' } : { kind: 'reply', code, lines: ['x'] },
  );
  return judgeDotReplies(found, unasked, writer as ContentWriter);
}

const SENT = { flushed: true, mayHaveEnded: true };
const WAITING = { flushed: false, mayHaveEnded: false };
/** TLS: the octets may have left, and Node has not said so yet. */
const PERHAPS = { flushed: false, mayHaveEnded: true };

describe('judgeDotReplies', () => {
  it('takes a 2xx only for a dot that has left', () => {
    assert.equal(judge([250], SENT), 'reply');
    assert.equal(judge([250], WAITING), 'fault');
    assert.equal(judge([250], PERHAPS), 'held');
    assert.equal(judge([250], SENT, true), 'fault');
  });

  it('takes a refusal at any time', () => {
    for (const writer of [SENT, WAITING, PERHAPS]) {
      assert.equal(judge([552], writer), 'reply');
      assert.equal(judge([421], writer, true), 'reply');
    }
  });

  it('ends the connection where more could follow', () => {
    const lasts = (codes: Codes, writer: Partial<ContentWriter>) => {
      const judged = judgement(codes, writer);
      return judged.kind === 'reply' && judged.last;
    };
    assert.equal(lasts([552], SENT), false);
    assert.equal(lasts([250], SENT), false);
    for (const writer of [WAITING, PERHAPS]) assert.equal(lasts([552], writer), true);
    for (const codes of [[421], [250, 250], [250, 421]]) assert.equal(lasts(codes, SENT), true);
  });

  it('has no 3xx, and no answer that the same segment contradicts', () => {
    for (const codes of [[354], [250, 550], [550, 250], [250, 354], [450, 250], ['malformed']]) {
      assert.equal(judge(codes as number[], SENT), 'fault', codes.join());
    }
    for (const codes of [
      [250, 250],
      [250, 421],
      [250, 'malformed'],
      [550, 554],
    ]) {
      assert.equal(judge(codes as number[], SENT), 'reply', codes.join());
    }
  });

  it('waits while there is none', () => {
    assert.equal(judge([], SENT), 'wait');
  });
});
