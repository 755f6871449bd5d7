import { createGuard, type Guard, type GuardParts } from "../packages/server/src/egress/guard.ts";
import { createOwn, type OwnParts } from "../packages/server/src/egress/own.ts";
import { type EgressPolicy, parseBlocks, parsePorts } from "../packages/server/src/egress/policy.ts";

/** An installation that is open to the world, with nothing opened or closed by its operator. */
export const openToTheWorld: EgressPolicy = {
  allowHttp: "none",
  allow: [],
  deny: [],
  ports: [],
  nat64: false,
};

export interface TestGuardParts extends Partial<Omit<GuardParts, "policy" | "own">> {
  readonly policy?: Partial<EgressPolicy>;
  /** SENDOFF_EGRESS_ALLOW, SENDOFF_EGRESS_DENY and SENDOFF_EGRESS_PORTS as they are written. */
  readonly allow?: string;
  readonly deny?: string;
  readonly ports?: string;
  readonly own?: Partial<OwnParts>;
  readonly ownUrls?: readonly string[];
}

/** A guard; plain http to loopback is closed unless the policy opens it, and names lead nowhere. */
export function testGuard(parts: TestGuardParts = {}): Guard {
  const own = createOwn({
    listenPort: null,
    publicUrl: async () => Promise.reject(new Error("no API has started")),
    ...parts.own,
  });
  for (const url of parts.ownUrls ?? []) own.addUrl(url);
  const blocks = (list: string | undefined) => (list === undefined ? [] : (parseBlocks(list) ?? []));
  const policy = {
    ...openToTheWorld,
    allow: blocks(parts.allow),
    deny: blocks(parts.deny),
    ports: parts.ports === undefined ? [] : (parsePorts(parts.ports) ?? []),
    ...parts.policy,
  };
  const { resolver = { resolve: async () => [] }, ca, budgets } = parts;
  return createGuard({
    policy,
    own,
    resolver,
    ...(ca === undefined ? {} : { ca }),
    ...(budgets === undefined ? {} : { budgets }),
  });
}
