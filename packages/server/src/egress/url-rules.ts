import { urlBytesMax } from "@sendoff/contract";
import { isWithin, kindOf, parseAddress } from "./address.ts";
import type { Own } from "./own.ts";
import { type EgressPolicy, isDenied, opensLoopback, portIsOpen, portOf } from "./policy.ts";

/** A rule that a URL breaks, and what was expected instead, as a sentence. */
export interface Broken {
  readonly rule: string;
  readonly expected: string;
}

const broken = (rule: string, expected: string): Broken => ({ rule, expected });

/** Most bytes of path and query together. */
const pathBytesMax = 1_500;
const hostBytesMax = 253;

/** Names that never lead to a receiver on the public network. Hostile cases, "URL at registration". */
const reservedNames = ["onion", "invalid", "test", "example", "in-addr.arpa", "ip6.arpa", "alt"];
/** Names of private networks. They are of use only where the operator has opened a private network. */
const privateNames = ["local", "internal", "home.arpa", "localdomain", "svc"];

const isUnder = (host: string, names: readonly string[]): boolean =>
  names.some((name) => host === name || host.endsWith(`.${name}`));

/**
 * The rules on a URL as it was written. What the parser drops, trims or decodes without a word makes another URL of the
 * one that was read, so the text must be the canonical form already (but for a missing `/` at its end).
 */
export function brokenByText(input: string): Broken | null {
  if (Buffer.byteLength(input) > urlBytesMax)
    return broken("too_long", `expected at most ${urlBytesMax} bytes.`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  if (/[\x00-\x20\x7f]/.test(input))
    return broken("control_character", "expected no spaces, line breaks or other control characters.");
  if (!/^[\x21-\x7e]*$/.test(input))
    return broken(
      "non_ascii",
      "expected ASCII; write a host in its xn-- form and a path in percent-encoding.",
    );
  if (input.includes("\\")) return broken("backslash", "expected / instead.");
  const [, slashes = "", authority = ""] = /^https?:(\/*)([^/?#]*)/i.exec(input) ?? [];
  const [, port] = /:(\d+)$/.exec(authority) ?? [];
  if (port !== undefined && Number(port) > 65_535)
    return broken("port_not_allowed", "expected a port below 65536.");
  if (!URL.canParse(input))
    return broken("not_a_url", "expected an address such as https://example.com/hook.");
  if (/^https?:/i.test(input) && slashes !== "//")
    return broken("not_canonical", "expected exactly two slashes after the scheme.");
  return null;
}

/** Whether the text is what the parser makes of it; asked last, for other rules say more. */
export function brokenByForm(input: string, url: URL): Broken | null {
  if (url.href === input || url.href === `${input}/`) return null;
  return broken("not_canonical", `expected it as ${JSON.stringify(url.href)}.`);
}

/** The rules on a parsed URL that need no look at the network. The same at save, test and every attempt. */
export function brokenByUrl(url: URL, policy: EgressPolicy, own: Own): Broken | null {
  if (url.username !== "" || url.password !== "")
    return broken("credentials", "put them in a header instead.");
  if (url.hash !== "" || url.href.endsWith("#"))
    return broken("fragment", "a fragment is never sent; leave it out.");
  if (url.protocol !== "https:" && url.protocol !== "http:")
    return broken("scheme_not_https", "expected https.");
  if (Buffer.byteLength(url.pathname + url.search) > pathBytesMax)
    return broken("too_long", `expected at most ${pathBytesMax} bytes of path and query.`);
  if (own.isInspector(url)) return null;
  const target = brokenByHost(url, policy);
  if (target !== null) return target;
  return own.isTarget(url)
    ? broken("self_target", "this is Sendoff itself; expected the address of a receiver.")
    : null;
}

function brokenByHost(url: URL, policy: EgressPolicy): Broken | null {
  const protocol = url.protocol as "http:" | "https:";
  const host = url.hostname;
  const address = parseAddress(host.replace(/^\[|\]$/g, ""));
  const isLoopback = address === null ? host === "localhost" : kindOf(address) === "loopback";
  if (protocol === "http:") {
    const open = policy.allowHttp === "all" || (isLoopback && opensLoopback(policy, protocol));
    if (!open) return broken("scheme_not_https", httpHelp[policy.allowHttp]);
  }
  if (address !== null && isDenied(policy, address)) return forbiddenAddress;
  if (isLoopback && opensLoopback(policy, protocol)) return null;
  if (address === null) {
    const name = brokenByName(host, policy);
    if (name !== null) return name;
  } else if (!isWithin(address, policy.allow)) {
    return broken(
      "ip_literal",
      "expected a host's name; the operator opens addresses by SENDOFF_EGRESS_ALLOW.",
    );
  }
  return portIsOpen(policy, protocol, portOf(url))
    ? null
    : broken(
        "port_not_allowed",
        "expected port 443 or 8443; the operator opens others by SENDOFF_EGRESS_PORTS.",
      );
}

function brokenByName(host: string, policy: EgressPolicy): Broken | null {
  const reserved = broken("reserved_name", "this name leads to no receiver on the public network.");
  const labels = host.split(".");
  if (isUnder(host, ["localhost"]) || isUnder(host.replace(/\.$/, ""), ["localhost"])) return reserved;
  if (isUnder(host, reservedNames)) return reserved;
  // Where a private network is open its names are, too; what they lead to is checked as an address.
  const privateIsOpen = policy.allow.length > 0;
  if (isUnder(host, privateNames) && !privateIsOpen) return reserved;
  const malformed =
    host.length > hostBytesMax ||
    (labels.length < 2 && !privateIsOpen) ||
    /^\d+$/.test(labels.at(-1) ?? "") ||
    !labels.every((label) => /^[a-z0-9-]([a-z0-9_-]{0,61}[a-z0-9-])?$/.test(label));
  return malformed
    ? broken(
        "host_name",
        "expected a full name such as hooks.example.com, in labels of 1 to 63 letters, digits and -.",
      )
    : null;
}

/** One wording for every address: which kind it is would tell strangers what a private network looks like. */
export const forbiddenAddress: Broken = broken(
  "forbidden_address",
  "it leads to an address that is private, reserved or closed by the operator; expected a public one.",
);

const httpHelp: Readonly<Record<EgressPolicy["allowHttp"], string>> = {
  none: "expected https; for development start Sendoff with SENDOFF_ALLOW_HTTP=loopback.",
  loopback:
    "expected https; plain http is for addresses of this machine alone (SENDOFF_ALLOW_HTTP=loopback).",
  all: "expected https or http.",
};
