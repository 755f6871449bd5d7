import { Webhook } from "standardwebhooks";
import type { SinkRequest } from "../history.ts";
import { type Evidence, type Violation, violation, webhookIdOf } from "./evidence.ts";
import { shown } from "./posts.ts";

/** How far a request's timestamp may be from its begin, in milliseconds. */
const toleranceMs = 5_000;

/** I8: every request verifies under its endpoint's secret, and its timestamp is within 5 s of its begin. */
export function checkSignatures({ history, pathOf }: Evidence): Violation[] {
  const verifiers = new Map<string, Webhook>();
  return history.requests.flatMap((request) => {
    const endpoint = pathOf.get(request.path);
    if (endpoint === undefined || request.body === null) return [];
    const verifier = verifiers.get(endpoint.secret) ?? new Webhook(endpoint.secret);
    verifiers.set(endpoint.secret, verifier);
    const wrong = fault(verifier, request, request.body);
    return wrong === null ? [] : violation("I8", `request ${request.id}: ${wrong}`, ...shown([request]));
  });
}

function fault(verifier: Webhook, request: SinkRequest, body: string): string | null {
  const timestamp = request.headers["webhook-timestamp"] ?? "";
  if (!/^\d+$/.test(timestamp)) return `its webhook-timestamp is ${JSON.stringify(timestamp)}`;
  const seconds = Number(timestamp);
  // The library's own check is against the clock of now; the signature is compared, and the time below.
  const expected = verifier.sign(webhookIdOf(request), new Date(seconds * 1_000), body);
  const signatures = (request.headers["webhook-signature"] ?? "").split(" ");
  if (!signatures.includes(expected)) return "its signature does not verify";
  // The header has whole seconds, rounded down: up to one second of age is the format's own.
  const ageMs = request.wallMs - seconds * 1_000;
  return ageMs < -toleranceMs || ageMs > toleranceMs + 1_000
    ? `its webhook-timestamp is ${(ageMs / 1_000).toFixed(1)} s before its begin`
    : null;
}
