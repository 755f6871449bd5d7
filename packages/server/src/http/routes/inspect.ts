import type { HttpBindings } from "@hono/node-server";
import { InspectedRequest, InspectorQuery, Received } from "@sendoff/contract";
import type { Context } from "hono";
import { html } from "hono/html";
import type pg from "pg";
import { findInspector, keepRequest, latestRequests, requestsAfter } from "../../inspector/inspector.ts";
import { Refusal } from "../../refusal.ts";
import { bodyBytesMax, readBytes } from "../body.ts";
import { type Route, route } from "../route.ts";

/** Requests that the page shows. */
const shownMax = 50;

/** The token in the path is what gives access: an address that nobody can guess, as a receiver's own would be. */
export function inspectRoutes(pool: pg.Pool): Route[] {
  const path = "/inspect/{token}";
  const inspectorOf = async (token = ""): Promise<string> => {
    const id = await findInspector(pool, token);
    if (id === null) throw new Refusal("inspector_not_found", "There is no inspector at this address.");
    return id;
  };
  return [
    route({
      method: "POST",
      path,
      access: "open",
      summary: "The built-in receiver: keeps what arrives.",
      answers: [{ status: 200, when: "It is kept.", data: Received, bare: true }],
      errors: ["inspector_not_found", "body_too_large"],
      async handle({ path: { token }, context }) {
        const inspectorId = await inspectorOf(token);
        const { incoming } = (context as Context<{ Bindings: HttpBindings }>).env;
        const headers = Object.fromEntries(
          Object.entries(incoming.headers).map(([name, value]) => [name, String(value)]),
        );
        await keepRequest(pool, inspectorId, headers, await readBytes(incoming, bodyBytesMax));
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
      errors: ["inspector_not_found"],
      async handle({ path: { token }, context, query }) {
        const inspectorId = await inspectorOf(token);
        if (context.req.header("accept")?.includes("text/html")) {
          return page(await latestRequests(pool, inspectorId, shownMax));
        }
        const requests = await requestsAfter(pool, inspectorId, query.after, query.limit);
        return { status: 200, data: requests, nextCursor: requests.at(-1)?.id ?? null };
      },
    }),
  ];
}

const style = `
  :root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
  body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
  article { border: 1px solid #8884; border-radius: .5rem; padding: .6rem 1rem; margin: .8rem 0 }
  h2 { font-size: 1rem; margin: 0 } small { opacity: .7 }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .5rem 0 0; font-size: .85rem }`;

/** A page without scripts. Everything in it that a stranger wrote is escaped by the template. */
async function page(requests: readonly InspectedRequest[]): Promise<Response> {
  const articles = requests.map(
    (request) => html`<article>
      <h2>${titleOf(request.body)} <small>${request.receivedAt} · ${request.headers["webhook-id"] ?? ""}</small></h2>
      <pre dir="auto">${request.body}</pre>
    </article>`,
  );
  const empty = html`<p>Nothing has arrived yet. Run <code>npx sendoff simulate</code> and watch this page.</p>`;
  const text = await html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width" />
        <meta http-equiv="refresh" content="3" />
        <title>Sendoff inspector</title>
        <style>
          ${style}
        </style>
      </head>
      <body>
        <h1>Inspector</h1>
        <p>The latest ${shownMax} requests that arrived here, newest first. The page renews itself.</p>
        ${requests.length === 0 ? empty : articles}
      </body>
    </html>`;
  return new Response(text.toString(), {
    headers: {
      "content-type": "text/html; charset=utf-8",
      "cache-control": "no-store",
      "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
    },
  });
}

function titleOf(body: string): string {
  try {
    const parsed = JSON.parse(body) as { event?: unknown } | null;
    return typeof parsed?.event === "string" ? parsed.event : "a request";
  } catch {
    return "a request that is not JSON";
  }
}
