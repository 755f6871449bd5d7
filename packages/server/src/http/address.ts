import type { IncomingMessage } from "node:http";
import ipaddr from "ipaddr.js";
import proxyAddr from "proxy-addr";

/** Where requests come from. */
export interface Addresses {
  /** The network of who sent a request: of the client, when a trusted proxy has passed it on. */
  of(request: IncomingMessage): string;
  /** Whether connections of an address are those of a proxy, which carry requests of many. */
  isProxy(address: string): boolean;
}

/** @param trustedProxies addresses and ranges whose X-Forwarded-For is believed. */
export function createAddresses(trustedProxies: readonly string[]): Addresses {
  const trust = proxyAddr.compile([...trustedProxies]);
  const any = trustedProxies.length > 0;
  return {
    of: (request) => networkOf(any ? proxyAddr(request, trust) : (request.socket.remoteAddress ?? "")),
    isProxy: (address) => any && ipaddr.isValid(address) && trust(address, 0),
  };
}

/** Of IPv6 the first 64 bits: whoever has one such address has all of that network. */
export function networkOf(address: string): string {
  if (!ipaddr.isValid(address)) return "none";
  const parsed = ipaddr.process(address);
  const bytes = parsed.toByteArray();
  return (bytes.length === 4 ? bytes : bytes.slice(0, 8)).join(".");
}

/** Whether a list of addresses and ranges can be used by {@link createAddresses}. */
export function isProxyList(list: readonly string[]): boolean {
  try {
    proxyAddr.compile([...list]);
    return true;
  } catch {
    return false;
  }
}
