import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import { DownloadFailed } from "./failure.ts";

/** Which links may be followed. */
export interface LinkRules {
  /** Hosts as they stand in a URL, with the port when it is not 443: `recordings.example.com`, `*.example.com`. */
  readonly hosts: readonly string[];
  /** Also takes `http:` and addresses that are not public, of hosts that are listed. Never in production. */
  readonly development: boolean;
}

/** Reads a link, or refuses it. Its query is a secret and comes into no message. @throws DownloadFailed */
export function checkLink(link: string, { hosts, development }: LinkRules): URL {
  const refuse = (what: string): never => {
    throw new DownloadFailed("link_refused", what);
  };
  let url: URL;
  try {
    url = new URL(link);
  } catch {
    return refuse("the link is no URL");
  }
  if (url.protocol !== "https:" && !(development && url.protocol === "http:")) {
    return refuse(`the link begins with ${url.protocol}, expected https:`);
  }
  if (url.username !== "" || url.password !== "")
    return refuse("the link has a user name or a password in it");
  if (!hosts.some((host) => fits(host.toLowerCase(), url.host))) {
    return refuse(`the link leads to ${url.host}, which is not among the hosts that are allowed`);
  }
  const literal = url.hostname.replace(/^\[|\]$/g, "");
  if (isIP(literal) !== 0) checkAddress(literal, development);
  return url;
}

const fits = (host: string, given: string): boolean =>
  host.startsWith("*.") ? given.endsWith(host.slice(1)) && given.length > host.length - 1 : given === host;

/** All that IANA has given out for hosts of the public IPv6 network; ipaddr.js calls more than that unicast. */
const publicV6 = ipaddr.parseCIDR("2000::/3");

/** An address is public only when it is known to be; IPv4 inside IPv6 never is. @throws DownloadFailed */
export function checkAddress(address: string, development: boolean): void {
  if (development) return;
  const parsed = isIP(address) === 0 ? null : ipaddr.parse(address.replace(/%.*$/, ""));
  const isPublic =
    parsed?.range() === "unicast" &&
    (parsed.kind() === "ipv4" || (parsed as ipaddr.IPv6).match(publicV6 as [ipaddr.IPv6, number]));
  if (!isPublic) {
    throw new DownloadFailed("link_refused", "the link's host has an address that is not public");
  }
}

/**
 * When a link dies, in ms since 1970: what it says itself (Sendoff's own links, and those presigned for S3), but no later
 * than `lifeMs` behind its arrival.
 */
export function expiryOf(url: URL, receivedMs: number, lifeMs: number): number {
  const query = new Map([...url.searchParams].map(([name, value]) => [name.toLowerCase(), value]));
  const expires = Number(query.get("expires") ?? Number.NaN);
  const signed = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(query.get("x-amz-date") ?? "");
  const [year, month, day, hour, minute, second] = (signed ?? []).slice(1).map(Number);
  const signedMs =
    signed === null ? Number.NaN : Date.UTC(year ?? 0, (month ?? 1) - 1, day, hour, minute, second);
  const stated = [expires * 1_000, signedMs + Number(query.get("x-amz-expires") ?? Number.NaN) * 1_000];
  return Math.min(receivedMs + lifeMs, ...stated.filter(Number.isFinite));
}
