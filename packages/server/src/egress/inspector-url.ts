import { createHash } from "node:crypto";

/** Characters of the token that reads an inspector, and of the one that only posts to it. */
const readTokenLength = 32;
export const postTokenLength = 43;

/** Whether a URL has the form of the inspector's, wherever it leads. */
export const looksLikeInspector = (url: URL): boolean =>
  /^\/inspect\/[A-Za-z0-9_-]+$/.test(url.pathname) && url.search === "";

/**
 * The URL that webhooks of an inspector go to. The one that a developer opens reads everything that arrived, so it must
 * not stand in a table, in a backup or in a log. This one has the SHA-256 of its token: from it nobody finds the token,
 * and it takes posts only (ADR 0056).
 *
 * @param href of an inspector, with either token.
 */
export function postUrl(href: string): string {
  const url = new URL(href);
  const token = url.pathname.slice("/inspect/".length);
  if (!looksLikeInspector(url) || token.length !== readTokenLength) return href;
  url.pathname = `/inspect/${createHash("sha256").update(token).digest("base64url")}`;
  return url.href;
}
