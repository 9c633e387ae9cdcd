import { AsyncLocalStorage } from 'node:async_hooks';

/**
 * The ids that AWS gave to the requests of one piece of work, for the journal. A back end or a
 * publisher says them where it has them; who writes the journal takes them. Domains that are worked
 * at side by side do not mix. Where nobody asked for a trace (a relay that signs), it costs nothing.
 */
const TRACE = new AsyncLocalStorage<string[]>();

/** The last ones count: a step that had to be tried again has many. */
const MAX_IDS = 20;

/** Runs `work` with a trace of its own. */
export async function tracingRequests<Result>(work: () => Promise<Result>): Promise<Result> {
  return await TRACE.run([], work);
}

/** Says the id of a request; nothing happens outside of a trace. */
export function traceRequest(requestId: string | undefined): void {
  if (requestId !== undefined) TRACE.getStore()?.push(requestId);
}

/** The ids since the last call, the newest 20 of them; empty outside of a trace. */
export function takeRequestIds(): readonly string[] {
  return TRACE.getStore()?.splice(0).slice(-MAX_IDS) ?? [];
}
