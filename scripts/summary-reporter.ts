/**
 * Mocha's `spec` report, and after it one plain line that people and machines read alike:
 * `123 passed, 0 failed, 4 skipped`.
 */
import Mocha from 'mocha';

export default class SummaryReporter extends Mocha.reporters.Spec {
  override epilogue(): void {
    super.epilogue();
    const { passes, failures, pending } = this.stats;
    process.stdout.write(`${passes} passed, ${failures} failed, ${pending} skipped\n`);
  }
}
