// npm test: installs, builds, checks and tests, and closes with one line that counts both. With arguments, they go to
// vitest and the checks are left out: `npm test -- packages/contract`.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { installAndBuild, installed, root } from "./install.mjs";

installAndBuild();

const only = process.argv.slice(2);
let passed = 0;
let failed = 0;

function check(name, path, args) {
  const [node, [script]] = installed(path);
  console.log(`\n> ${name}`);
  const { status } = spawnSync(node, [script, ...args], { cwd: root, stdio: "inherit" });
  if (status === 0) passed += 1;
  else failed += 1;
}

if (only.length === 0) {
  check("lint and format", "@biomejs/biome/bin/biome", ["check", "--error-on-warnings", "."]);
  check("types of the tests", "typescript/bin/tsc", ["-p", "tsconfig.test.json"]);
  check("unused files, exports and dependencies", "knip/bin/knip.js", []);
}

const folder = mkdtempSync(join(tmpdir(), "sendoff-results-"));
const results = join(folder, "results.json");
const [node, [vitest]] = installed("vitest/vitest.mjs");
console.log("\n> tests");
const { status } = spawnSync(
  node,
  [vitest, "run", "--reporter=default", "--reporter=json", `--outputFile.json=${results}`, ...only],
  { cwd: root, stdio: "inherit" },
);
try {
  const report = JSON.parse(readFileSync(results, "utf8"));
  passed += report.numPassedTests;
  // A file that cannot be loaded has no tests to count; a test that does not run has not passed.
  failed += report.numTotalTests - report.numPassedTests;
} catch {
  failed += 1;
}
rmSync(folder, { recursive: true });
if (status !== 0 && failed === 0) failed = 1;
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
