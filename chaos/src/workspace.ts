import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

/** One text that is replaced in a built file. It must stand there exactly once. */
export interface Patch {
  /** Below packages/, such as `server/dist/outbox/claim.js`. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** A patch does not fit the built code: the code has changed, and the mutant must be adapted to it. */
export class PatchError extends Error {}

const packages = ["contract", "server", "cli"];

/**
 * Copies the built packages into a folder, where they run by themselves: a build that somebody starts meanwhile
 * changes nothing under a run, and mutants are patched here.
 *
 * @returns the path of the `sendoff` command in the copy.
 */
export function copyWorkspace(root: string, folder: string, patches: readonly Patch[]): string {
  for (const name of packages) {
    const from = join(root, "packages", name);
    const to = join(folder, "packages", name);
    mkdirSync(to, { recursive: true });
    for (const part of ["package.json", "dist", "bin", "demo", "schemas", "golden"]) {
      if (existsSync(join(from, part))) cpSync(join(from, part), join(to, part), { recursive: true });
    }
    if (existsSync(join(from, "node_modules"))) {
      symlinkSync(join(from, "node_modules"), join(to, "node_modules"));
    }
  }
  linkModules(root, folder);
  for (const patch of patches) applyPatch(folder, patch);
  return join(folder, "packages/cli/bin/sendoff.js");
}

/** Every installed package by a link, but ours from the copy: the installed ones are links to the original. */
function linkModules(root: string, folder: string): void {
  const from = join(root, "node_modules");
  const to = join(folder, "node_modules");
  mkdirSync(join(to, "@sendoff"), { recursive: true });
  for (const name of readdirSync(from)) {
    if (name.startsWith(".") || name === "@sendoff" || name === "sendoff") continue;
    symlinkSync(join(from, name), join(to, name));
  }
  for (const name of packages.filter((name) => name !== "cli")) {
    symlinkSync(join(folder, "packages", name), join(to, "@sendoff", name));
  }
}

function applyPatch(folder: string, { file, from, to }: Patch): void {
  const path = join(folder, "packages", file);
  if (!existsSync(path)) throw new PatchError(`${file} is not there`);
  const text = readFileSync(path, "utf8");
  const parts = text.split(from);
  if (parts.length !== 2) {
    throw new PatchError(`${file} has ${parts.length - 1} times, instead of once: ${JSON.stringify(from)}`);
  }
  writeFileSync(path, parts.join(to));
}
