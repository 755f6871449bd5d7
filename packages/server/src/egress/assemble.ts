import { createGuard, type Guard } from "./guard.ts";
import { createOwn } from "./own.ts";
import { type EgressPolicy, portOf } from "./policy.ts";
import { createResolver, type Resolver } from "./resolver.ts";

/**
 * The one guard of a process.
 *
 * @param resolver null: the system's DNS servers.
 * @param ownUrls where this process listens, and where the API is reached; null: it does not listen, not known yet.
 * @param publicUrl asks where the API is reached.
 */
export async function assembleGuard(
  policy: EgressPolicy,
  resolver: Resolver | null,
  [listensAt, apiUrl]: readonly [listensAt: string | null, apiUrl: string | null],
  publicUrl: () => Promise<string>,
): Promise<Guard> {
  const own = createOwn({ listenPort: listensAt === null ? null : portOf(new URL(listensAt)), publicUrl });
  for (const url of [listensAt, apiUrl]) if (url !== null) own.addUrl(url);
  if (apiUrl === null) await own.refresh();
  return createGuard({ policy, own, resolver: resolver ?? createResolver() });
}
