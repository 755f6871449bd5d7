import { maskValue } from "../tenancy/endpoints.ts";

/**
 * Headers whose values are no secret by their meaning, and tell what was sent: of the message, of the hop, and Sendoff's
 * own. A signature is worth nothing without its secret, and is checked where the request is read.
 */
const shownNames: ReadonlySet<string> = new Set([
  "accept",
  "accept-encoding",
  "connection",
  "content-encoding",
  "content-length",
  "content-type",
  "date",
  "host",
  "sendoff-attempt",
  "sendoff-trigger",
  "transfer-encoding",
  "user-agent",
  "webhook-id",
  "webhook-signature",
  "webhook-timestamp",
]);

/**
 * The headers of a request as an inspector keeps them: a value that may be a secret is masked before it is stored, as
 * an endpoint's is where it is answered. Who looks sees that the header came and its last characters.
 */
export function maskedHeaders(headers: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name,
      shownNames.has(name) ? String(value) : maskValue(String(value)),
    ]),
  );
}
