import { fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { examplePayload } from "@sendoff/contract";
import type pg from "pg";
import type { Benchmark, Findings, Run } from "./benchmark.ts";
import { median, round } from "./figures.ts";
import { startFlood } from "./flood.ts";
import type { FloodPlan } from "./flood-messages.ts";
import { runOpenLoop } from "./open-loop.ts";
import type { OpenLoopOutcome } from "./open-loop-messages.ts";
import { cpuMsOf } from "./proc.ts";
import type { FromReceiver, ToReceiver } from "./receiver-messages.ts";
import type { Scope } from "./scope.ts";
import { sign } from "./server-parts.ts";
import { openGround } from "./stage.ts";
import { msNs, nowNs, sleep, until } from "./time.ts";

/** Goals: performance, P7. */
const perSecondMin = 5_000;
const p99Max = 20;
const defaults = { runs: 3, seconds: 10, rate: 500 };
const connections = 64;
/** So many that none waits for one that is free. */
const steadyConnections = 512;
const warmUpMs = 2_000;
/** As many events are made ready as a receiver could take if it were faster than any. */
const mostPerSecond = 12_000;
const drainLimitMs = 120_000;

interface ReceiverProcess {
  readonly pid: number;
  readonly origin: string;
  count(): Promise<FromReceiver>;
}

/** How fast a receiver made with the kit acknowledges, and how fast its handlers keep up. */
export const receiver: Benchmark = {
  name: "receiver",
  sentence: "Events a second that the receiver kit acknowledges with PostgreSQL, and how long one takes.",
  defaults,
  async run(run) {
    const { scope, settings, progress } = run;
    progress.step("Starting PostgreSQL and a receiver ...");
    const ground = await openGround(run);
    const secret = `whsec_${randomBytes(32).toString("base64")}`;
    const started = await startReceiver(scope, ground.databaseUrl, secret);
    const seconds = settings.seconds ?? defaults.seconds;
    const floods: Flooded[] = [];
    const steadies: OpenLoopOutcome[] = [];
    for (let number = 1; number <= (settings.runs ?? defaults.runs); number += 1) {
      progress.step(`run ${number}: without a pause ...`);
      floods.push(await flood(run, ground.database, started, `flood-${number}`, secret, ground.postgresPid));
      progress.step(`run ${number}: ${settings.rate ?? defaults.rate} a second ...`);
      const perSecond = settings.rate ?? defaults.rate;
      const plan = requestsOf(started.origin, `steady-${number}`, Math.ceil(perSecond * seconds), secret);
      steadies.push(
        await runOpenLoop(scope, { ...plan, connections: steadyConnections, perSecond, seconds }),
      );
      await drained(ground.database);
    }
    const { failed } = await started.count();
    return findingsOf(floods, steadies, failed, ground.postgresVersion);
  },
};

async function startReceiver(scope: Scope, databaseUrl: string, secret: string): Promise<ReceiverProcess> {
  const child = fork(fileURLToPath(new URL("./receiver-process.js", import.meta.url)));
  scope.add(() => {
    if (child.connected) child.disconnect();
  });
  const ask = async (message: ToReceiver): Promise<FromReceiver> => {
    const replied = once(child, "message");
    child.send(message);
    const [reply] = (await replied) as [FromReceiver];
    return reply;
  };
  const { origin } = await ask({ type: "begin", databaseUrl, secret });
  return { pid: child.pid ?? 0, origin, count: () => ask({ type: "count" }) };
}

/** Signed events of sessions of their own. */
function requestsOf(origin: string, prefix: string, count: number, secret: string): FloodPlan {
  const timestamp = Math.floor(Date.now() / 1_000);
  const requests = Array.from({ length: count }, (_, index) => {
    const ids = { projectId: "8f3e2c91-4a7b-4d6e-a23c-9b1f5e8d4c20", sessionId: `${prefix}-${index}` };
    const body = examplePayload("session.ended", "text", ids, new Date());
    const id = `msg_${prefix}_${index}`;
    return {
      path: "/",
      headers: [
        ...["content-type", "application/json", "webhook-id", id, "webhook-timestamp", String(timestamp)],
        ...["webhook-signature", sign([secret], id, timestamp, body)],
      ],
      body,
    };
  });
  return { origin, connections, requests };
}

interface Flooded {
  readonly acceptedPerSecond: number;
  readonly handledPerSecond: number;
  readonly refused: number;
  /** Acknowledged events that are not in the store afterwards. */
  readonly lost: number;
  readonly receiverUs: number;
  readonly postgresUs: number;
}

async function flood(
  { scope, settings }: Run,
  database: pg.Pool,
  started: ReceiverProcess,
  prefix: string,
  secret: string,
  postgresPid: number,
): Promise<Flooded> {
  const seconds = settings.seconds ?? defaults.seconds;
  const plan = requestsOf(started.origin, prefix, (seconds + warmUpMs / 1_000 + 1) * mostPerSecond, secret);
  const running = await startFlood(scope, plan);
  await sleep(warmUpMs);
  const look = async () => ({
    ...{ flooded: await running.count(), receiver: await started.count(), ns: nowNs() },
    ...{ receiverMs: cpuMsOf(started.pid), postgresMs: cpuMsOf(postgresPid) },
  });
  const before = await look();
  await sleep(seconds * 1_000);
  const after = await look();
  const end = await running.end();
  await drained(database);
  const { rows } = await database.query<{ count: string }>(
    "SELECT count(*) FROM sendoff_events WHERE starts_with(session, $1)",
    [prefix],
  );
  const took = (after.ns - before.ns) / msNs / 1_000;
  const accepted = after.flooded.accepted - before.flooded.accepted;
  const us = (fromMs: number, toMs: number): number => Math.round(((toMs - fromMs) * 1_000) / accepted);
  return {
    acceptedPerSecond: Math.round(accepted / took),
    handledPerSecond: Math.round((after.receiver.handled - before.receiver.handled) / took),
    refused: end.refused + end.unanswered,
    lost: Math.max(0, Math.min(end.accepted, plan.requests.length) - Number(rows[0]?.count)),
    receiverUs: us(before.receiverMs, after.receiverMs),
    postgresUs: us(before.postgresMs, after.postgresMs),
  };
}

const drained = (database: pg.Pool): Promise<void> =>
  until("every handler has run", drainLimitMs, async () => {
    const { rows } = await database.query("SELECT 1 FROM sendoff_work LIMIT 1");
    return rows.length === 0;
  });

function findingsOf(
  floods: readonly Flooded[],
  steadies: readonly OpenLoopOutcome[],
  failed: number,
  postgres: string,
): Findings {
  const of = (value: (one: Flooded) => number): number => round(median(floods.map(value)));
  const perSecond = of(({ acceptedPerSecond }) => acceptedPerSecond);
  const p99 = round(median(steadies.map(({ acceptedMs }) => acceptedMs.p99)));
  const wrong =
    failed +
    floods.reduce((sum, { refused, lost }) => sum + refused + lost, 0) +
    steadies.reduce((sum, { refused, unanswered, unsent }) => sum + refused + unanswered + unsent, 0);
  const floodRow = (one: Flooded): number[] => [
    ...[one.acceptedPerSecond, one.handledPerSecond, one.refused, one.lost, one.receiverUs, one.postgresUs],
  ];
  return {
    tables: [
      {
        title: `Without a pause on ${connections} connections; a handler that does nothing runs for each event meanwhile`,
        columns: ["", "acknowledged/s", "handled/s", "refused", "lost", "receiver us", "PostgreSQL us"],
        rows: floods.map((one, index) => [`run ${index + 1}`, ...floodRow(one)]),
      },
      {
        title: "At a rate that does not yield, ms from a request to its 2xx",
        columns: ["", "offered", "p50", "p99", "max", "load off by (p99)"],
        rows: steadies.map(({ offered, acceptedMs, latenessMs }, index) => [
          ...[`run ${index + 1}`, offered, acceptedMs.p50, acceptedMs.p99, acceptedMs.max, latenessMs.p99],
        ]),
      },
    ],
    figures: { perSecond, p99, floods, wrong },
    goals: [
      {
        text: `at least ${perSecondMin} events a second acknowledged`,
        measured: `${perSecond}`,
        reached: perSecond >= perSecondMin,
      },
      { text: `p99 at most ${p99Max} ms`, measured: `${p99} ms`, reached: p99 <= p99Max },
      { text: "none refused, lost or failed", measured: `${wrong}`, reached: wrong === 0 },
    ],
    postgres,
  };
}
