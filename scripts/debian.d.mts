/** See debian.mjs. */
export function debianPackages(packages: readonly string[]): {
  readonly root: string;
  readonly env: NodeJS.ProcessEnv;
};
