import { isIP } from "node:net";
import ipaddr from "ipaddr.js";

/** An address of either family, parsed. */
export type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** A block of addresses, as a CIDR names it. */
export interface Block {
  readonly text: string;
  readonly base: Address;
  readonly bits: number;
}

/** Reads an address as resolvers and sockets write it; null when it is none. A zone (`%eth0`) is left out. */
export function parseAddress(text: string): Address | null {
  // ipaddr.js alone also reads 127.1, 0177.0.0.1 and 2130706433.
  if (isIP(text) === 0) return null;
  return ipaddr.parse(text.replace(/%.*$/, ""));
}

/** Reads a CIDR such as 10.0.0.0/8, or a lone address; null when it is neither. */
export function parseBlock(text: string): Block | null {
  const [address = "", bits, ...rest] = text.split("/");
  const base = address.includes("%") ? null : parseAddress(address);
  if (base === null || rest.length > 0) return null;
  const most = base.kind() === "ipv4" ? 32 : 128;
  if (bits === undefined) return { text, base, bits: most };
  if (!/^\d{1,3}$/.test(bits) || Number(bits) > most) return null;
  return { text, base, bits: Number(bits) };
}

/** Whether an address lies in one of the blocks. */
export function isWithin(address: Address, blocks: readonly Block[]): boolean {
  return blocks.some(
    ({ base, bits }) =>
      base.kind() === address.kind() && (address as ipaddr.IPv6).match(base as ipaddr.IPv6, bits),
  );
}

const blocks = (...texts: string[]): Block[] =>
  texts.flatMap((text) => {
    const block = parseBlock(text);
    return block === null ? [] : [block];
  });

/** All that IANA has given out for hosts of the public IPv6 network. */
const publicV6 = blocks("2000::/3");
const mappedV6 = blocks("::ffff:0:0/96", "::/96");
const nat64V6 = blocks("64:ff9b::/96");
const sixToFourV6 = blocks("2002::/16");

/** What an address is for. Everything but `public` is closed unless the operator opens it. */
export type AddressKind = "public" | "loopback" | "not_public";

/**
 * Source: hostile cases, D1 to D3. An address is public only when it is known to be: ranges that nobody has thought of
 * yet are closed. IPv4 inside IPv6 (mapped, compatible, NAT64, 6to4, Teredo) is closed whatever is inside.
 */
export function kindOf(address: Address): AddressKind {
  const range = address.range();
  if (range === "loopback") return "loopback";
  if (range !== "unicast") return "not_public";
  if (address.kind() === "ipv4") return "public";
  // For ipaddr.js 4000::1 and ::127.0.0.1 are like any other.
  return isWithin(address, publicV6) ? "public" : "not_public";
}

/** The IPv4 address that an IPv6 address leads to through a NAT64 with the well-known prefix (RFC 6052), or null. */
export function throughNat64(address: Address): Address | null {
  return isWithin(address, nat64V6) ? lowFour(address, 12) : null;
}

/** The IPv4 address that stands in an IPv6 address, in whatever form, or null. A denied one stays denied in all of them. */
export function embeddedIn(address: Address): Address | null {
  if (isWithin(address, mappedV6)) return lowFour(address, 12);
  if (isWithin(address, sixToFourV6)) return lowFour(address, 2);
  return throughNat64(address);
}

const lowFour = (address: Address, at: number): Address =>
  ipaddr.fromByteArray(address.toByteArray().slice(at, at + 4));
