// The packages as they would be published: packed without scripts, and a registry on this machine that has them and what
// they depend on, made from what is installed here. So an installation needs no network.
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { promisify } from "node:util";

const root = resolve(import.meta.dirname, "..");
const run = promisify(execFile);

/** npm as it runs in these tests: no script, no question to a registry of the world. */
export const quietNpm = {
  npm_config_ignore_scripts: "true",
  npm_config_update_notifier: "false",
  npm_config_audit: "false",
  npm_config_fund: "false",
  npm_config_progress: "false",
};

/** Names of the packages that are published. */
export function publishedPackages(): { readonly name: string; readonly folder: string }[] {
  return readdirSync(join(root, "packages"))
    .map((name) => join(root, "packages", name))
    .filter((folder) => existsSync(join(folder, "package.json")))
    .map((folder) => ({ folder, manifest: manifestOf(folder) }))
    .filter(({ manifest }) => manifest.private !== true)
    .map(({ folder, manifest }) => ({ name: manifest.name, folder }));
}

/** Packs every published package. @returns the path of each tarball by the package's name. */
export async function packAll(into: string): Promise<Map<string, string>> {
  const tarballs = new Map<string, string>();
  for (const { name, folder } of publishedPackages()) {
    const { version } = manifestOf(folder);
    const env = { ...process.env, ...quietNpm, npm_config_offline: "true" };
    await run("npm", ["pack", "--ignore-scripts", "--pack-destination", into, folder], { cwd: root, env });
    tarballs.set(name, join(into, `${name.replace("@", "").replace("/", "-")}-${version}.tgz`));
  }
  return tarballs;
}

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly private?: boolean;
}

function manifestOf(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
}

/** An entry of package-lock.json, as far as an installation asks for it. */
interface Locked {
  readonly version?: string;
  readonly link?: boolean;
}

/**
 * A registry that answers with what is installed in this checkout, at the versions of its lock file.
 *
 * @param tarballs our own packages, which it has too, as they are packed.
 */
export async function startRegistry(
  tarballs: ReadonlyMap<string, string>,
): Promise<{ readonly url: string; close(): Promise<void> }> {
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
    packages: Record<string, Locked>;
  };
  const folder = await mkdtemp(join(tmpdir(), "sendoff-registry-"));
  const places = Object.entries(lock.packages)
    .filter(([place, { link, version }]) => place.includes("node_modules/") && link !== true && version)
    .map(([place, locked]) => ({ place, name: place.split("node_modules/").at(-1) ?? "", locked }));

  const ours = publishedPackages().map(({ name, folder: at }) => ({
    place: relative(root, at),
    name,
    locked: { version: manifestOf(at).version },
  }));

  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(request.url ?? "/").slice(1);
    const [name = "", file] = path.split("/-/");
    const packed = tarballs.get(name);
    if (file !== undefined && packed !== undefined) {
      response.end(readFileSync(packed));
      return;
    }
    const own = [...places, ...ours].filter((entry) => entry.name === name);
    if (own.length === 0) {
      response.writeHead(404, { "content-type": "application/json" }).end('{"error":"not found"}');
    } else if (file === undefined) {
      const versions = own.map(({ place, locked }) => {
        // What is not for this machine is not installed here; npm asks for its entry all the same.
        const manifest = existsSync(join(root, place)) ? manifestOf(join(root, place)) : {};
        const tarball = `${url}/${name}/-/${locked.version}.tgz`;
        return [locked.version, { ...locked, ...manifest, name, version: locked.version, dist: { tarball } }];
      });
      const latest = own[0]?.locked.version;
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify({ name, "dist-tags": { latest }, versions: Object.fromEntries(versions) }));
    } else {
      const entry = own.find(({ locked }) => `${locked.version}.tgz` === file);
      const tarball = join(folder, `${path.replace(/\W+/g, "-")}.tgz`);
      // Fast and small enough: it goes over loopback alone.
      await run("tar", [
        ...["-C", join(root, entry?.place ?? ""), "--exclude=./node_modules", "--transform=s,^\\.,package,"],
        ...["-I", "gzip -1", "-cf", tarball, "."],
      ]);
      response.end(readFileSync(tarball));
    }
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    async close() {
      await new Promise<void>((done) => {
        server.close(() => done());
        server.closeAllConnections();
      });
      await rm(folder, { recursive: true, force: true });
    },
  };
}
