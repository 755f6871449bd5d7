// Makes a checkout ready to run: installs what package-lock.json says when that is not there yet, and builds. Both are
// quick when there is nothing to do.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { buildDashboard } from "./dashboard.mjs";

export const root = fileURLToPath(new URL("..", import.meta.url));

const oldestNode = [20, 19];

/** Runs a command in the checkout and ends the process when it fails. */
function run(command, args, options = {}) {
  // What these say is for people: standard output is for the log of what is started.
  const stdio = ["inherit", process.stderr, "inherit"];
  const { status, error } = spawnSync(command, args, { cwd: root, stdio, ...options });
  if (error) throw error;
  if (status !== 0) {
    console.error(`\n${command} ${args.join(" ")} failed with status ${status}.`);
    process.exit(status ?? 1);
  }
}

/** The script of an installed package's command. */
export function installed(path) {
  return fileURLToPath(new URL(`../node_modules/${path}`, import.meta.url));
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1])) return;
  console.error(
    `Sendoff needs Node.js ${oldestNode.join(".")} or later; this is ${process.versions.node}. Install a newer one from https://nodejs.org.`,
  );
  process.exit(1);
}

/** Whether node_modules is what package-lock.json says. npm writes its own record of it when an install is whole. */
function isInstalled() {
  const packagesOf = (path) => JSON.parse(readFileSync(`${root}${path}`, "utf8")).packages;
  try {
    const wanted = packagesOf("package-lock.json");
    const there = packagesOf("node_modules/.package-lock.json");
    return Object.entries(wanted).every(
      ([path, { version, link, optional, devOptional }]) =>
        // Of optional ones, those for other platforms are left out.
        !path.startsWith("node_modules/") ||
        link ||
        there[path]?.version === version ||
        ((optional || devOptional) && !there[path]),
    );
  } catch {
    return false;
  }
}

export function installAndBuild() {
  checkNode();
  if (!isInstalled()) {
    console.error("Installing ...");
    run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
      shell: process.platform === "win32",
    });
  }
  run(process.execPath, [installed("typescript/bin/tsc"), "-b"]);
  buildDashboard();
}
