/** What a relay says of itself. */
export interface RelayReport {
  readonly relay: string;
  /** UTC, ISO 8601. */
  readonly at: string;
  /** Generation of the keyring that it has in force. */
  readonly generation: number;
  readonly keys: readonly {
    readonly domain: string;
    readonly selector: string;
    readonly usable: boolean;
    readonly reason?: string;
  }[];
}
