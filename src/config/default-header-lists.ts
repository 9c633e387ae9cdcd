/** Which header fields are signed unless the configuration says otherwise; see `HeaderSelection`. */
export const defaultHeaderLists = {
  alwaysOversigned: ['From', 'To', 'Cc', 'Subject', 'Date', 'Reply-To'],
  oversignedIfPresent: [
    'Sender',
    'Message-ID',
    'MIME-Version',
    'Content-Type',
    'Content-Transfer-Encoding',
    'In-Reply-To',
    'References',
    // RFC 8058 section 4 wants these two covered.
    'List-Unsubscribe',
    'List-Unsubscribe-Post',
  ],
  signedIfPresent: [
    'Resent-*',
    'List-*',
    'Content-ID',
    'Content-Description',
    'Content-Disposition',
    'Feedback-ID',
  ],
} as const;
