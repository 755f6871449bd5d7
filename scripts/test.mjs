// npm test: installs, builds, checks, tests, and tries the guarantees for a moment; closes with one line that counts all
// of them. With arguments, they go to vitest and the rest is left out: `npm test -- packages/contract`.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { installAndBuild, installed, root } from "./install.mjs";

installAndBuild();

const only = process.argv.slice(2);
let passed = 0;
let failed = 0;

/** Runs a script of the checkout or of an installed package, and counts it as one. */
function check(name, script, args) {
  console.log(`\n> ${name}`);
  const { status } = spawnSync(process.execPath, [script, ...args], { cwd: root, stdio: "inherit" });
  if (status === 0) passed += 1;
  else failed += 1;
}

if (only.length === 0) {
  check("lint and format", installed("@biomejs/biome/bin/biome"), ["check", "--error-on-warnings", "."]);
  check("types of the tests", installed("typescript/bin/tsc"), ["-p", "tsconfig.test.json"]);
  check("unused files, exports and dependencies", installed("knip/bin/knip.js"), []);
}

const folder = mkdtempSync(join(tmpdir(), "sendoff-results-"));
const results = join(folder, "results.json");
console.log("\n> tests");
const { status } = spawnSync(
  process.execPath,
  [
    installed("vitest/vitest.mjs"),
    "run",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${results}`,
    ...only,
  ],
  { cwd: root, stdio: "inherit" },
);
const before = failed;
try {
  const report = JSON.parse(readFileSync(results, "utf8"));
  passed += report.numPassedTests;
  // A test that does not run has not passed.
  failed += report.numTotalTests - report.numPassedTests;
} catch {
  failed += 1;
}
rmSync(folder, { recursive: true });
// A file that cannot be loaded has no tests to count.
if (status !== 0 && failed === before) failed += 1;

if (only.length === 0) {
  // The moves that are named are made, or the run is inconclusive.
  check(
    "the guarantees, under a minute of kills, stops and a PostgreSQL that is not there",
    "chaos/dist/main.js",
    [
      ...["--seconds", "60", "--seed", "1", "--mode", "split", "--api", "1", "--workers", "2", "--no-floors"],
      ...["--moves", "outage,read-only,lock"],
    ],
  );
}
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
