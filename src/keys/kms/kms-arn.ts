/** A key's name in AWS, by which every call names it: an id alone would not say where it is. */
export interface KmsArn {
  readonly region: string;
  /** Twelve digits. */
  readonly account: string;
  readonly keyId: string;
  /** Its replicas in other Regions have the same id: https://docs.aws.amazon.com/kms/latest/developerguide/mrk-how-it-works.html */
  readonly multiRegion: boolean;
}

/** @returns undefined when it is no ARN of a KMS key; an alias is none, as it may come to mean another key */
export function parseKmsArn(text: string): KmsArn | undefined {
  const match =
    /^arn:aws[a-z-]*:kms:([a-z0-9-]{3,32}):(\d{12}):key\/((mrk-[0-9a-f]{32})|[0-9a-f-]{36})$/.exec(
      text,
    );
  const [, region, account, keyId, mrk] = match ?? [];
  if (region === undefined || account === undefined || keyId === undefined) return undefined;
  return { region, account, keyId, multiRegion: mrk !== undefined };
}

/** The ARN of the same multi-Region key in another Region. */
export function arnIn(arn: string, region: string): string {
  if (arn.includes(`:kms:${region}:`)) return arn;
  return arn.replace(/^(arn:[^:]+:kms:)[^:]+/, `$1${region}`);
}
