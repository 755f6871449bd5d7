import { join } from "node:path";
import type { Context } from "hono";
import { Refusal } from "../../refusal.ts";
import { type Answer, type Route, route } from "../route.ts";
import { pageWrittenMs, readStaticFiles, type StaticFile } from "../static-files.ts";

/** The built dashboard beside this package: the same from its sources and from what is built of them. */
export const dashboardFolder = join(import.meta.dirname, "../../../dist/dashboard");

/**
 * The built dashboard.
 *
 * @param folder where it is.
 * @param mediaOrigins other origins from which recordings are played: that of an S3 service.
 */
export function dashboardFileRoutes(folder: string, mediaOrigins: readonly string[] = []): Route[] {
  const headers = pageHeaders(mediaOrigins);
  let files = new Map<string, StaticFile>();
  let readMs: number | null = null;
  const current = (): Map<string, StaticFile> => {
    const writtenMs = pageWrittenMs(folder);
    if (writtenMs === null) throw notBuilt(folder);
    if (writtenMs !== readMs) {
      files = readStaticFiles(folder);
      readMs = writtenMs;
    }
    return files;
  };
  const page = (context: Context): Answer => {
    const index = current().get("index.html");
    if (index === undefined) throw notBuilt(folder);
    return fileAnswer(context, index, headers);
  };
  const leads = (path: string, summary: string): Route =>
    route({
      method: "GET",
      path,
      access: "open",
      summary,
      answers: [{ status: 302, when: "Location leads to /dashboard/." }],
      handle: () => new Response(null, { status: 302, headers: { ...headers, location: "/dashboard/" } }),
    });
  return [
    leads("/", "Leads to the dashboard."),
    leads("/dashboard", "Leads to the dashboard's page."),
    route({
      method: "GET",
      path: "/dashboard/",
      access: "open",
      summary: "The dashboard's page.",
      answers: [{ status: 200, when: "The page.", mediaType: "text/html" }],
      errors: ["dashboard_not_built"],
      handle: ({ context }) => page(context),
    }),
    route({
      method: "GET",
      path: "/dashboard/{file+}",
      access: "open",
      summary: "A file of the dashboard, or its page for a path that is one of its views.",
      answers: [
        { status: 200, when: "The file or the page.", mediaType: "text/html" },
        { status: 304, when: "The caller has it." },
      ],
      errors: ["dashboard_not_built", "route_not_found"],
      handle({ context, path: { file = "" } }) {
        const found = current().get(file);
        if (found !== undefined) return fileAnswer(context, found, headers);
        // A file that is missing must not be answered with a page. Of views, those of a project end with ids, which may
        // have dots.
        if (file.startsWith("p/") || (!/\.[a-z0-9]{1,11}$/i.test(file) && !file.startsWith("assets/")))
          return page(context);
        throw new Refusal("route_not_found", "The dashboard has no file of this name.");
      },
    }),
  ];
}

const notBuilt = (folder: string): Refusal =>
  new Refusal(
    "dashboard_not_built",
    `This server has no files of the dashboard: ${JSON.stringify(folder)} has no index.html. Build it with npm run build, or use the API.`,
  );

/** What a page of the dashboard may do: load what this server has, and nothing else (hostile cases, M10, M13). */
function pageHeaders(mediaOrigins: readonly string[]): Record<string, string> {
  const others = mediaOrigins.map((origin) => ` ${origin}`).join("");
  return {
    "content-security-policy": [
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "img-src 'self' data: blob:",
      "font-src 'self'",
      "manifest-src 'self'",
      `media-src 'self' blob:${others}`,
      `connect-src 'self'${others}`,
      "frame-ancestors 'none'",
      "base-uri 'none'",
      "form-action 'none'",
    ].join("; "),
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
  };
}

function fileAnswer(context: Context, file: StaticFile, headers: Record<string, string>): Answer {
  const zipped = file.gzipped !== null && /\bgzip\b/.test(context.req.header("accept-encoding") ?? "");
  const etag = `"${file.etag}${zipped ? "-gzip" : ""}"`;
  const all = {
    ...headers,
    etag,
    vary: "accept-encoding",
    "cache-control": file.immutable ? "public, max-age=31536000, immutable" : "no-cache",
  };
  const given = (context.req.header("if-none-match") ?? "").split(",").map((tag) => tag.trim());
  if (given.some((tag) => tag.replace(/^W\//, "") === etag)) return { status: 304, headers: all, body: null };
  return {
    status: 200,
    headers: {
      ...all,
      "content-type": file.mediaType,
      ...(zipped ? { "content-encoding": "gzip" } : {}),
    },
    body: zipped && file.gzipped !== null ? file.gzipped : file.bytes,
  };
}
