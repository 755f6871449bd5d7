// Makes a checkout ready to run: installs what package-lock.json says when that has changed, and builds. Both are
// quick when there is nothing to do.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));

const oldestNode = [20, 19];

/** Runs a command in the checkout and ends the process when it fails. */
function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit", ...options });
  if (error) throw error;
  if (status !== 0) {
    console.error(`\n${command} ${args.join(" ")} failed with status ${status}.`);
    process.exit(status ?? 1);
  }
}

/** The command of an installed package. */
export function installed(path) {
  return [process.execPath, [fileURLToPath(new URL(`../node_modules/${path}`, import.meta.url))]];
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1])) return;
  console.error(
    `Sendoff needs Node.js ${oldestNode.join(".")} or later; this is ${process.versions.node}. Install a newer one from https://nodejs.org.`,
  );
  process.exit(1);
}

export function installAndBuild() {
  checkNode();
  const lock = readFileSync(`${root}package-lock.json`, "utf8");
  // npm's own record cannot tell an install that was cut short from a whole one; this mark is written at its end.
  const mark = `${root}node_modules/.installed-lock.json`;
  if (!existsSync(mark) || readFileSync(mark, "utf8") !== lock) {
    console.log("Installing ...");
    run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
      shell: process.platform === "win32",
    });
    writeFileSync(mark, lock);
  }
  const [node, tsc] = installed("typescript/bin/tsc");
  run(node, [...tsc, "-b"]);
}
