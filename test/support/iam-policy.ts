/** An IAM policy document, as far as the ones in docs/kms use the language. */
export interface IamPolicy {
  readonly Version: string;
  readonly Statement: readonly IamStatement[];
}

export interface IamStatement {
  readonly Sid: string;
  readonly Effect: 'Allow' | 'Deny';
  readonly Principal?: unknown;
  readonly Action: readonly string[];
  readonly Resource: string | readonly string[];
  readonly Condition?: Readonly<
    Record<string, Readonly<Record<string, string | readonly string[]>>>
  >;
}

/** A request, with its context; several values for keys that take several. */
export interface IamRequest {
  readonly action: string;
  readonly resource: string;
  readonly context?: Readonly<Record<string, string | readonly string[]>>;
}

/**
 * What IAM says by policies taken together: an explicit Deny wins, and nothing is allowed that no
 * statement allows. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
 */
export function isAllowed(policies: readonly IamPolicy[], request: IamRequest): boolean {
  const matching = policies
    .flatMap((policy) => policy.Statement)
    .filter((statement) => matches(statement, request));
  return matching.length > 0 && matching.every((statement) => statement.Effect === 'Allow');
}

function matches(statement: IamStatement, request: IamRequest): boolean {
  const resources = list(statement.Resource);
  if (!statement.Action.includes(request.action)) return false;
  if (!resources.some((pattern) => isLike(request.resource, pattern))) return false;
  return Object.entries(statement.Condition ?? {}).every(([operator, keys]) =>
    Object.entries(keys).every(([key, wanted]) =>
      holds(operator, request.context?.[key], list(wanted)),
    ),
  );
}

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html */
function holds(
  operator: string,
  given: string | readonly string[] | undefined,
  wanted: readonly string[],
): boolean {
  const [, forAll, plain = operator] = /^(ForAllValues:)?(.+)$/.exec(operator) ?? [];
  if (plain === 'Null') return wanted.includes(String(given === undefined));
  const fits = (value: string) => {
    switch (plain) {
      case 'StringEquals':
      case 'Bool':
        return wanted.includes(value);
      case 'StringLike':
        return wanted.some((pattern) => isLike(value, pattern));
      case 'NumericGreaterThanEquals':
        return wanted.some((least) => Number(value) >= Number(least));
      default:
        throw new Error(`the operator ${operator} is not known here`);
    }
  };
  if (forAll !== undefined) return list(given ?? []).every(fits); // also when there is none
  return given !== undefined && list(given).some(fits);
}

function isLike(value: string, pattern: string): boolean {
  const source = pattern
    .replace(/[\\^$.|+()[\]{}]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`).test(value);
}

function list(value: string | readonly string[]): readonly string[] {
  return typeof value === 'string' ? [value] : value;
}
