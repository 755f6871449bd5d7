import { dashboardHeader } from "@sendoff/contract";
import { Refusal } from "../refusal.ts";

/** The headers of a request that say where it comes from, and its cookies. */
export interface Origins {
  readonly method: string;
  header(name: string): string | undefined;
  /** SENDOFF_PUBLIC_URL, for a proxy that changes Host; null: not set. */
  readonly publicUrl: string | null;
}

const hostOf = (request: Origins): string => request.header("host") ?? "";

/**
 * The two names that the cookie may have. Cookies know no ports, so the name does: two servers on one machine do not sign
 * each other's people out.
 */
function cookieNames(request: Origins): { readonly secure: string; readonly plain: string } {
  const port = /:(\d{1,5})$/.exec(hostOf(request))?.[1];
  const plain = `sendoff_session${port === undefined ? "" : `_${port}`}`;
  return { secure: `__Host-${plain}`, plain };
}

/** The token in the dashboard's cookie, or null. */
export function cookieToken(request: Origins): string | null {
  const { secure, plain } = cookieNames(request);
  const cookies = new Map<string, string>();
  for (const pair of (request.header("cookie") ?? "").split(";")) {
    const [name = "", value = ""] = pair.split("=", 2);
    // Of two of one name the first counts, which is that of the longer path: neither can be told from a planted one.
    if (!cookies.has(name.trim())) cookies.set(name.trim(), value.trim());
  }
  const token = cookies.get(secure) ?? cookies.get(plain) ?? "";
  return token === "" ? null : token.slice(0, 200);
}

/** The Set-Cookie headers that give the browser a token, or take it away (null). */
export function setCookies(request: Origins, token: string | null, maxAgeSeconds: number): string[] {
  const { secure, plain } = cookieNames(request);
  const attributes = "Path=/; HttpOnly; SameSite=Strict";
  const cleared = [`${secure}=; Max-Age=0; Secure; ${attributes}`, `${plain}=; Max-Age=0; ${attributes}`];
  if (token === null) return cleared;
  return isSecure(request)
    ? [`${secure}=${token}; Max-Age=${maxAgeSeconds}; Secure; ${attributes}`]
    : [`${plain}=${token}; Max-Age=${maxAgeSeconds}; ${attributes}`];
}

/** Whether the browser takes a Secure cookie from here: over https, and over http on a name of its own machine. */
function isSecure(request: Origins): boolean {
  const origin = request.header("origin") ?? `http://${hostOf(request)}`;
  if (!URL.canParse(origin)) return false;
  const { protocol, hostname } = new URL(origin);
  return protocol === "https:" || /^(localhost|.+\.localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(hostname);
}

/**
 * Refuses what a page of another site made a browser send (hostile cases, M9). SameSite=Strict alone would let another
 * port of the same host through, and a browser without Sec-Fetch-Site has Origin.
 *
 * @throws Refusal cross_site_request.
 */
export function refuseCrossSite(request: Origins): void {
  const site = request.header("sec-fetch-site");
  const reads = request.method === "GET" || request.method === "HEAD";
  if (site === "cross-site" || site === "same-site" || (site === "none" && !reads)) {
    throw crossSite(`its Sec-Fetch-Site is ${site}`);
  }
  if (reads) return;
  if (request.header(dashboardHeader) !== "1") {
    throw crossSite(`the header "${dashboardHeader}: 1" is missing`);
  }
  const origin = request.header("origin");
  // The browser has compared them itself, and a proxy may have changed Host.
  if (site === "same-origin" || origin === undefined) return;
  if (!isOwnOrigin(request, origin)) throw crossSite(`its Origin is ${JSON.stringify(origin.slice(0, 100))}`);
}

function isOwnOrigin(request: Origins, origin: string): boolean {
  if (!URL.canParse(origin)) return false;
  const { publicUrl } = request;
  if (publicUrl !== null && new URL(publicUrl).origin === origin) return true;
  return new URL(origin).host === hostOf(request);
}

const crossSite = (why: string): Refusal =>
  new Refusal(
    "cross_site_request",
    `This request has the dashboard's cookie and ${why}. Only the dashboard's own pages may use its cookie; a program sends a key in the header Authorization.`,
  );
