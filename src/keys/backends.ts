import type { BackendRow } from './backend.ts';
import type { BackendName } from './backend-names.ts';
import { fileBackend } from './file-backend.ts';
import { kmsEnvelopeBackend } from './kms/kms-envelope-backend.ts';
import { kmsSignBackend } from './kms/kms-sign-backend.ts';

/** The rows; a new back end is one more, with its name in `backend-names.ts`. */
export const BACKENDS: Readonly<Record<BackendName, BackendRow>> = {
  file: fileBackend,
  'kms-sign': kmsSignBackend,
  'kms-envelope': kmsEnvelopeBackend,
};
