import { type EndpointHeader, withRecordingUrl } from "@sendoff/contract";
import type { Clock } from "../clock.ts";
import type { Claim } from "../outbox/claim.ts";
import type { AttemptResult } from "../outbox/result.ts";
import type { RecordingLinks } from "../recordings/links.ts";
import { conceal } from "../secrets/conceal.ts";
import type { Sealer } from "../secrets/seal.ts";
import { sign } from "../secrets/signature.ts";
import { headersSeal, secretSeal } from "../tenancy/endpoints.ts";
import type { AttemptRequest } from "./attempt.ts";

/** What an attempt is composed with. */
export interface ComposeParts {
  readonly sealer: Sealer;
  readonly links: RecordingLinks;
  readonly clock: Clock;
  /** The `user-agent` header: `Sendoff/<version>`. */
  readonly userAgent: string;
}

export interface Composed {
  readonly request: AttemptRequest;
  /** The link in the body without its signature, for the log; null when there is none. */
  readonly recordingUrl: string | null;
  /** The result as it may be stored: an endpoint that echoes its request would have its secrets put into the log. */
  withoutSecrets(result: AttemptResult): AttemptResult;
}

/** Makes the POST of a claim: URL, headers and secret of this moment, the stored bytes, and for a recording a fresh link. */
export async function composeAttempt(
  claim: Claim,
  mayBegin: () => boolean,
  parts: ComposeParts,
): Promise<Composed> {
  const place = secretSeal(claim.endpointId);
  const composedAtMs = parts.clock.wallMs();
  // A claim may have waited since it was made, and no secret signs after its end.
  const alongside = claim.oldSecrets.filter(({ untilMs }) => untilMs > composedAtMs);
  const [headersText, ...secrets] = await Promise.all([
    claim.headersSealed === null
      ? "[]"
      : parts.sealer.open(headersSeal(claim.endpointId), claim.headersSealed),
    parts.sealer.open(place, claim.secretSealed),
    ...alongside.map(({ sealed }) => parts.sealer.open(place, sealed)),
  ]);
  const headers = JSON.parse(headersText) as EndpointHeader[];
  const link = claim.recordingObjectKey === null ? null : await parts.links.mint(claim.recordingObjectKey);
  const body = link === null ? claim.payload : withRecordingUrl(claim.payload, link.url);
  const timestamp = Math.floor(composedAtMs / 1_000);
  return {
    request: {
      url: new URL(claim.url),
      timeoutMs: claim.timeoutMs,
      mayBegin,
      body,
      // Ours come last and none of the endpoint's own can bear these names (tenancy/endpoint-rules.ts).
      headers: [
        ...headers.flatMap(({ key, value }) => [key, value]),
        "content-type",
        "application/json",
        // Nothing is ever decompressed: a small answer could become a huge one.
        "accept-encoding",
        "identity",
        "user-agent",
        parts.userAgent,
        "webhook-id",
        claim.webhookId,
        "webhook-timestamp",
        String(timestamp),
        "webhook-signature",
        sign(secrets, claim.webhookId, timestamp, body),
        "sendoff-attempt",
        String(claim.attemptsBefore + claim.attempt),
        "sendoff-trigger",
        claim.trigger,
      ],
    },
    recordingUrl: link?.shownUrl ?? null,
    withoutSecrets: (result) =>
      result.responseBody === null
        ? result
        : {
            ...result,
            responseBody: conceal(result.responseBody, [
              ...headers.map(({ value }) => value),
              ...secrets,
              ...(link === null ? [] : secretsOf(link.url)),
            ]),
          },
  };
}

/** What makes a link work: its query, and each long value in it. */
function secretsOf(link: string): string[] {
  const { search, searchParams } = new URL(link);
  return [search.slice(1), ...[...searchParams.values()].filter((value) => value.length >= 16)];
}
