/** What a relay says of itself. */
export interface RelayReport {
  readonly relay: string;
  /** UTC, ISO 8601. */
  readonly at: string;
  /** The next one comes before; an older report is of a relay that is gone, or cut off. */
  readonly goodUntil: string;
  /** Generation of the keyring that it has in force. */
  readonly generation: number;
  /** Keys that were tried; a key that is not listed was not. */
  readonly keys: readonly {
    readonly domain: string;
    readonly selector: string;
    readonly usable: boolean;
    readonly reason?: string;
  }[];
}

/** Does the relay go on, as far as its report tells? */
export function isAlive(report: RelayReport, wallMs: number): boolean {
  return Date.parse(report.goodUntil) >= wallMs;
}
