/** Exit codes of every command. They are documented in the help and do not change. */
export const EXIT = {
  /** Done. */
  ok: 0,
  /** Something failed: a file, the network, a fault of ours. Trying again may help. */
  failed: 1,
  /** The command line or the configuration is wrong; nothing was done. */
  usage: 2,
  /** Refused by a check; nothing was changed and the operator must act (the message says how). */
  refused: 3,
  /** Something is not due, or not seen in DNS yet; the same command goes on later. */
  waiting: 4,
  /** Ended early by SIGHUP, SIGINT or SIGTERM, or as nobody reads the output (SIGPIPE): 128 and its number. */
  hungUp: 129,
  interrupted: 130,
  unread: 141,
  terminated: 143,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
