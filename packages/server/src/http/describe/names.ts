import type { Route } from "../route.ts";

/** A group of operations, as one page of /docs. */
export interface Tag {
  readonly name: string;
  readonly description: string;
}

/** Groups by the first part of the path after the project; the first that fits counts. */
const tags: ReadonlyArray<readonly [start: RegExp, tag: Tag]> = [
  [
    /^\/project\/\{projectId\}\/webhooks/,
    { name: "Project webhooks", description: "Several URLs of one project." },
  ],
  [
    /^\/project\/\{projectId\}\//,
    { name: "Text sessions", description: "Text sessions as existing clients call them." },
  ],
  [/^\/v1\/projects$/, { name: "Projects", description: "The tenants of this installation." }],
  [/^$|^dashboard/, { name: "Dashboard", description: "Signing in to the dashboard, and its files." }],
  [
    /^(overview|endpoints|unsent-events|inspector-requests)$/,
    { name: "Overview", description: "The numbers of a project, its endpoints, and what went nowhere." },
  ],
  [/^agent/, { name: "Agent", description: "The agent of a project and its webhook." }],
  [
    /^sessions(\.csv)?$|^sessions\/\{sessionId\}$/,
    { name: "Sessions", description: "Sessions and what happened to them." },
  ],
  [/^sessions\/|^reports/, { name: "Reports", description: "Facts that a runtime states about a session." }],
  [/^webhook-logs/, { name: "Webhook logs", description: "One row for each attempt." }],
  [
    /^(docs|schemas|openapi|asyncapi)/,
    { name: "Description", description: "What this API is, for programs and people." },
  ],
  [/^(healthz|readyz|metrics)/, { name: "Health", description: "For whoever runs this installation." }],
];

/** The parts of a path that tell operations apart: without the version, and without the project when more follows. */
const distinctive = (path: string): string =>
  path.replace(/^\/(v1\/)?/, "").replace(/^projects\/\{projectId\}\/(?=.)/, "");

/** The group of a route. One that no rule names is grouped by the first part of its path. */
export function tagOf({ path }: Route): Tag {
  const rest = distinctive(path);
  const found = tags.find(([start]) => start.test(path) || start.test(rest));
  if (found !== undefined) return found[1];
  const [first = ""] = rest.split("/");
  const words = first.replaceAll("-", " ");
  return {
    name: words.slice(0, 1).toUpperCase() + words.slice(1),
    description: `Routes under ${path.replace(/\/\{.*$/, "")}.`,
  };
}

/** Names of routes whose paths differ by no word. */
const ownNames: Readonly<Record<string, string>> = {
  "/": "getRoot",
  "/dashboard/": "getDashboardPage",
  "/dashboard/{file+}": "getDashboardFile",
};

/** A name of the operation for programs: `getSessions`, `getSession`, `postSessionCallEnded`. */
export function operationIdOf({ method, path }: Route): string {
  const own = ownNames[path];
  if (own !== undefined) return own;
  const parts = distinctive(path)
    .split("/")
    .filter((part) => part !== "");
  const words = parts.flatMap((part, index) => {
    if (part.startsWith("{")) return [];
    // "sessions/{sessionId}" is one session.
    const one = parts[index + 1]?.startsWith("{") ?? false;
    return (one ? part.replace(/s$/, "") : part).split(/[^A-Za-z0-9]+/);
  });
  return method.toLowerCase() + words.map((word) => word.slice(0, 1).toUpperCase() + word.slice(1)).join("");
}
