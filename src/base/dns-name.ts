/** Domain names as strings: A-labels, lower case, no trailing dot; the root is the empty string. */

/** Longest name in text form, without the trailing dot (RFC 1035 section 2.3.4). */
const MAX_NAME_LENGTH = 253;
/** 1 to 63 visible ASCII characters; the DNS allows more, but nothing we ask for needs it. */
const LABELS = /^[!-\-/-~]{1,63}(?:\.[!-\-/-~]{1,63})*$/;
const HOST_LABELS = /^[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_](?:[a-z0-9_-]{0,62}))*$/;
const ALL_NUMERIC_LAST_LABEL = /(?:^|\.)[0-9]+$/;

/** Lower case, without the trailing dot; the root `.` becomes the empty string. */
export function normalizeName(name: string): string {
  const lower = name.toLowerCase();
  return lower.endsWith('.') ? lower.slice(0, -1) : lower;
}

/** True if a normalised name can be put into a DNS question. */
export function isAskable(name: string): boolean {
  return name === '' || (name.length <= MAX_NAME_LENGTH && LABELS.test(name));
}

/**
 * True if a normalised name may be the name of a host (RFC 1123 section 2.1; underscores are
 * tolerated because they occur). The last label must not be all digits: `192.0.2.1` is no name.
 */
export function isHostName(name: string): boolean {
  return (
    name.length <= MAX_NAME_LENGTH && HOST_LABELS.test(name) && !ALL_NUMERIC_LAST_LABEL.test(name)
  );
}
