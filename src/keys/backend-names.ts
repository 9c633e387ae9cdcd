/** Names of the back ends in manifests; each has a row in `backends.ts`. */
export const BACKEND_NAMES = ['file', 'kms-sign', 'kms-envelope'] as const;

export type BackendName = (typeof BACKEND_NAMES)[number];
