/** Names of the back ends in manifests; each has a row in `backends.ts`. */
export const BACKEND_NAMES = ['file'] as const;

export type BackendName = (typeof BACKEND_NAMES)[number];
