/** An error as KMS answers it: `__type` and `message` in JSON, with a status. */
export class KmsAnswerError extends Error {
  readonly type: string;
  readonly status: number;

  constructor(type: string, message: string, status = 400) {
    super(message);
    this.type = type;
    this.status = status;
  }
}

/** What an operation refuses for the form of its input. */
export function invalid(message: string): KmsAnswerError {
  return new KmsAnswerError('ValidationException', message);
}
