// Writes THIRD-PARTY-NOTICES of each published package: what of others comes with it, and under which licence. That is its
// production dependencies by package-lock.json, what is inside of them (notices/components.json), and for the server what
// the dashboard's bundle is made of. The build calls it; test/notices.test.ts holds the licences against a list.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const texts = join(root, "scripts/notices");
/** Packages that the dashboard's last build took something from; its vite.config.ts writes it. */
export const bundledFile = join(root, "node_modules/.cache/dashboard/packages.json");

/** Licences that ask for no more than a notice. What is under another one is not shipped. */
export const allowedLicences = [
  ...[
    "0BSD",
    "Apache-2.0",
    "BlueOak-1.0.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ICU",
    "ISC",
    "MIT",
    "OFL-1.1",
  ],
  ...["OpenSSL", "PostgreSQL", "Unlicense", "Zlib"],
];

/** Whether a licence expression leaves a way in which all of it is allowed. */
export function isAllowed(expression) {
  const inner = expression.replace(/^\((.*)\)$/, "$1");
  return inner
    .split(" OR ")
    .some((way) => way.split(" AND ").every((one) => allowedLicences.includes(one.trim())));
}

const readJson = (path) => JSON.parse(readFileSync(path, "utf8"));

/** Where Node.js finds a package that another one names, among the entries of a lock file; null: not installed at all. */
function placeOf(entries, from, name) {
  for (let at = from; ; ) {
    const place = at === "" ? `node_modules/${name}` : `${at}/node_modules/${name}`;
    if (entries[place] !== undefined) return entries[place].link ? entries[place].resolved : place;
    if (at === "") return null;
    const up = at.lastIndexOf("/node_modules/");
    at = up < 0 ? "" : at.slice(0, up);
  }
}

/** Places of all that is installed with a package, without our own. */
export function productionOf(entries, folder) {
  const seen = new Set();
  const visit = (place) => {
    if (seen.has(place)) return;
    seen.add(place);
    const { dependencies, optionalDependencies, peerDependencies, peerDependenciesMeta } = entries[place];
    const peers = Object.keys(peerDependencies ?? {}).filter(
      (name) => !peerDependenciesMeta?.[name]?.optional,
    );
    for (const name of [...Object.keys({ ...dependencies, ...optionalDependencies }), ...peers]) {
      const found = placeOf(entries, place, name);
      if (found !== null) visit(found);
    }
  };
  visit(folder);
  return [...seen].filter((place) => place.includes("node_modules/"));
}

/** A package at a place: name, version, licence, and the texts that its files have of it. */
function partyAt(entries, place) {
  const name = place.split("node_modules/").at(-1);
  const folder = join(root, place);
  const there = existsSync(join(folder, "package.json"));
  const { license, licenses, author } = there ? readJson(join(folder, "package.json")) : {};
  const licence = entries[place].license ?? license?.type ?? license ?? licenses?.[0]?.type ?? "none";
  const files = there ? readdirSync(folder).filter((file) => /^(licen[cs]e|copying|notice)/i.test(file)) : [];
  const text = files.sort().map((file) => readFileSync(join(folder, file), "utf8").trim());
  const isLicence = files.some((file) => !/^notice/i.test(file));
  if (!isLicence)
    text.unshift(standardText(licence, typeof author === "string" ? author : author?.name, name));
  return { name, version: entries[place].version, licence, text: text.join("\n\n") };
}

/** For a package without a file of its licence. */
function standardText(licence, author, name) {
  if (licence === "Apache-2.0") return readFileSync(join(root, "LICENSE"), "utf8").trim();
  const mit = readFileSync(join(texts, "mit.txt"), "utf8").trim();
  if (licence === "MIT") return `Copyright (c) ${author ?? `the authors of ${name}`}\n\n${mit}`;
  throw new Error(`${name} is under ${licence} and has no file of it; put its text into scripts/notices`);
}

/** What comes with a package, by name. @param bundled names of packages in the dashboard's bundle; the server's alone. */
export function thirdParties(folder, bundled = []) {
  const { packages: entries } = readJson(join(root, "package-lock.json"));
  const places = new Set(productionOf(entries, folder));
  for (const name of bundled) places.add(placeOf(entries, "packages/dashboard", name));
  const packages = [...places].map((place) => partyAt(entries, place));
  const components = readJson(join(texts, "components.json"))
    .filter((one) => packages.some(({ name }) => name.startsWith(one.in)))
    .map(({ name, licence, text, in: within }) => ({
      name: `${name}, in ${within.replace(/\/$/, "")}`,
      licence,
      text: readFileSync(join(texts, text), "utf8").trim(),
    }));
  return [...packages, ...components].sort((one, other) => (one.name < other.name ? -1 : 1));
}

/** The page of a list of parties. Texts that are the same stand once. */
export function noticesOf(parties) {
  const byText = new Map();
  for (const party of parties) byText.set(party.text, [...(byText.get(party.text) ?? []), party]);
  const sections = [...byText].map(([text, owners]) => {
    const heads = owners.map(
      ({ name, version, licence }) => `${name}${version ? ` ${version}` : ""} (${licence})`,
    );
    return `${"=".repeat(80)}\n${[...new Set(heads)].join("\n")}\n${"-".repeat(80)}\n${text}\n`;
  });
  return `This package of Sendoff comes with software and fonts of others, under the licences below.\n\n${sections.join("\n")}`;
}

/** Names of published packages' folders. */
export const publishedFolders = ["packages/contract", "packages/server", "packages/receiver", "packages/cli"];

export function bundledPackages() {
  return readJson(bundledFile);
}

/** Writes the notices of all published packages, and the server's among the files of the dashboard. */
export function writeNotices() {
  for (const folder of publishedFolders) {
    const notices = noticesOf(thirdParties(folder, folder === "packages/server" ? bundledPackages() : []));
    writeFileSync(join(root, folder, "THIRD-PARTY-NOTICES"), notices);
    if (folder !== "packages/server") continue;
    mkdirSync(join(root, folder, "dist/dashboard"), { recursive: true });
    writeFileSync(join(root, folder, "dist/dashboard/THIRD-PARTY-NOTICES.txt"), notices);
  }
}
