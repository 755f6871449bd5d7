// Every example of docs/api.md is sent to a server, in the order of the page: the status is the one that is shown, and an
// answer that is shown whole has the same members in the same order.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { blocksOf } from "./documents.ts";
import { startTestServer, type TestServer } from "./server.ts";
import { until } from "./until.ts";

const page = readFileSync(join(resolve(import.meta.dirname, ".."), "docs/api.md"), "utf8");
const examples = blocksOf(page)
  .filter(({ notRun }) => notRun === null)
  .map(({ text }) => {
    const [command = "", ...shown] = text.split("\n");
    return { command, shown: shown.join("\n") };
  });
let server: TestServer;

beforeAll(async () => {
  // The example of a late report needs a deadline that passes while it waits.
  server = await startTestServer({ SENDOFF_CONVERSATION_GRACE: "500ms" });
});
afterAll(() => server.stop());

const report = (sessionId: string, type: string, body: object) =>
  server.api("POST", `/v1/projects/${server.projectId}/sessions/${sessionId}/${type}`, body);

async function rows(sessionId: string): Promise<{ id: string; event: string; settledAs: string | null }[]> {
  return (await server.api("GET", `/v1/projects/${server.projectId}/webhook-logs?sessionId=${sessionId}`))
    .body.data;
}

async function finalizedRow(sessionId: string): Promise<string> {
  let id: string | undefined;
  await until("its session.finalized is logged", async () => {
    id = (await rows(sessionId)).find(({ event }) => event === "session.finalized")?.id;
    return id !== undefined;
  });
  return id ?? "";
}

/** What an example stands on, by the beginning of its command; answers the command with the ids of this server. */
const before: readonly (readonly [begin: string, prepare: (command: string) => Promise<string>])[] = [
  [
    'curl -sS "$P/sessions/call-9/conversation-ended"',
    async (command) => {
      await report("call-9", "call-ended", { callStatus: "userHangup", callDuration: 3 });
      const path = `/v1/projects/${server.projectId}/sessions/call-9`;
      await until(
        "Sendoff ended it",
        async () => (await server.api("GET", path)).body.data.state === "finalized",
      );
      return command;
    },
  ],
  [
    'curl -sS -X DELETE "$P/sessions/chat-1"',
    async (command) => {
      const facts = { currentNodeId: "bye", messagesCount: 2, extractedVariables: { name: "Nancy" } };
      await report("chat-1", "conversation-ended", { channel: "text", ...facts });
      await finalizedRow("chat-1");
      return command;
    },
  ],
  ['curl -sS -N "$P/events', async (command) => `${command} -m 2`],
  [
    'curl -sS "$H/webhooks" -H "$AUTH"',
    async (command) => {
      if (command.includes(" -d ")) return command;
      const listed = { url: "https://listed.example.com/", events: ["session.ended"], headers: [] };
      await server.api("POST", `/project/${server.projectId}/webhooks`, listed);
      return command;
    },
  ],
  [
    'curl -sS -X DELETE "$H/webhooks/',
    async (command) => {
      const { webhooks } = (await server.api("GET", `/project/${server.projectId}/webhooks`)).body;
      return command.replace(/[0-9a-f-]{36}/, webhooks[0].id);
    },
  ],
  [
    'curl -sS "$P/webhook-logs/',
    async (command) => command.replace(/\d+"/, `${await finalizedRow("chat-9")}"`),
  ],
  [
    'curl -sS -X POST "$P/webhook-logs/',
    async (command) => command.replace(/\d+\/resend/, `${await finalizedRow("call-1")}/resend`),
  ],
  [
    'curl -sS "$P/reconcile"',
    async (command) => {
      const [from, to] = [-1, 1].map((hours) => new Date(Date.now() + hours * 3_600_000).toISOString());
      return command.replace(/"from":"[^"]+","to":"[^"]+"/, `"from":"${from}","to":"${to}"`);
    },
  ],
  ['curl -sS "$INSPECTOR?after=', async (command) => command.replace(/after=\d+/, "after=0")],
];

test("the page has examples", () => {
  expect(examples.length).toBeGreaterThan(40);
});

test.each(examples)(
  "$command",
  async ({ command, shown }) => {
    const prepare = before.find(([begin]) => command.startsWith(begin))?.[1];
    const ready = prepare === undefined ? command : await prepare(command);
    const reads = !/ -X | -d /.test(command);
    let printed = await shell(ready);
    // What was reported a moment ago may not have been delivered yet.
    for (let tries = 0; reads && tries < 20 && !isAsShown(printed, shown); tries += 1)
      printed = await shell(ready);
    if (!isAsShown(printed, shown)) expect(skeleton(printed), printed).toEqual(skeleton(shown));
  },
  30_000,
);

const isAsShown = (printed: string, shown: string): boolean =>
  JSON.stringify(skeleton(printed)) === JSON.stringify(skeleton(shown)) ||
  isShortened(printed, shown) ||
  hasLines(printed, shown);

/** Output that is no answer in JSON: each line that is shown is there. */
function hasLines(printed: string, shown: string): boolean {
  const [given, wanted] = [skeleton(printed), skeleton(shown)];
  return isLines(given) && isLines(wanted) && wanted.every((line) => given.includes(line));
}

const isLines = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((line) => typeof line === "string");

/** An answer with `...` is shown in part: its status must be right. */
function isShortened(printed: string, shown: string): boolean {
  return / \.\.\. /.test(shown) && printed.slice(0, 4) === shown.slice(0, 4);
}

/** What of an output is the same each time. */
function skeleton(output: string): unknown {
  const [, status, body] = /^(\d{3}) (\{.*\})\s*$/s.exec(output) ?? [];
  if (status !== undefined && body !== undefined) return [status, members(json(body))];
  if (output.startsWith("event: ")) return output.split("\n")[0];
  // Lines without their numbers; a `%` of curl is of no interest.
  return output
    .trim()
    .split("\n")
    .map((line) => line.replace(/ \d+$/, " N"))
    .sort();
}

/** Names of what callers chose, which differ from session to session. */
const own = new Set(["extractedVariables", "variables", "headers", "payload", "details"]);

function members(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? "[]" : [members(value[0])];
  if (typeof value !== "object" || value === null) return "value";
  return Object.entries(value).map(([name, inner]) => [name, own.has(name) ? "own" : inside(name, inner)]);
}

/** What may be null in another answer is looked at no further; the envelope is always there. */
function inside(name: string, inner: unknown): unknown {
  if (Array.isArray(inner)) return inner.length === 0 ? "[]" : [members(inner[0])];
  return name === "data" || name === "error" ? members(inner) : "value";
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Runs a line of the page in a shell that knows the page's names, and puts the status before an answer's body. */
async function shell(command: string): Promise<string> {
  const names = {
    API: server.apiUrl,
    PROJECT: server.projectId,
    P: `${server.apiUrl}/v1/projects/${server.projectId}`,
    H: `${server.apiUrl}/project/${server.projectId}`,
    AUTH: `authorization: Bearer ${server.projectKey}`,
    JSON: "content-type: application/json",
    INSPECTOR: server.inspectorUrl,
    DEVELOPER_KEY: server.developerKey,
  };
  const isPiped = command.includes(" | ") || command.includes(" -N ");
  const line = isPiped ? command : `${command} -o "$BODY" -w '%{http_code} ' && cat "$BODY"`;
  const script = `BODY=$(mktemp); trap 'rm -f "$BODY"' EXIT; ${line}`;
  const child = spawn("bash", ["-c", script], {
    env: { ...process.env, ...names },
    stdio: ["ignore", "pipe", "ignore"],
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  await once(child, "close");
  return output;
}
