import type { Clock } from '../../../src/base/clock.ts';

/** The machine's clock, running faster: for tests that wait through minutes of polling. */
export function scaledClock(factor: number): Clock {
  const startMs = Date.now();
  const begunMs = performance.now();
  const passedMs = () => (performance.now() - begunMs) * factor;
  return {
    wallMs: () => startMs + passedMs(),
    monotonicMs: passedMs,
    after: (delayMs, action) => {
      const timer = setTimeout(action, delayMs / factor);
      return () => clearTimeout(timer);
    },
  };
}
