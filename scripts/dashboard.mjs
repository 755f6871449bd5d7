// Builds the dashboard's pages into packages/server/dist/dashboard, from which the server serves them, when their sources are
// not those of the last build. Alone (npm run build) or as a part of npm start and npm test.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { bundledFile, writeNotices } from "./notices.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = join(root, "packages/dashboard");
/** Not in dist: all that lies there is served. */
const stampFolder = join(root, "node_modules/.cache/dashboard");
const stamp = join(stampFolder, "built");

/** All that the pages are made from: their files, the contract's examples, and the packages by the lock file. */
function sourcesDigest() {
  const digest = createHash("sha256");
  const sources = ["src", "public", "index.html", "vite.config.ts", "package.json"].map((path) =>
    join(folder, path),
  );
  for (const path of [...sources, join(root, "packages/contract/golden"), join(root, "package-lock.json")]) {
    for (const file of filesOf(path)) digest.update(file).update(readFileSync(file));
  }
  return digest.digest("hex");
}

function filesOf(path) {
  try {
    return readdirSync(path, { withFileTypes: true })
      .sort((one, other) => (one.name < other.name ? -1 : 1))
      .flatMap((entry) => filesOf(join(path, entry.name)));
  } catch (error) {
    if (error.code === "ENOTDIR") return [path];
    throw error;
  }
}

/** Ends the process when the build fails. */
export function buildDashboard() {
  const wanted = sourcesDigest();
  const built = existsSync(stamp) ? readFileSync(stamp, "utf8") : "";
  const isThere =
    existsSync(join(root, "packages/server/dist/dashboard/index.html")) && existsSync(bundledFile);
  if (built !== wanted || !isThere) buildPages(wanted);
  writeNotices();
}

function buildPages(wanted) {
  console.error("Building the dashboard ...");
  const { status, error } = spawnSync(
    process.execPath,
    [join(root, "node_modules/vite/bin/vite.js"), "build", "--logLevel", "warn"],
    { cwd: folder, stdio: ["inherit", process.stderr, "inherit"] },
  );
  if (error) throw error;
  if (status !== 0) {
    console.error(`\nBuilding the dashboard failed with status ${status}.`);
    process.exit(status ?? 1);
  }
  mkdirSync(stampFolder, { recursive: true });
  writeFileSync(stamp, wanted);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) buildDashboard();
