/**
 * Polls until something that the test cannot subscribe to has come true (another program's queue,
 * a log file). Bounded; the failure says what was waited for and what was seen last.
 *
 * @param what completes the sentence "gave up waiting for …"
 * @param check the condition; an exception counts as "not yet"
 */
export async function waitFor(
  what: string,
  check: () => Promise<boolean> | boolean,
  timeoutMs = 15_000,
): Promise<void> {
  const endMs = Date.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      if (await check()) return;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() > endMs) throw new Error(`gave up waiting for ${what}`, { cause: last });
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
