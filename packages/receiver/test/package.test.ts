// The package as others get it: its size, what it pulls in, and how its exports are resolved. Needs the build.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { rolldown } from "rolldown";
import { describe, expect, test } from "vitest";

const require = createRequire(import.meta.url);
const root = resolve(import.meta.dirname, "../../..");
const folder = resolve(import.meta.dirname, "..");
const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));

/** Bytes of what an import costs, minified and gzipped. */
async function sizeOf(code: string): Promise<{ bytes: number; imports: string[] }> {
  const place = mkdtempSync(join(tmpdir(), "sendoff-test-size-"));
  try {
    const entry = join(place, "entry.js");
    writeFileSync(entry, code);
    const bundle = await rolldown({ input: entry, platform: "node", logLevel: "silent" });
    const { output } = await bundle.generate({ format: "esm", minify: true });
    await bundle.close();
    const [chunk] = output;
    return { bytes: gzipSync(chunk.code).length, imports: [...chunk.imports] };
  } finally {
    rmSync(place, { recursive: true });
  }
}

test("the kit without a store is at most 10 KB gzip and imports Node.js alone", async () => {
  const main = JSON.stringify(join(folder, "dist/index.js"));
  const { bytes, imports } = await sizeOf(
    `import { createReceiver, verify, isCall, hasRecording } from ${main};\nconsole.log(createReceiver, verify, isCall, hasRecording);`,
  );
  console.log(`The kit without a store: ${bytes} bytes gzip.`);
  expect(bytes).toBeGreaterThan(2_000);
  expect(bytes).toBeLessThanOrEqual(10_000);
  expect(imports).toEqual(["node:crypto"]);
});

test("no import of it brings a dependency along but that of recordings", async () => {
  expect(Object.keys(manifest.dependencies)).toEqual(["ipaddr.js"]);
  for (const [path, { default: file }] of Object.entries<{ default: string }>(manifest.exports)) {
    const { imports } = await sizeOf(`export * from ${JSON.stringify(join(folder, file))};`);
    expect(
      imports.every((name) => name.startsWith("node:")),
      `${path}: ${imports}`,
    ).toBe(true);
    if (path === "./recordings") continue;
    expect(readFileSync(join(folder, file), "utf8")).not.toContain("ipaddr");
  }
});

describe.each(["receiver", "contract", "server", "cli"])("the package %s", (name) => {
  const path = join(root, "packages", name);

  test("passes publint", async () => {
    const { messages, pkg } = await publint({ pkgDir: path, strict: true, pack: "npm" });
    expect(messages.map((message) => formatMessage(message, pkg))).toEqual([]);
  });

  test("passes arethetypeswrong, as ESM", () => {
    const manifestOf = JSON.parse(readFileSync(join(path, "package.json"), "utf8"));
    if (manifestOf.exports === undefined) return;
    const place = mkdtempSync(join(tmpdir(), "sendoff-test-pack-"));
    try {
      const packed = spawnSync("npm", ["pack", "--ignore-scripts", "--pack-destination", place], {
        cwd: path,
        encoding: "utf8",
      });
      const tarball = join(place, packed.stdout.trim().split("\n").at(-1) ?? "");
      const { status, stdout } = spawnSync(
        process.execPath,
        [
          join(dirname(require.resolve("@arethetypeswrong/cli/package.json")), "dist/index.js"),
          tarball,
          ...["--profile", "esm-only", "--format", "ascii", "--no-emoji"],
          // JSON files are no modules with types.
          ...(name === "contract" ? ["--exclude-entrypoints", "./schemas/*", "./golden/*"] : []),
        ],
        { encoding: "utf8" },
      );
      expect(status, stdout).toBe(0);
      expect(stdout).toContain("node16 (from ESM): OK (ESM)");
    } finally {
      rmSync(place, { recursive: true });
    }
  });
});
