/**
 * For `NODE_OPTIONS=--import`: at SIGUSR2 the process finds that `SLEEP_MS` milliseconds have passed
 * on the wall clock, as after a machine's sleep.
 */
const now = Date.now;
let sleptMs = 0;
Date.now = () => now() + sleptMs;
process.on('SIGUSR2', () => {
  sleptMs += Number(process.env.SLEEP_MS);
});
