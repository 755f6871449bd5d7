import { spawn } from "node:child_process";
import { rm } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../../../test/database.ts";
import { newFolder, type SendoffProcess, startProcess } from "../../../test/process.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";

// A server in a process of its own, on a database of the test's server, so that the process alone can be killed.

let database: TestDatabase;
let dataFolder: string;
let env: Record<string, string>;
let sendoff: SendoffProcess;
let sink: Sink;

beforeAll(async () => {
  database = await createTestDatabase();
  dataFolder = await newFolder();
  env = { DATABASE_URL: database.url, SENDOFF_DATA: dataFolder, SENDOFF_ALLOW_HTTP: "loopback", PORT: "0" };
  sendoff = await startProcess(env);
  env.PORT = new URL(sendoff.start.apiUrl).port;
});
afterEach(() => sink.close());
afterAll(async () => {
  if (sendoff.child.exitCode === null) await sendoff.end("SIGTERM");
  await database.drop();
  await rm(dataFolder, { recursive: true, force: true });
});

const api = (path: string, method: string, body: unknown): Promise<Response> =>
  fetch(`${sendoff.start.apiUrl}/v1/projects/${sendoff.start.projectId}${path}`, {
    method,
    headers: { authorization: `Bearer ${sendoff.start.projectKey}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });

async function pointAtSink(): Promise<void> {
  const events = ["session.ended", "call.ended", "session.finalized"];
  const answer = await api("/agent", "PATCH", {
    postSessionWebhook: { url: sink.url, events, delivery: { timeout: "1s" } },
  });
  expect(answer.status).toBe(200);
}

const conversation = {
  channel: "call",
  currentNodeId: "closing",
  messagesCount: 3,
  extractedVariables: { a: 1 },
};
const call = { callStatus: "userHangup", callDuration: 20 };

/** The events of a report that was taken, else null. */
const emittedOf = async (response: Response): Promise<string[] | null> =>
  response.status === 200 ? ((await response.json()) as { data: { events: string[] } }).data.events : null;

/** A client in a process of its own: sends both reports of a session `count` times at once, and prints the answers. */
function reportFromProcess(
  sessionId: string,
  count: number,
): Promise<Array<{ status: number; events: string[] }>> {
  const script = `
    const base = ${JSON.stringify(`${sendoff.start.apiUrl}/v1/projects/${sendoff.start.projectId}/sessions/${sessionId}`)};
    const send = async (type, body) => {
      const response = await fetch(base + "/" + type, { method: "POST", body: JSON.stringify(body), headers: {
        authorization: "Bearer ${sendoff.start.projectKey}", "content-type": "application/json" } });
      const { data } = await response.json();
      return { status: response.status, events: data?.events ?? [] };
    };
    const all = [];
    for (let index = 0; index < ${count}; index++) {
      all.push(send("call-ended", ${JSON.stringify(call)}), send("conversation-ended", ${JSON.stringify(conversation)}));
    }
    console.log(JSON.stringify(await Promise.all(all)));`;
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["--input-type=module", "--eval", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk;
    });
    child.on("close", (code) =>
      code === 0 ? resolve(JSON.parse(text)) : reject(new Error(`client ended with ${code}`)),
    );
  });
}

describe("reports from several client processes at once", () => {
  test("200 of the same for one session make one event each, and one finalized", async () => {
    sink = await startSink();
    await pointAtSink();
    // 4 processes x 25 x 2 reports = 200 at once.
    const answers = (await Promise.all([1, 2, 3, 4].map(() => reportFromProcess("crowd", 25)))).flat();
    expect(answers.length).toBe(200);
    expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([200]));
    expect(answers.flatMap((answer) => answer.events).sort()).toEqual([
      "call.ended",
      "session.ended",
      "session.finalized",
    ]);
    await sink.arrived(3);
    const log = await database.pool.query("SELECT event FROM webhook_logs WHERE session_id = 'crowd'");
    await until("all three are settled", async () => {
      const { rowCount } = await database.pool.query("SELECT FROM deliveries");
      return rowCount === 0;
    });
    expect(log.rowCount).toBeLessThanOrEqual(3);
    expect(sink.received.map(({ json }) => json.event).at(-1)).toBe("session.finalized");
    expect(sink.received.length).toBe(3);
  });
});

describe("kill -9 in the middle", () => {
  test("every report that was answered 2xx has its deliveries settled after the next start, each as the protocol says", async () => {
    let holds = false;
    let held = 0;
    sink = await startSink((response) => {
      if (holds) held += 1;
      else setTimeout(() => response.end(), 30);
    });
    await pointAtSink();
    const acknowledged: Array<{ sessionId: string; events: string[] }> = [];
    const load = async (client: number): Promise<void> => {
      for (let index = 0; index < 400; index++) {
        const sessionId = `crash-${client}-${index}`;
        for (const [type, body] of [
          ["conversation-ended", conversation],
          ["call-ended", call],
        ] as const) {
          const events = await api(`/sessions/${sessionId}/${type}`, "POST", body)
            .then(emittedOf)
            .catch(() => null);
          if (events === null) return;
          acknowledged.push({ sessionId, events });
        }
      }
    };
    const loads = Promise.all(Array.from({ length: 16 }, (_, client) => load(client)));
    await until("a few hundred reports are taken", () => acknowledged.length > 300);
    // However busy the machine is, attempts are under way when the process dies.
    holds = true;
    await until("an attempt waits for its answer", () => held > 0);
    await sendoff.end("SIGKILL");
    holds = false;
    await loads;
    const inFlight = await database.pool.query("SELECT FROM deliveries WHERE state = 'in_flight'");
    expect(inFlight.rowCount).toBeGreaterThan(0);

    sendoff = await startProcess(env);
    // The lease of what was under way is its timeout (1 s) and 5 s more.
    await until(
      "nothing is owed any more",
      async () => {
        const { rowCount } = await database.pool.query("SELECT FROM deliveries");
        return rowCount === 0;
      },
      60_000,
    );

    const owed = acknowledged.flatMap(({ sessionId, events }) =>
      events.map((event) => `${sessionId} ${event}`),
    );
    const { rows } = await database.pool.query<{ key: string; settled_as: string; attempts: number }>(
      `SELECT session_id || ' ' || event AS key, max(settled_as) AS settled_as, count(*) AS attempts,
         count(settled_as) AS settlings
       FROM webhook_logs WHERE session_id LIKE 'crash-%' GROUP BY 1 HAVING count(settled_as) = 1`,
    );
    const settled = new Map(rows.map((row) => [row.key, row]));
    expect(owed.filter((key) => !settled.has(key))).toEqual([]);

    // On the wire: finalized never twice and always last of its session; the others at most twice.
    const wire = new Map<string, string[]>();
    for (const { json } of sink.received)
      wire.set(json.sessionId, [...(wire.get(json.sessionId) ?? []), json.event]);
    for (const [sessionId, events] of wire) {
      const counts = ["session.ended", "call.ended", "session.finalized"].map(
        (name) => events.filter((event) => event === name).length,
      );
      expect(counts[2], `${sessionId} ${events}`).toBeLessThanOrEqual(1);
      expect(Math.max(...counts), `${sessionId} ${events}`).toBeLessThanOrEqual(2);
      if (counts[2] === 1) expect(events.at(-1), sessionId).toBe("session.finalized");
    }
    // What a crash costs is what was in flight: each was redelivered, or, for finalized, settled as unknown.
    for (const row of rows) {
      if (row.settled_as === "delivered") continue;
      expect(row, row.key).toMatchObject({ settled_as: "unknown", attempts: 1 });
      expect(row.key).toContain("session.finalized");
    }
  });

  test("SIGTERM cuts no attempt: what is under way ends and is logged before the process does", async () => {
    sink = await startSink((response) => setTimeout(() => response.end(), 400));
    await pointAtSink();
    await api("/sessions/drained/conversation-ended", "POST", { ...conversation, channel: "text" });
    await sink.arrived(1);
    expect(await sendoff.end("SIGTERM")).toBe(0);
    const { rows } = await database.pool.query(
      "SELECT event, outcome FROM webhook_logs WHERE session_id = 'drained' ORDER BY log_id",
    );
    expect(rows[0]).toEqual({ event: "session.ended", outcome: "delivered" });
    const owed = await database.pool.query("SELECT state FROM deliveries");
    expect(owed.rows.every((row) => row.state === "pending")).toBe(true);
    sendoff = await startProcess(env);
    await sink.arrived(2);
    expect(sink.received.map(({ json }) => json.event)).toEqual(["session.ended", "session.finalized"]);
  });
});
