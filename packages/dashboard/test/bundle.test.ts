import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";

const dist = resolve(import.meta.dirname, "../../server/dist/dashboard");
const zippedBytes = (file: string): number => gzipSync(readFileSync(join(dist, file)), { level: 9 }).length;
const scripts = readdirSync(join(dist, "assets"))
  .filter((file) => file.endsWith(".js"))
  .map((file) => `assets/${file}`);

test("all JavaScript together is at most 300 KB, zipped", () => {
  const bytes = scripts.reduce((sum, file) => sum + zippedBytes(file), 0);
  console.log(`All JavaScript: ${bytes} bytes, zipped.`);
  expect(bytes).toBeGreaterThan(50_000);
  expect(bytes).toBeLessThanOrEqual(300_000);
});

/** The scripts that a page needs: those of index.html, its own, and what they import, which are all fetched before it shows. */
function neededBy(page: string): Set<string> {
  const index = readFileSync(join(dist, "index.html"), "utf8");
  const own = scripts.find((file) => new RegExp(`^assets/${page}-[\\w-]+\\.js$`).test(file));
  if (own === undefined) throw new Error(`dist has no script of the page ${page}`);
  const needed = new Set<string>();
  const add = (file: string): void => {
    if (needed.has(file)) return;
    needed.add(file);
    const text = readFileSync(join(dist, file), "utf8");
    for (const [, name] of text.matchAll(/(?:from|import)\s*["']\.\/([\w.-]+\.js)["']/g))
      add(`assets/${name}`);
  };
  for (const [, file] of index.matchAll(/(?:src|href)="\/dashboard\/(assets\/[\w.-]+\.js)"/g))
    add(file ?? "");
  add(own);
  return needed;
}

test.each(["sign-in", "overview", "sessions", "logs"])("the page %s needs at most 150 KB, zipped", (page) => {
  const needed = neededBy(page);
  const bytes = [...needed].reduce((sum, file) => sum + zippedBytes(file), 0);
  console.log(`${page}: ${bytes} bytes of ${needed.size} scripts, zipped.`);
  expect(needed.size).toBeGreaterThan(2);
  expect(bytes).toBeLessThanOrEqual(150_000);
});

test("the page brings nothing that its content security policy forbids, and nothing from another host", () => {
  const index = readFileSync(join(dist, "index.html"), "utf8");
  expect(index).not.toMatch(/<style|style=|<script>|https?:\/\//);
});
