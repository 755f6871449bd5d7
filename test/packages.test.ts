// What is published: its files, its entry points, its types.
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { packAll, publishedPackages } from "./tarballs.ts";

const root = resolve(import.meta.dirname, "..");
const run = promisify(execFile);
let folder: string;
let tarballs: Map<string, string>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sendoff-packages-"));
  tarballs = await packAll(folder);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Runs a program of node_modules on a tarball; what it prints on a failure. */
async function problems(script: string, ...args: string[]): Promise<string> {
  const child = run(process.execPath, [join(root, "node_modules", script), ...args], { cwd: folder });
  return child.then(
    () => "",
    ({ stdout, stderr }: { stdout: string; stderr: string }) => stdout + stderr || "it failed",
  );
}

describe.each(publishedPackages())("$name", ({ name, folder: source }) => {
  const tarball = (): string => tarballs.get(name) ?? "";

  test("publint finds nothing", async () => {
    expect(await problems("publint/src/cli.js", tarball(), "--strict")).toBe("");
  });

  test("arethetypeswrong finds nothing, for packages that are ESM alone", async () => {
    const args = ["--profile", "esm-only", "--no-definitely-typed", "--format", "ascii", tarball()];
    expect(await problems("@arethetypeswrong/cli/dist/index.js", ...args)).toBe("");
  });

  test("it has its licence, no source map, no test, and depends on exact versions", async () => {
    const { stdout } = await run("tar", ["-tzf", tarball()]);
    const files = stdout.trim().split("\n");
    expect(files).toContain("package/LICENSE");
    expect(files).toContain("package/README.md");
    expect(files.filter((file) => /\.map$|tsbuildinfo|\/test\/|\.env|start\.json/.test(file))).toEqual([]);
    expect(readFileSync(join(source, "LICENSE"), "utf8")).toBe(readFileSync(join(root, "LICENSE"), "utf8"));
    const manifest = JSON.parse(readFileSync(join(source, "package.json"), "utf8")) as {
      version: string;
      scripts?: object;
      dependencies?: Record<string, string>;
      optionalDependencies?: Record<string, string>;
    };
    const all = Object.entries({ ...manifest.dependencies, ...manifest.optionalDependencies });
    expect(all.filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))).toEqual([]);
    for (const [dependency, version] of all) {
      if (dependency.startsWith("@sendoff/")) expect(version, dependency).toBe(manifest.version);
    }
    // Nothing runs when it is installed.
    expect(manifest.scripts).toBeUndefined();
  });
});
