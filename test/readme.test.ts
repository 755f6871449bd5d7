// The documents are run, not believed: README.md's blocks against a real server, its receiver against signed requests,
// and what the documents list against what the source has.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import {
  durationMs,
  errorCatalogue,
  overlapBounds,
  reconcileBounds,
  retryBounds,
  timeoutBounds,
} from "@sendoff/contract";
import { Webhook } from "standardwebhooks";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { banner } from "../packages/cli/src/banner.ts";
import { readConfig } from "../packages/server/src/config.ts";
import { idleMax } from "../packages/server/src/dispatch/clients.ts";
import { allRoutes } from "../packages/server/src/http/routes/all.ts";
import { healthRoutes } from "../packages/server/src/http/routes/health.ts";
import { createMetrics } from "../packages/server/src/metrics.ts";
import { leaseMarginMs, stallAllowanceMs } from "../packages/server/src/outbox/claim.ts";
import { afterAttempt } from "../packages/server/src/outbox/retry.ts";
import { heartbeatMs, silenceMaxMs } from "../packages/server/src/supervisor-messages.ts";
import { type Block, blocksOf, claimOf as claimIn, masked } from "./documents.ts";
import { startTestServer, type TestServer } from "./server.ts";
import { until } from "./until.ts";

const root = resolve(import.meta.dirname, "..");
const readme = readFileSync(join(root, "README.md"), "utf8");

const blocks = blocksOf(readme);
const firstBlock = (language: string): string =>
  blocks.find((block) => block.language === language)?.text ?? "";
const claimOf = (block: Block): string[] => claimIn(blocks, block);

function expectClaim(block: Block, output: string): void {
  const printed = output.split("\n").map(masked);
  for (const line of claimOf(block)) expect(printed, block.text).toContain(masked(line));
}

let server: TestServer;
let folder: string;
const children: ChildProcess[] = [];

beforeAll(async () => {
  server = await startTestServer();
  folder = await mkdtemp(join(tmpdir(), "sendoff-readme-"));
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill();
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Starts a program with the test server's data folder; `output` grows as it prints. */
function start(program: string, args: string[], env: Record<string, string> = {}) {
  const child = spawn(program, args, {
    cwd: root,
    env: { ...process.env, SENDOFF_DATA: server.dataFolder, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  const started = { child, output: "", ended: once(child, "close") as Promise<[number | null]> };
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      started.output += text;
    });
  }
  return started;
}

describe("README.md", () => {
  test("its bash blocks run in order in one shell, and print what it says they print", async () => {
    const run = blocks.filter((block) => block.language === "bash" && block.notRun === null);
    expect(run.length).toBeGreaterThanOrEqual(5);
    const mark = (index: number): string => `@@ block ${index} @@`;
    const script = run.map((block, index) => `printf '\\n%s\\n' '${mark(index)}'\n${block.text}`).join("\n");
    const shell = start("bash", [
      "-c",
      `set -euo pipefail\n${script}\nprintf '\\n%s\\n' '${mark(run.length)}'`,
    ]);
    const [code] = await shell.ended;
    expect(code, shell.output).toBe(0);
    run.forEach((block, index) => {
      const output = shell.output.split(mark(index))[1]?.split(mark(index + 1))[0] ?? "";
      expect(output, block.text).not.toContain('"error":');
      expectClaim(block, output);
    });
  });

  test("sendoff tail prints lines as README.md shows them", async () => {
    const block = blocks.find(({ text }) => text.startsWith("npx sendoff tail"));
    if (block === undefined) throw new Error("README.md does not run sendoff tail");
    expect(claimOf(block).length).toBeGreaterThan(1);
    const bin = join(root, "packages/cli/bin/sendoff.js");
    const tail = start(process.execPath, [bin, ...block.text.split(" ").slice(2)]);
    await until("tail has read what is there", () => tail.output.includes("Watching"));
    expectClaim(block, tail.output);
  });

  test("what it shows of npm start has the rows that npm start prints", () => {
    const claim = claimOf(blocks.find(({ text }) => text.includes("npm start")) as Block);
    const rowsOf = (lines: readonly string[]): string[] =>
      lines.flatMap((line) => /^ {2}([A-Z]\w*(?: \w+)?) {2,}/.exec(line)?.[1] ?? []);
    const printed = banner({ start: server, startPath: "start.json", toTerminal: true });
    expect(rowsOf(claim)).toEqual(rowsOf(printed.split("\n")));
    expect(rowsOf(claim).length).toBeGreaterThan(5);
  });

  test("the webhook that it shows has the headers and the fields of a real one, in order", async () => {
    const { rows } = await server.pool.query<{ headers: string; body: Buffer }>(
      `SELECT headers, body FROM inspector_requests
       WHERE convert_from(body, 'UTF8') LIKE '{"event":"session.finalized","sessionId":"call-1"%'`,
    );
    const real = rows[0];
    if (real === undefined) throw new Error("no session.finalized of call-1 arrived");
    const [headers = "", body = ""] = firstBlock("http").split("\n\n");
    expect(Object.keys(JSON.parse(body))).toEqual(Object.keys(JSON.parse(String(real.body))));
    const lines = headers.split("\n");
    expect(lines.length).toBe(7);
    for (const line of lines) expect(Object.keys(JSON.parse(real.headers))).toContain(line.split(":")[0]);
  });

  test("its receiver takes what Sendoff signs and refuses everything else", async () => {
    const file = join(folder, "receiver.mjs");
    await writeFile(file, firstBlock("js"));
    const secret = await signingSecret();
    const port = await freePort();
    const receiver = start(process.execPath, [file], { SIGNING_SECRET: secret, PORT: String(port) });
    const url = `http://127.0.0.1:${port}/`;
    await until("the receiver listens", () =>
      fetch(url).then(
        (answer) => answer.status === 401,
        () => false,
      ),
    );

    const agent = `/v1/projects/${server.projectId}/agent`;
    const set = await server.api("PATCH", agent, { postSessionWebhook: { url } });
    expect(set.status, set.text).toBe(200);
    const path = `/v1/projects/${server.projectId}/sessions/signed-1/conversation-ended`;
    const body = {
      channel: "text",
      currentNodeId: "a",
      messagesCount: 1,
      extractedVariables: { name: "Zoë" },
    };
    await server.api("POST", path, body);
    const logs = `/v1/projects/${server.projectId}/webhook-logs?sessionId=signed-1`;
    await until("the delivery is logged", async () => (await server.api("GET", logs)).body.data.length === 1);
    const [log] = (await server.api("GET", logs)).body.data;
    expect(log).toMatchObject({ outcome: "delivered", responseStatus: 204 });
    await until("the receiver has printed it", () =>
      receiver.output.includes(`${log.webhookId} session.ended`),
    );

    const text = '{"event":"session.ended"}';
    const post = async (at: Date, sent: string, signature?: string): Promise<number> => {
      const headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": String(Math.floor(at.getTime() / 1_000)),
        "webhook-signature": signature ?? new Webhook(secret).sign("msg_1", at, text),
      };
      return (await fetch(url, { method: "POST", headers, body: sent })).status;
    };
    const now = new Date();
    expect(await post(now, text)).toBe(204);
    const rotated = new Webhook(Buffer.alloc(32, 1).toString("base64")).sign("msg_1", now, text);
    expect(await post(now, text, `${rotated} ${new Webhook(secret).sign("msg_1", now, text)}`)).toBe(204);
    expect(await post(now, `${text} `)).toBe(401);
    expect(await post(new Date(now.getTime() - 600_000), text)).toBe(401);
    for (const forged of ["", "v1,", "v1", rotated, `v1,${"A".repeat(43)}=`]) {
      expect(await post(now, text, forged), forged).toBe(401);
    }
    expect((await fetch(url, { method: "POST", body: text })).status).toBe(401);
  });

  test("its settings table names the settings that there are, and no other", () => {
    const section = sectionOf(readme, "## Settings");
    const named = [...section.matchAll(/^\| `([A-Z0-9_]+)` \|/gm)].map((match) => match[1]);
    let listed = "";
    try {
      readConfig({ SENDOFF_NO_SUCH_SETTING: "1" });
    } catch (error) {
      listed = /expected one of ([A-Z0-9_, ]+)/.exec((error as Error).message)?.[1] ?? "";
    }
    expect(named.toSorted()).toEqual(listed.split(", ").toSorted());
  });

  test("its settings table has the defaults of the server", () => {
    const defaults = new Map(
      [...sectionOf(readme, "## Settings").matchAll(/^\| `([A-Z0-9_]+)` \| `([^`]+)`/gm)].map((match) => [
        match[1],
        match[2],
      ]),
    );
    const given = [...defaults].filter(([name]) => name !== "SENDOFF_PUBLIC_URL");
    expect(given.length).toBeGreaterThanOrEqual(9);
    const { port: _port, ...standard } = readConfig({});
    const { port, ...stated } = readConfig(Object.fromEntries(given));
    expect(stated).toEqual(standard);
    expect(port).toBe(4_600);
  });
});

describe("docs/api.md", () => {
  const api = readFileSync(join(root, "docs/api.md"), "utf8");

  test("it has every route of the server, and no other", () => {
    const none = null as never;
    const routes = allRoutes({
      ...{
        log: none,
        metrics: none,
        expensivePool: none,
        sealer: none,
        guard: none,
        access: {} as never,
        mediaOrigins: [],
      },
      live: {} as never,
      recorded: {} as never,
      health: healthRoutes(none, none, none),
    });
    const described = [...api.matchAll(/^### `([A-Z]+ \/\S*)`$/gm)].map((match) => match[1]);
    expect(described.toSorted()).toEqual(routes.map(({ method, path }) => `${method} ${path}`).toSorted());
  });

  test("it has every metric of our own with its labels, and no other", async () => {
    const section = sectionOf(api, "## Open routes");
    const described = [...section.matchAll(/^\| `(sendoff_\w+)` \| ([^|]*)\|/gm)].map(
      ([, name, labels = ""]) => `${name} ${[...labels.matchAll(/`(\w+)`/g)].map((match) => match[1])}`,
    );
    const { registry, databaseRegistry: _databaseRegistry, ...metrics } = createMetrics();
    const own = Object.values(metrics).map((metric) => {
      const { name, labelNames } = metric as unknown as { name: string; labelNames: string[] };
      return `${name} ${labelNames}`;
    });
    expect(registry.getMetricsAsArray().length).toBeGreaterThan(own.length);
    expect(described.toSorted()).toEqual(own.toSorted());
  });

  test("it has every error code with its status, and no other", () => {
    const rows = [...api.matchAll(/^\| `([a-z_]+)` \| (\d{3}) \|/gm)].map(
      (match) => `${match[1]} ${match[2]}`,
    );
    const codes = Object.entries(errorCatalogue).map(([code, { status }]) => `${code} ${status}`);
    expect(rows.toSorted()).toEqual(codes.toSorted());
  });
});

describe("docs/guarantees.md", () => {
  const guarantees = readFileSync(join(root, "docs/guarantees.md"), "utf8").replace(/\s+/g, " ");
  const { graces, limits } = readConfig({});
  const takeoverMs = constantOf("dispatch/takeovers.ts", "lookMs");

  test.each([
    ["the lease's margin", `lease of timeout + ${time(leaseMarginMs)}`],
    ["the stall allowance", `leaves at least ${time(stallAllowanceMs)} of its lease`],
    ["the heartbeat", `every ${time(heartbeatMs)} that it lives`],
    ["the silence", `silent for ${time(silenceMaxMs)} is killed`],
    ["the longest drain", `after ${time(constantOf("supervisor.ts", "drainMaxMs"))} the parent kills`],
    ["the takeover's step", `looks every ${time(takeoverMs)} for leases in the past`],
    ["the takeover's batch", `up to ${constantOf("outbox/takeover.ts", "batchMax")} in a look`],
    [
      "the takeover of a default attempt",
      `within ${time(timeoutBounds.defaultMs + leaseMarginMs + takeoverMs)} of its claim with the default timeout`,
    ],
    [
      "the takeover of the longest attempt",
      `within ${time(timeoutBounds.maxMs + leaseMarginMs + takeoverMs)} with the longest`,
    ],
    ["the timeouts", `(${time(timeoutBounds.defaultMs)}, at most ${time(timeoutBounds.maxMs)})`],
    ["the pause of the settler", `every ${time(constantOf("dispatch/settler.ts", "retryMs"))} until they`],
    ["the conversation's grace", `${time(graces.conversationMs)} after that report (\`SENDOFF_CONVERSATION`],
    ["the call's grace", `${time(graces.callMs)} after that report (\`SENDOFF_CALL_GRACE`],
    ["the session's time-out", `${time(graces.sessionMs)} after the last report that changed something`],
    ["the look for deadlines", `looks every ${time(constantOf("lifecycle/deadlines.ts", "lookMs"))};`],
    [
      "the bounds of retries",
      `2 to ${retryBounds.attemptsMax} attempts in all, a window of ${time(retryBounds.windowMinMs)} to ${time(retryBounds.windowMaxMs)}`,
    ],
    ["the endpoint's cap", `${limits.perEndpointMax} attempts in flight per endpoint`],
    ["the process's cap", `${limits.inFlightMax.toLocaleString("en")} per process`],
    ["the idle connections", `at most ${idleMax.toLocaleString("en")} idle ones`],
    ["reconcile's pairs", `at most ${reconcileBounds.heldMax.toLocaleString("en")} pairs`],
    [
      "the overlap of secrets",
      `along for ${time(durationMs(overlapBounds.default))}, or for the \`overlap\` that the rotation named (0s to ${overlapBounds.maxMs / 86_400_000}d)`,
    ],
    ["the keep-alive", `used again within ${time(constantOf("dispatch/clients.ts", "keepAliveMs"))}`],
  ])("it has %s as the source has it", (_what, sentence) => {
    expect(guarantees).toContain(sentence);
  });

  test("it has the pauses between retries as the source makes them", () => {
    const said = /With (\d+) attempts in (\d+) h, at most: ([^.]+)\./.exec(guarantees);
    const attempts = Number(said?.[1]);
    const retries = { attempts, windowMs: Number(said?.[2]) * 3_600_000 };
    const pauses = Array.from({ length: attempts - 1 }, (_, index) =>
      pauseAfter({ attempt: index + 1, retries, retryAfterMs: null }, 0),
    );
    expect(said?.[3]?.split(", ")).toEqual(pauses.map(time));
    const first = { attempt: 1, retries };
    expect(guarantees).toContain(
      `at most ${time(pauseAfter({ ...first, retryAfterMs: null }, 0))}, and so short`,
    );
    expect(guarantees).toContain("shortened at random by up to half");
    expect(pauseAfter({ ...first, retryAfterMs: null }, 1)).toBe(pauses[0] && pauses[0] / 2);
    const longest = pauseAfter({ ...first, retryAfterMs: 24 * 3_600_000 - 1 }, 0);
    expect(guarantees).toContain(`counts for at most ${time(longest)}.`);
  });
});

describe("every Markdown file", () => {
  test("its links to files of the repository lead somewhere", () => {
    const files = markdownFiles(root);
    expect(files.length).toBeGreaterThan(10);
    let links = 0;
    const dead = files.flatMap((file) => {
      const prose = readFileSync(file, "utf8").replace(/```[\s\S]*?\n```/g, "");
      const targets = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1] ?? "");
      const local = targets.filter((target) => !/^(https?:|mailto:|#)/.test(target));
      links += local.length;
      return local
        .filter((target) => !existsSync(resolve(dirname(file), decodeURI(target.split("#")[0] ?? ""))))
        .map((target) => `${relative(root, file)} -> ${target}`);
    });
    expect(links).toBeGreaterThan(20);
    expect(dead).toEqual([]);
  });
});

/** A length of time as the documents write it: in the largest unit of which it is a whole number, or in seconds. */
function time(ms: number): string {
  if (ms < 1_000) return `${ms} ms`;
  if (ms % 86_400_000 === 0 && ms > 86_400_000) return `${ms / 86_400_000} d`;
  if (ms % 3_600_000 === 0) return `${ms / 3_600_000} h`;
  if (ms % 60_000 === 0) return `${ms / 60_000} min`;
  return `${(ms / 1_000).toLocaleString("en")} s`;
}

/** A number that a file of the server keeps for itself. */
function constantOf(file: string, name: string): number {
  const source = readFileSync(join(root, "packages/server/src", file), "utf8");
  const value = new RegExp(`^const ${name} = ([\\d_]+);$`, "m").exec(source)?.[1];
  if (value === undefined) throw new Error(`${file} has no number ${name}`);
  return Number(value.replaceAll("_", ""));
}

/** The pause after an attempt that got 503, in milliseconds. */
function pauseAfter(
  ended: {
    readonly attempt: number;
    readonly retries: { readonly attempts: number; readonly windowMs: number };
    readonly retryAfterMs: number | null;
  },
  random: number,
): number {
  const { attempt, retries, retryAfterMs } = ended;
  const result = {
    outcome: "rejected",
    errorCode: "http_error",
    failedStep: "response",
    responseStatus: 503,
    responseBody: null,
    durationMs: 1,
    retryAfterMs,
  } as const;
  const next = afterAttempt({ result, attempt, retries, triedForMs: 0 }, random);
  if (next.kind !== "again") throw new Error(`attempt ${attempt} is the last`);
  return next.afterMs;
}

const sectionOf = (markdown: string, heading: string): string =>
  markdown.split(`${heading}\n`)[1]?.split("\n## ")[0] ?? "";

/** A new one of the first agent's webhook, of which this is the only one that signs. */
async function signingSecret(): Promise<string> {
  const path = `/v1/projects/${server.projectId}/agent/webhook/secret`;
  const answer = await server.api("POST", path, { overlap: "0s" });
  return answer.body.data.signingSecret;
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return port;
}

function markdownFiles(at: string): string[] {
  return readdirSync(at).flatMap((name) => {
    if (["node_modules", "dist", ".git", ".sendoff", ".artifacts", "coverage"].includes(name)) return [];
    const path = join(at, name);
    if (statSync(path).isDirectory()) return markdownFiles(path);
    return name.endsWith(".md") ? [path] : [];
  });
}
