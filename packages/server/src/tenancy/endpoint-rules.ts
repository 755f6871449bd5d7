import { type EndpointHeader, urlBytesMax } from "@sendoff/contract";
import { Refusal } from "../refusal.ts";

/** Which plain `http://` URLs are let through: none, those of the loopback interface, or all. Behaviour, section 7. */
export type AllowHttp = "none" | "loopback" | "all";

const loopbackHosts = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/**
 * The rules on an endpoint's URL that need no look at the network.
 *
 * @returns the URL in canonical form.
 * @throws Refusal that names the rule.
 */
export function checkUrl(input: string, allowHttp: AllowHttp): string {
  const refuse = (rule: string, sentence: string): never => {
    throw new Refusal(
      "invalid_url",
      `The URL ${JSON.stringify(input.slice(0, 200))} is refused (${rule}): ${sentence}`,
      {
        details: [{ path: "postSessionWebhook.url", message: rule }],
      },
    );
  };
  if (Buffer.byteLength(input) > urlBytesMax) refuse("too_long", `expected at most ${urlBytesMax} bytes.`);
  // The parser drops or trims these without a word, and then it is another URL than the one that was read.
  if (!/^[\x21-\x7e]+$/.test(input) || input.includes("\\")) {
    refuse("forbidden_character", "expected ASCII without spaces, control characters and backslashes.");
  }
  if (!URL.canParse(input)) refuse("not_a_url", "expected an address such as https://example.com/hook.");
  const url = new URL(input);
  if (url.username !== "" || url.password !== "") refuse("credentials", "put them in a header instead.");
  if (url.hash !== "" || input.endsWith("#")) refuse("fragment", "a fragment is never sent; leave it out.");
  if (url.protocol === "https:") return url.href;
  if (url.protocol !== "http:") refuse("scheme_not_https", "expected https.");
  const allowed = allowHttp === "all" || (allowHttp === "loopback" && loopbackHosts.test(url.hostname));
  if (!allowed) {
    refuse(
      "scheme_not_https",
      allowHttp === "loopback"
        ? "expected https; plain http is for addresses of this machine alone (SENDOFF_ALLOW_HTTP=loopback)."
        : "expected https; for development start Sendoff with SENDOFF_ALLOW_HTTP=loopback.",
    );
  }
  return url.href;
}

const headersMax = 20;
const headersBytesMax = 8 * 1024;

/** Names that frame the message, speak of the hop, arm a metadata service, or are ours. Hostile cases, "Headers we send". */
const deniedNames = new Set([
  "accept-encoding",
  "connection",
  "content-encoding",
  "content-length",
  "content-type",
  "cookie2",
  "date",
  "expect",
  "forwarded",
  "host",
  "http2-settings",
  "keep-alive",
  "metadata",
  "metadata-flavor",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "user-agent",
  "via",
  "x-real-ip",
  "__proto__",
  "constructor",
]);
const deniedPrefixes = [
  "proxy-",
  "x-forwarded-",
  "webhook-",
  "sendoff-",
  "x-sendoff-",
  "sec-",
  "x-amz-",
  "x-goog-",
  "x-aws-ec2-metadata-",
];

/**
 * The rules on an endpoint's own headers: found here, never first when they are sent.
 *
 * @throws Refusal that names the header and the rule. Its value is not shown.
 */
export function checkHeaders(headers: readonly EndpointHeader[]): void {
  const refuse = (index: number, rule: string, sentence: string): never => {
    throw new Refusal(
      "invalid_header",
      `Header ${index + 1} (${JSON.stringify(headers[index]?.key)}) is refused (${rule}): ${sentence}`,
      {
        details: [{ path: `postSessionWebhook.headers[${index}]`, message: rule }],
      },
    );
  };
  const seen = new Set<string>();
  let bytes = 0;
  headers.forEach(({ key, value }, index) => {
    const name = key.toLowerCase();
    // Not of the lower-cased name: the Kelvin sign lower-cases to a k.
    if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(key))
      refuse(index, "not_a_token", "expected a name of letters, digits and -.");
    if (deniedNames.has(name) || deniedPrefixes.some((prefix) => name.startsWith(prefix))) {
      refuse(
        index,
        "denied_header",
        "this name is set by the connection or by Sendoff itself; choose another.",
      );
    }
    if (seen.has(name)) refuse(index, "duplicate_header", "expected each name once, in whatever case.");
    if (!/^[\x20-\x7e\t]*$/.test(value) || value !== value.trim()) {
      refuse(
        index,
        "forbidden_character",
        "expected visible ASCII, without line breaks and without spaces at its ends.",
      );
    }
    seen.add(name);
    bytes += key.length + value.length;
  });
  if (headers.length > headersMax || bytes > headersBytesMax) {
    throw new Refusal(
      "invalid_header",
      `Expected at most ${headersMax} headers and ${headersBytesMax} bytes of them; given ${headers.length} and ${bytes}.`,
    );
  }
}
