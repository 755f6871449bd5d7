import type { EndpointHeader } from "@sendoff/contract";
import { Refusal } from "../refusal.ts";

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
