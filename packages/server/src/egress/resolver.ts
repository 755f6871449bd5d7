import { promises as dns } from "node:dns";

/** Answers which addresses a name has. */
export interface Resolver {
  /**
   * All addresses of a name, IPv4 first; none when it has none. One look-up, within the caller's time.
   *
   * @throws Error when no server could say.
   */
  resolve(name: string): Promise<readonly string[]>;
}

/** How long a server may take before it is asked again, in milliseconds. */
const serverTimeoutMs = 1_000;
const tries = 3;

/**
 * Asks the system's DNS servers. Names are absolute: neither a search list nor `/etc/hosts` has a say (hostile cases,
 * D14), and nothing is remembered.
 *
 * @param servers addresses of DNS servers; the system's when they are missing.
 */
export function createResolver(servers: readonly string[] = []): Resolver {
  const resolver = new dns.Resolver({ timeout: serverTimeoutMs, tries });
  if (servers.length > 0) resolver.setServers(servers);
  return {
    async resolve(name) {
      const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
      const addresses = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
      if (addresses.length > 0) return addresses;
      const unanswered = answers.find(
        (answer) => answer.status === "rejected" && !hasNone.has(String(answer.reason?.code)),
      );
      if (unanswered?.status === "rejected") throw unanswered.reason;
      return [];
    },
  };
}

/** The name is not there, or has no addresses of the family that was asked for. */
const hasNone = new Set(["ENOTFOUND", "ENODATA"]);
