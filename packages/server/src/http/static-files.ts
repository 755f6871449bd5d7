import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { extname, join, relative, sep } from "node:path";
import { gzipSync } from "node:zlib";

/** A file of the dashboard, held in memory: there are few and all of them are small. */
export interface StaticFile {
  readonly mediaType: string;
  readonly bytes: Buffer;
  /** null: it is not worth it, or compressed already. */
  readonly gzipped: Buffer | null;
  readonly etag: string;
  /** Named by its content: it never changes under its name. */
  readonly immutable: boolean;
}

const mediaTypes: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".webmanifest": "application/manifest+json",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".ico": "image/x-icon",
  ".woff2": "font/woff2",
  ".wasm": "application/wasm",
  ".txt": "text/plain; charset=utf-8",
};
const compressible = /^(text\/|application\/(json|manifest|wasm)|image\/svg)/;

/**
 * The files below a folder, by their path with slashes. A request looks its path up among these names, so there is no
 * path that leads out of the folder. Source maps are left out.
 *
 * @returns none when the folder is not there.
 */
export function readStaticFiles(folder: string): Map<string, StaticFile> {
  const files = new Map<string, StaticFile>();
  for (const path of pathsBelow(folder)) {
    const mediaType = mediaTypes[extname(path)];
    if (mediaType === undefined) continue;
    const name = relative(folder, path).split(sep).join("/");
    const bytes = readFileSync(path);
    const gzipped = compressible.test(mediaType) ? gzipSync(bytes, { level: 9 }) : null;
    files.set(name, {
      mediaType,
      bytes,
      gzipped: gzipped !== null && gzipped.length < bytes.length ? gzipped : null,
      etag: createHash("sha256").update(bytes).digest("base64url").slice(0, 27),
      immutable: name.startsWith("assets/"),
    });
  }
  return files;
}

function pathsBelow(folder: string): string[] {
  let entries: ReturnType<typeof readEntries>;
  try {
    entries = readEntries(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return pathsBelow(path);
    return entry.isFile() ? [path] : [];
  });
}

const readEntries = (folder: string) => readdirSync(folder, { withFileTypes: true });

/** When a folder's page was written, or null without one. A new build is taken without a new start. */
export function pageWrittenMs(folder: string): number | null {
  return statSync(join(folder, "index.html"), { throwIfNoEntry: false })?.mtimeMs ?? null;
}
