// What the command line uses of the server.
import type { StartOptions } from "./ground.ts";
import type { InstallationKeys } from "./installation-keys.ts";
import type { Running } from "./running.ts";

export { postUrl } from "./egress/inspector-url.ts";
export type { InstallationKeys } from "./installation-keys.ts";
export type { Role, Running } from "./running.ts";
export { StartError } from "./start-error.ts";
export { superviseSendoff } from "./supervisor.ts";

/** Sendoff in this process: see main.ts, which is loaded when it is called. Whoever supervises another needs none of it. */
export async function startSendoff(options: StartOptions): Promise<Running> {
  const main = await import("./main.ts");
  return main.startSendoff(options);
}

/** Lends the keys of an installation: see installation-keys.ts, which is loaded when it is called. */
export async function withInstallationKeys<Result>(
  env: StartOptions["env"],
  work: (keys: InstallationKeys) => Promise<Result>,
): Promise<Result> {
  const keys = await import("./installation-keys.ts");
  return keys.withInstallationKeys(env, work);
}
