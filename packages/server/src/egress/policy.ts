import {
  type Address,
  type Block,
  embeddedIn,
  isWithin,
  kindOf,
  parseBlock,
  throughNat64,
} from "./address.ts";

/** Which plain `http://` URLs are let through: none, those of the loopback interface, or all. Behaviour, section 7. */
type AllowHttp = "none" | "loopback" | "all";

/** Ports from one to another, both included. */
interface PortRange {
  readonly from: number;
  readonly to: number;
}

/** What the operator opens and closes. */
export interface EgressPolicy {
  /** SENDOFF_ALLOW_HTTP. */
  readonly allowHttp: AllowHttp;
  /** SENDOFF_EGRESS_ALLOW: blocks that are open although they are not public. */
  readonly allow: readonly Block[];
  /** SENDOFF_EGRESS_DENY: blocks that are closed, whatever else is open. */
  readonly deny: readonly Block[];
  /** SENDOFF_EGRESS_PORTS: ports beside the standard ones. */
  readonly ports: readonly PortRange[];
  /** SENDOFF_EGRESS_NAT64: this network reaches IPv4 through 64:ff9b::/96, so the IPv4 address inside decides. */
  readonly nat64: boolean;
}

/** Ports that need no setting; 80 and 8080 only where plain http is open. Hostile cases, "URL at registration". */
const standardPorts = { "https:": [443, 8_443], "http:": [80, 443, 8_080, 8_443] };

/** Reads a list of CIDRs, separated by commas; null when one of them is wrong. */
export function parseBlocks(list: string): Block[] | null {
  const read = list.split(",").map((text) => parseBlock(text.trim()));
  return read.includes(null) ? null : (read as Block[]);
}

/** Reads a list of ports and ranges such as `8080,9000-9100`; null when one of them is wrong. */
export function parsePorts(list: string): PortRange[] | null {
  const read = list.split(",").map((text) => {
    const [, from, to] = /^\s*(\d{1,5})(?:-(\d{1,5}))?\s*$/.exec(text) ?? [];
    if (from === undefined) return null;
    const range = { from: Number(from), to: Number(to ?? from) };
    return range.from >= 1 && range.from <= range.to && range.to <= 65_535 ? range : null;
  });
  return read.includes(null) ? null : (read as PortRange[]);
}

/** The port of a URL, also when it does not stand there. */
export const portOf = (url: URL): number => Number(url.port || (url.protocol === "https:" ? 443 : 80));

/** Whether a POST may go to a port. What plain http opens on loopback is open at every port, for sinks take any. */
export function portIsOpen(policy: EgressPolicy, protocol: "http:" | "https:", port: number): boolean {
  return (
    standardPorts[protocol].includes(port) || policy.ports.some(({ from, to }) => from <= port && port <= to)
  );
}

/** Whether plain http to the loopback interface is open. */
export const opensLoopback = (policy: EgressPolicy, protocol: string): boolean =>
  protocol === "http:" && policy.allowHttp !== "none";

/** Whether an address was denied by the operator, in whatever form it is written. */
export function isDenied(policy: EgressPolicy, address: Address): boolean {
  const inside = embeddedIn(address);
  return isWithin(address, policy.deny) || (inside !== null && isWithin(inside, policy.deny));
}

/**
 * Whether a connection may go to an address: not where the operator denies it, to what he allows, to loopback as far as
 * plain http is open, and else to public addresses alone.
 */
export function addressIsOpen(policy: EgressPolicy, protocol: string, address: Address): boolean {
  if (isDenied(policy, address)) return false;
  if (isWithin(address, policy.allow)) return true;
  const inside = policy.nat64 ? throughNat64(address) : null;
  // A NAT64 is another machine: its loopback is not ours.
  if (inside !== null) return isWithin(inside, policy.allow) || kindOf(inside) === "public";
  const kind = kindOf(address);
  return kind === "public" || (kind === "loopback" && opensLoopback(policy, protocol));
}
