// Programs of Debian's packages for tests and benchmarks (Redis, NATS, RabbitMQ, OpenStack Swift, Chromium). They are
// downloaded and unpacked into a cache folder of the checkout and never installed: no root is needed, no service of
// the machine is started, and the next run finds them there.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const cacheFolder = fileURLToPath(new URL("../node_modules/.cache/debian/", import.meta.url));

function run(command, args, cwd) {
  const { status, error, stderr, stdout } = spawnSync(command, args, {
    cwd,
    encoding: "utf8",
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" },
    maxBuffer: 64 * 1024 * 1024,
  });
  if (error) {
    throw new Error(
      `${command} could not be started (${error.message}). Packages of Debian are needed for this: run it on Debian or Ubuntu.`,
    );
  }
  if (status !== 0) {
    throw new Error(
      `${command} ${args.join(" ")} ended with ${status}:\n${stdout.slice(-2_000)}${stderr.slice(-2_000)}`,
    );
  }
  return stdout;
}

/** Downloads the packages with all that they depend on and the machine lacks, and unpacks them into `root`. */
function fill(folder, packages) {
  const lists = join(folder, "lists");
  const archives = join(folder, "archives");
  const root = join(folder, "root");
  for (const path of [join(lists, "partial"), join(archives, "partial"), root])
    mkdirSync(path, { recursive: true });
  // Lists, downloads and locks of its own, so that the machine's stay as they are.
  const own = [
    ["Dir::State::Lists", lists],
    ["Dir::Cache::Archives", archives],
    ["Dir::Cache::pkgcache", ""],
    ["Dir::Cache::srcpkgcache", ""],
    ["Debug::NoLocking", "1"],
    ["APT::Sandbox::User", ""],
    ["Acquire::Retries", "3"],
  ].flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  run("apt-get", [...own, "-q", "update"]);
  run("apt-get", [
    ...own,
    "-q",
    "-y",
    "--no-install-recommends",
    "--download-only",
    "--reinstall",
    "install",
    ...packages,
  ]);
  for (const file of readdirSync(archives)) {
    if (file.endsWith(".deb")) run("dpkg-deb", ["-x", join(archives, file), root]);
  }
  rmSync(lists, { recursive: true });
  rmSync(archives, { recursive: true });
}

/** The folders of libraries below the root, as the dynamic loader wants them told. */
function libraryFolders(root) {
  const found = [];
  for (const base of [join(root, "usr/lib"), join(root, "lib")]) {
    if (!existsSync(base)) continue;
    found.push(base);
    for (const name of readdirSync(base)) {
      if (!name.includes("-linux-")) continue;
      found.push(join(base, name));
      // Some packages keep their libraries in a folder below (blas, pulseaudio).
      for (const entry of readdirSync(join(base, name), { withFileTypes: true })) {
        if (
          entry.isDirectory() &&
          readdirSync(join(base, name, entry.name)).some((file) => file.includes(".so"))
        ) {
          found.push(join(base, name, entry.name));
        }
      }
    }
  }
  return found;
}

/**
 * Makes programs of Debian's packages usable, as root or not. The first call downloads (some seconds to a minute); later
 * calls only look. Of the packages' dependencies those are unpacked that the machine lacks.
 *
 * @param {readonly string[]} packages names of Debian packages, for example `["redis-server"]`.
 * @returns `root`, the folder below which the packages lie (`root/usr/bin/...`), and `env`, what a child process needs in
 *   its environment to find the programs, their libraries and their Python modules.
 * @throws Error with the output of apt-get when a package cannot be had.
 */
export function debianPackages(packages) {
  const names = [...packages].sort();
  const digest = createHash("sha256").update(names.join(" ")).digest("hex").slice(0, 8);
  const folder = join(cacheFolder, `${names[0]}-${digest}`);
  const root = join(folder, "root");
  if (!existsSync(folder)) {
    // Filled beside its place and moved there whole: a run that was ended in the middle leaves nothing that looks ready.
    const beside = `${folder}.${process.pid}.${Date.now()}`;
    try {
      fill(beside, names);
      renameSync(beside, folder);
    } catch (error) {
      rmSync(beside, { recursive: true, force: true });
      if (!existsSync(folder)) throw error;
    }
  }
  const pathOf = (added, before) => [...added, ...(before ? [before] : [])].join(":");
  return {
    root,
    env: {
      ...process.env,
      PATH: pathOf([join(root, "usr/bin"), join(root, "usr/sbin"), join(root, "bin")], process.env.PATH),
      LD_LIBRARY_PATH: pathOf(libraryFolders(root), process.env.LD_LIBRARY_PATH),
      PYTHONPATH: pathOf([join(root, "usr/lib/python3/dist-packages")], process.env.PYTHONPATH),
    },
  };
}
