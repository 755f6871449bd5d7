import type { IncomingMessage } from "node:http";
import type { HttpBindings } from "@hono/node-server";
import { InspectedRequest, InspectorQuery, Received } from "@sendoff/contract";
import type { Context } from "hono";
import { LRUCache } from "lru-cache";
import type pg from "pg";
import { maskedHeaders } from "../../inspector/headers.ts";
import { findInspectors, type Purpose } from "../../inspector/inspector.ts";
import { createRequestKeeper } from "../../inspector/keep.ts";
import { createPostLimits } from "../../inspector/limits.ts";

import { latestPreviews, requestsAfter } from "../../inspector/read.ts";
import type { Metrics } from "../../metrics.ts";
import { Refusal } from "../../refusal.ts";
import { createLookUps } from "../../tenancy/look-ups.ts";
import { bodyBytesMax, readBytes } from "../body.ts";
import { headerOf } from "../headers.ts";
import { inspectorPage, shownBytesMax, shownMax } from "../inspector-page.ts";
import type { RequestLimits } from "../request-limits.ts";
import { type Route, route } from "../route.ts";

/** For how long, and for how many, a token that was found is believed. */
const believedMs = 60_000;
const believedMax = 10_000;
/** Longest token that is looked up. */
const tokenMax = 200;

/**
 * The token in the path is what gives access: an address that nobody can guess, as a receiver's own would be.
 *
 * @param limits count tries of tokens as they count those of keys.
 */
export function inspectRoutes(pool: pg.Pool, limits: RequestLimits, metrics: Metrics): Route[] {
  const path = "/inspect/{token}";
  const keeper = createRequestKeeper(pool);
  const postLimits = createPostLimits();
  const find = createTokenRing(pool, limits);
  return [
    route({
      method: "POST",
      path,
      access: "open",
      summary: "The built-in receiver: keeps what arrives.",
      answers: [{ status: 200, when: "It is kept.", data: Received, bare: true }],
      errors: ["inspector_not_found", "body_too_large", "rate_limited"],
      async handle({ path: { token = "" }, context }) {
        const incoming = incomingOf(context);
        const inspectorId = await find("post", token, incoming);
        const given = Number(headerOf(incoming, "content-length") ?? bodyBytesMax);
        await postLimits.take(inspectorId, Math.min(given, bodyBytesMax)).catch((error: unknown) => {
          if (error instanceof Refusal) metrics.limited.inc({ limit: "inspector" });
          throw error;
        });
        const body = await readBytes(incoming, bodyBytesMax);
        const headers = maskedHeaders(incoming.headers);
        const webhookId = headers["webhook-id"] ?? "";
        await keeper.keep({ inspectorId, headers: JSON.stringify(headers), body, webhookId });
        return Response.json({ status: "ok" });
      },
    }),
    route({
      method: "GET",
      path,
      access: "open",
      summary: "What arrived: JSON after a cursor, oldest first; for a browser a page with the latest.",
      query: InspectorQuery,
      answers: [
        { status: 200, when: "What arrived, oldest first.", data: InspectedRequest, list: true },
        { status: 200, when: "A page, for Accept: text/html.", mediaType: "text/html" },
      ],
      errors: ["inspector_not_found", "rate_limited"],
      async handle({ path: { token = "" }, context, query }) {
        const inspectorId = await find("read", token, incomingOf(context));
        if (context.req.header("accept")?.includes("text/html")) {
          return inspectorPage(await latestPreviews(pool, inspectorId, shownMax, shownBytesMax));
        }
        const requests = await requestsAfter(pool, inspectorId, query.after, query.limit);
        return { status: 200, data: requests, nextCursor: requests.at(-1)?.id ?? null };
      },
    }),
  ];
}

const incomingOf = (context: Context): IncomingMessage =>
  (context as Context<{ Bindings: HttpBindings }>).env.incoming;

type FindInspector = (purpose: Purpose, token: string, incoming: IncomingMessage) => Promise<string>;

/**
 * Finds inspectors by their tokens. Tokens that were not right before are looked up many at a time and in turns of addresses,
 * as keys are (ADR 0057); a wrong one counts as a wrong key does.
 */
function createTokenRing(pool: pg.Pool, limits: RequestLimits): FindInspector {
  const rings = { read: ringOf("read"), post: ringOf("post") };

  function ringOf(purpose: Purpose) {
    const believed = new LRUCache<string, string>({ max: believedMax, ttl: believedMs });
    const unseen = createLookUps((tokens) => findInspectors(pool, tokens, purpose));
    return async (token: string, incoming: IncomingMessage): Promise<string | null> => {
      if (token.length > tokenMax) return null;
      const known = believed.get(token);
      if (known !== undefined) return known;
      const id = await unseen.find(token, limits.addressOf(incoming));
      if (id !== null) believed.set(token, id);
      return id;
    };
  }

  return async (purpose, token, incoming) => {
    const id = await rings[purpose](token, incoming);
    if (id !== null) return id;
    await limits.takeWrongKey(incoming);
    throw new Refusal(
      "inspector_not_found",
      purpose === "post"
        ? "There is no inspector at this address."
        : "There is no inspector to read at this address. The one that a webhook points at takes posts only; inspectorUrl in start.json is the one to open.",
    );
  };
}
