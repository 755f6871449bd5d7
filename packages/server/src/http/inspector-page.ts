import { html } from "hono/html";
import type { RequestPreview } from "../inspector/read.ts";
import type { Answer } from "./route.ts";

/** Requests that the page shows, and bytes of each body: it is made as a whole, and renews itself. */
export const shownMax = 50;
export const shownBytesMax = 4_096;

const style = `
  :root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
  body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
  article { border: 1px solid #8884; border-radius: .5rem; padding: .6rem 1rem; margin: .8rem 0 }
  h2 { font-size: 1rem; margin: 0 } small { opacity: .7 }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .5rem 0 0; font-size: .85rem }`;

/** A page without scripts. Everything in it that a stranger wrote is escaped by the template. */
export async function inspectorPage(requests: readonly RequestPreview[]): Promise<Answer> {
  const articles = requests.map(({ receivedAt, webhookId, begin, bytes }) => {
    const body = begin.toString("utf8");
    const rest = bytes > begin.length ? `The first ${begin.length} of ${bytes} bytes.` : "";
    return html`<article>
      <h2>${titleOf(body)} <small>${receivedAt.toISOString()} · ${webhookId ?? ""}</small></h2>
      <pre dir="auto">${body}</pre>
      <small>${rest}</small>
    </article>`;
  });
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
  return {
    status: 200,
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
      "referrer-policy": "no-referrer",
    },
    body: text.toString(),
  };
}

/** The event's name, with which our own bodies begin. */
const titleOf = (body: string): string =>
  /^\{"event":"([^"\\]{1,128})"/.exec(body)?.[1] ?? "a request that is no event";
