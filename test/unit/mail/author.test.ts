import assert from 'node:assert/strict';
import { findAuthor } from '../../../src/mail/author.ts';
import { HeaderCollector } from '../../../src/mail/header-collector.ts';
import type { MessageHeader } from '../../../src/mail/header-fields.ts';

function headerOf(...lines: string[]): MessageHeader {
  const collector = new HeaderCollector({ maxHeaderBytes: 10_000, maxFields: 100 });
  const progress = collector.push(Buffer.from(`${lines.join('\r\n')}\r\n\r\n`));
  assert.equal(progress.kind, 'complete');
  return progress.header;
}

function authorOf(...lines: string[]): string {
  const author = findAuthor(headerOf(...lines));
  if (author.kind === 'author') return `${author.domain} by ${author.decidedBy}`;
  const { code, enhanced, rule } = author.reply;
  assert.deepEqual([code, enhanced, rule], [550, '5.6.0', 'header.from']);
  return author.reply.lines.join(' ');
}

describe('author', () => {
  it('is the mailbox in From', () => {
    assert.equal(authorOf('From: A <a@Example.com>'), 'example.com by from');
    assert.equal(
      authorOf('FROM : =?utf-8?q?x?=\r\n\t<a@bücher.example>'),
      'xn--bcher-kva.example by from',
    );
  });

  it('is not decided by Sender or Resent-From when From has one mailbox', () => {
    const others = ['Sender: s@other.example', 'Resent-From: r@other.example'];
    assert.equal(authorOf(...others, 'From: a@example.com'), 'example.com by from');
  });

  it('is decided by Sender among several mailboxes of From', () => {
    const from = 'From: a@example.com, b@example.net';
    assert.equal(authorOf(from, 'Sender: <x@example.net>'), 'example.net by sender');
    assert.equal(authorOf(from, 'Sender: x@other.example'), 'example.com by from');
  });

  it('is unknown when several mailboxes have no proper Sender', () => {
    const from = 'From: a@example.com, b@example.net';
    assert.match(authorOf(from), /Sender field is required/);
    assert.match(
      authorOf(from, 'Sender: x@example.net, y@example.net'),
      /Sender is not one address/,
    );
    assert.match(authorOf(from, 'Sender: nobody'), /Sender is not one address/);
    assert.match(
      authorOf(from, 'Sender: x@example.net', 'Sender: y@example.com'),
      /not one address/,
    );
  });

  it('is unknown without From, with several, or with no address in it', () => {
    assert.equal(authorOf('Subject: x'), 'The message has no From field');
    assert.equal(
      authorOf('From: a@example.com', 'from: b@example.com'),
      'The message has more than one From field',
    );
    assert.equal(authorOf('From: undisclosed:;'), 'The From field has no address');
    assert.equal(authorOf('From:'), 'The From field has no address');
    assert.equal(
      authorOf('From: a@b@example.com\u0007'),
      'An address in the From field cannot be read: a@b@example.com\\x07',
    );
  });
});
