import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { describe, expect, test } from "vitest";

const root = resolve(import.meta.dirname, "..");
const packages = ["contract", "server", "receiver", "cli", "dashboard"];

/** Which packages of ours a package may import. */
const packageRules: Record<string, readonly string[]> = {
  contract: [],
  server: ["@sendoff/contract"],
  receiver: [],
  cli: ["@sendoff/contract", "@sendoff/server"],
  // Types, in one file; the contract's schemas would bring zod to every page.
  dashboard: ["@sendoff/contract"],
};

/** Node's modules that a package without I/O and clock may not have. */
const forbiddenInContract = /^(node:|pg$|undici$|hono)/;

/**
 * Which rooms of the server a room may import: the route of the data, from the way in to the way out. A room may
 * always import itself and what is in `everybody`. main.ts imports all, and nobody imports it.
 */
const roomRules: Record<string, readonly string[]> = {
  database: [],
  secrets: [],
  recordings: [],
  logbook: ["database"],
  outbox: ["database", "logbook"],
  lifecycle: ["database", "outbox"],
  egress: [],
  feed: ["database", "logbook"],
  retention: ["database", "inspector", "lifecycle", "logbook", "outbox", "recordings"],
  tenancy: ["database", "egress", "secrets"],
  inspector: ["database", "egress", "secrets", "tenancy"],
  overview: ["database"],
  dispatch: ["database", "egress", "outbox", "tenancy", "secrets", "recordings"],
  http: [
    "database",
    "egress",
    "feed",
    "inspector",
    "lifecycle",
    "logbook",
    "outbox",
    "overview",
    "recordings",
    "retention",
    "secrets",
    "tenancy",
  ],
};
/** Files beside the rooms that any room may import. */
const everybody = [
  "clock.ts",
  "fair-places.ts",
  "json-text.ts",
  "log.ts",
  "metrics.ts",
  "refusal.ts",
  "version.ts",
];
/** The composition root, and what only it imports. */
const topFiles = [
  "child.ts",
  "config.ts",
  "ground.ts",
  "index.ts",
  "installation-keys.ts",
  "installation.ts",
  "main.ts",
  "report-told.ts",
  "running.ts",
  "start-error.ts",
  "supervisor-messages.ts",
  "supervisor.ts",
];

function sources(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) return sources(path);
    return /\.tsx?$/.test(path) ? [path] : [];
  });
}

/** What a file imports, type imports included. */
function importsOf(path: string): string[] {
  const text = readFileSync(path, "utf8");
  const pattern =
    /(?:^|\n)\s*(?:import|export)\b[^;"']*?from\s+["']([^"']+)["']|import\(\s*["']([^"']+)["']\s*\)|(?:^|\n)import\s+["']([^"']+)["']/g;
  return [...text.matchAll(pattern)].map((match) => match[1] ?? match[2] ?? match[3] ?? "");
}

const files = packages.flatMap((name) => sources(join(root, "packages", name, "src")));

/** Each file's relative imports, resolved. */
const graph = new Map(
  files.map((file) => [
    file,
    importsOf(file)
      .filter((specifier) => specifier.startsWith(".") && !/\.css$|\?raw$/.test(specifier))
      .map((specifier) => resolve(dirname(file), specifier)),
  ]),
);

/** One cycle of a graph, or null. */
function findCycle<Node>(nodes: Iterable<Node>, next: (node: Node) => Iterable<Node>): Node[] | null {
  const done = new Set<Node>();
  const walk = (node: Node, path: Node[]): Node[] | null => {
    if (path.includes(node)) return [...path.slice(path.indexOf(node)), node];
    if (done.has(node)) return null;
    for (const other of next(node)) {
      const cycle = walk(other, [...path, node]);
      if (cycle !== null) return cycle;
    }
    done.add(node);
    return null;
  };
  for (const node of nodes) {
    const cycle = walk(node, []);
    if (cycle !== null) return cycle;
  }
  return null;
}

const serverSource = join(root, "packages/server/src");
/** The room of a file of the server, or the file's own name when it stands beside the rooms. */
const roomOf = (file: string): string => relative(serverSource, file).split(sep)[0] ?? "";

describe("who may import whom", () => {
  test("the imports of a good many files are seen at all", () => {
    expect(files.length).toBeGreaterThan(50);
    expect([...graph.values()].flat().length).toBeGreaterThan(100);
    for (const target of new Set([...graph.values()].flat())) expect(files).toContain(target);
  });

  test("no file imports itself by way of others", () => {
    const cycle = findCycle(files, (file) => graph.get(file) ?? []);
    expect(cycle?.map((file) => relative(root, file))).toBeUndefined();
  });

  test("the client of buckets and the decoders of audio are loaded only when they are needed", () => {
    // What main.ts loads at the start: static imports, and those of what they import.
    const staticImports = (file: string): string[] =>
      [
        ...readFileSync(file, "utf8").matchAll(
          /(?:^|\n)(?:import|export)\b(?! type)[^;"']*?from\s+["']([^"']+)["']/g,
        ),
      ].map((match) => match[1] ?? "");
    const seen = new Set<string>();
    const names = new Set<string>();
    const walk = (file: string): void => {
      if (seen.has(file)) return;
      seen.add(file);
      for (const specifier of staticImports(file)) {
        if (specifier.startsWith(".")) walk(resolve(dirname(file), specifier));
        else names.add(specifier);
      }
    };
    walk(join(root, "packages/server/src/main.ts"));
    expect(names).toContain("pg");
    expect([...names].filter((name) => /aws|decoder/.test(name))).toEqual([]);
  });

  test.each(packages)("package %s imports only the packages that it may", (name) => {
    const wrong = sources(join(root, "packages", name, "src")).flatMap((file) =>
      importsOf(file)
        .filter((specifier) => specifier.startsWith("@sendoff/") || specifier === "sendoff")
        .filter((specifier) => !packageRules[name]?.includes(specifier.replace(/\/golden\/.*/, "")))
        .map((specifier) => `${relative(root, file)} -> ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });

  test("of the contract the dashboard imports types alone, and example bodies", () => {
    const folder = join(root, "packages/dashboard/src");
    const wrong = sources(folder).flatMap((file) =>
      (readFileSync(file, "utf8").match(/(?:import|export)[^;]*?"@sendoff\/[^"]*"/g) ?? [])
        .filter((text) => !/^(import|export) type\b/.test(text) && !/golden\/[\w.-]+\.json\?raw"$/.test(text))
        .map((text) => `${relative(root, file)}: ${text}`),
    );
    expect(wrong).toEqual([]);
  });

  test("the contract does no I/O and has no clock", () => {
    const wrong = sources(join(root, "packages/contract/src")).flatMap((file) => [
      ...importsOf(file).filter((specifier) => forbiddenInContract.test(specifier)),
      ...(readFileSync(file, "utf8").match(/Date\.now|new Date\(\)|performance\./g) ?? []),
    ]);
    expect(wrong).toEqual([]);
  });

  test("each room of the server imports only the rooms that it may", () => {
    const wrong = files
      .filter((file) => file.startsWith(serverSource) && !topFiles.includes(roomOf(file)))
      .flatMap((file) =>
        (graph.get(file) ?? []).flatMap((target) => {
          const [from, to] = [roomOf(file), roomOf(target)];
          const allowed = from === to || everybody.includes(to) || roomRules[from]?.includes(to);
          return allowed ? [] : [`${relative(root, file)} -> ${relative(root, target)}`];
        }),
      );
    expect(wrong).toEqual([]);
  });

  test("every folder of the server has its rule, and no rule is for a folder that is gone", () => {
    const folders = readdirSync(serverSource).filter((name) =>
      statSync(join(serverSource, name)).isDirectory(),
    );
    expect(folders.sort()).toEqual(Object.keys(roomRules).sort());
  });

  test("the rules themselves have no cycle", () => {
    expect(findCycle(Object.keys(roomRules), (room) => roomRules[room] ?? [])).toBeNull();
  });

  test("only the entries of a process import the composition root", () => {
    const main = join(serverSource, "main.ts");
    const importers = files.filter((file) => graph.get(file)?.includes(main));
    expect(importers.map((file) => relative(serverSource, file)).sort()).toEqual(["child.ts", "index.ts"]);
  });
});

describe("the size of things", () => {
  test("no source file is longer than 350 lines", () => {
    const long = files
      .map((file) => ({ file: relative(root, file), lines: readFileSync(file, "utf8").split("\n").length }))
      .filter(({ lines }) => lines > 350);
    expect(long).toEqual([]);
  });
});
