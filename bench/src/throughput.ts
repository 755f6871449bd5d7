import type { Benchmark, Findings, Goal, Run } from "./benchmark.ts";
import { createProjects, type Project, textConversation } from "./endpoints.ts";
import { median, round } from "./figures.ts";
import { type Flood, startFlood } from "./flood.ts";
import type { FloodPlan } from "./flood-messages.ts";
import { cpuMsOf, memoryOf } from "./proc.ts";
import { openStage, type Stage } from "./stage.ts";
import { nowNs, sleep, until } from "./time.ts";

/** Goals: performance, P1. */
const ratioMin = 0.15;
const cpuUsMax = 170;
const defaults = { runs: 5, seconds: 10, endpoints: 4 };
const warmUpSeconds = 4;
/** Reports that are under way at a time. */
const loadConnections = 128;
/** Connections of the reference: more of them are slower. */
const referenceConnections = 64;
const drainLimitMs = 60_000;

/** How many deliveries a second Sendoff makes at saturation, beside what one process can send that does nothing else. */
export const throughput: Benchmark = {
  name: "throughput",
  sentence:
    "Deliveries a second at saturation, with every feature on, as a ratio to bare POSTs to the same sink; processor time of each.",
  async run(run) {
    const runs: OneRun[] = [];
    let postgres = "";
    for (let number = 1; number <= (run.settings.runs ?? defaults.runs); number++) {
      const stage = await openStage(run);
      postgres = stage.postgresVersion;
      runs.push(await playRun(run, stage, number));
      await run.scope.end();
    }
    return findingsOf(runs, postgres);
  },
};

interface OneRun {
  readonly referencePerSecond: number;
  readonly acceptedPerSecond: number;
  readonly deliveredPerSecond: number;
  readonly refused: number;
  /** Processor time per delivery, in microseconds. */
  readonly cpuUs: {
    readonly server: number;
    readonly postgres: number;
    readonly sink: number;
    readonly load: number;
  };
  readonly memoryMiB: number;
  /** Attempts that the log does not have, or has twice. */
  readonly logDifference: number;
}

async function playRun(run: Run, stage: Stage, number: number): Promise<OneRun> {
  const seconds = run.settings.seconds ?? defaults.seconds;
  const total = run.settings.runs ?? defaults.runs;
  const ports = await stage.sink.listen(run.settings.endpoints ?? defaults.endpoints);
  await stage.sink.behave(ports, "count");
  const projects = await createProjects(stage, ports, () => ({}), ["session.ended"]);
  run.progress.step(`run ${number} of ${total}: bare POSTs ...`);
  const reference = await measureReference(run, stage, ports, seconds / 2);
  run.progress.step(`run ${number} of ${total}: reports ...`);
  const arrivedBefore = await stage.sink.counted();
  const flood = await startFlood(run.scope, reportsTo(stage, projects));
  await sleep(warmUpSeconds * 1_000);
  const window = await measureWindow(stage, flood, seconds);
  await flood.end();
  await until("every delivery is settled", drainLimitMs, async () => {
    const { rowCount } = await stage.database.query("SELECT FROM deliveries LIMIT 1");
    return rowCount === 0;
  });
  const { rows } = await stage.database.query<{ logged: string }>(
    "SELECT count(*) AS logged FROM webhook_logs",
  );
  const arrived = (await stage.sink.counted()) - arrivedBefore;
  return { ...window, referencePerSecond: reference, logDifference: Number(rows[0]?.logged) - arrived };
}

async function measureReference(
  run: Run,
  stage: Stage,
  ports: readonly number[],
  seconds: number,
): Promise<number> {
  const flood = await startFlood(run.scope, {
    origin: `http://127.0.0.1:${ports[0]}`,
    connections: referenceConnections,
    requests: [{ path: "/", headers: ["content-type", "application/json"], body: "x".repeat(400) }],
  });
  await sleep(1_000);
  const before = await stage.sink.counted();
  const beganNs = nowNs();
  await sleep(seconds * 1_000);
  const perSecond = (((await stage.sink.counted()) - before) * 1e9) / (nowNs() - beganNs);
  await flood.end();
  return Math.round(perSecond);
}

/** Reports that end text sessions, each of which owes one delivery. */
function reportsTo(stage: Stage, projects: readonly Project[]): FloodPlan {
  const body = JSON.stringify(textConversation);
  return {
    origin: stage.sendoff.start.apiUrl,
    connections: loadConnections,
    requests: projects.map(({ id, key }) => ({
      path: `/v1/projects/${id}/sessions/flood-{n}/conversation-ended`,
      headers: ["authorization", `Bearer ${key}`, "content-type", "application/json"],
      body,
    })),
  };
}

async function measureWindow(
  stage: Stage,
  flood: Flood,
  seconds: number,
): Promise<Omit<OneRun, "referencePerSecond" | "logDifference">> {
  const pids = {
    server: stage.sendoff.workerPid(),
    postgres: stage.postgresPid,
    sink: stage.sink.pid,
    load: flood.pid,
  };
  const look = async () => ({
    atNs: nowNs(),
    arrived: await stage.sink.counted(),
    flooded: await flood.count(),
    cpuMs: Object.entries(pids).map(([name, pid]) => [name, cpuMsOf(pid)] as const),
  });
  const before = await look();
  await sleep(seconds * 1_000);
  const after = await look();
  const perSecond = (count: number): number => Math.round((count * 1e9) / (after.atNs - before.atNs));
  const delivered = after.arrived - before.arrived;
  const usedMs = new Map(before.cpuMs);
  return {
    acceptedPerSecond: perSecond(after.flooded.accepted - before.flooded.accepted),
    deliveredPerSecond: perSecond(delivered),
    refused: after.flooded.refused - before.flooded.refused,
    cpuUs: Object.fromEntries(
      after.cpuMs.map(([name, ms]) => [
        name,
        Math.round(((ms - (usedMs.get(name) ?? 0)) * 1_000) / delivered),
      ]),
    ) as OneRun["cpuUs"],
    memoryMiB: memoryOf(pids.server)?.mostMiB ?? Number.NaN,
  };
}

const cpuOf = ({ cpuUs }: OneRun): number => Object.values(cpuUs).reduce((sum, us) => sum + us, 0);
const ratioOf = ({ deliveredPerSecond, referencePerSecond }: OneRun): number =>
  deliveredPerSecond / referencePerSecond;

function findingsOf(runs: readonly OneRun[], postgres: string): Findings {
  const medianOf = (pick: (one: OneRun) => number): number => median(runs.map(pick));
  const rowOf = (name: string, of: (pick: (one: OneRun) => number) => number): Array<string | number> => [
    name,
    of((one) => one.referencePerSecond),
    of((one) => one.acceptedPerSecond),
    of((one) => one.deliveredPerSecond),
    of(ratioOf).toFixed(3),
    of(cpuOf),
    of((one) => one.cpuUs.server),
    of((one) => one.cpuUs.postgres),
    of((one) => one.cpuUs.sink),
    of((one) => one.cpuUs.load),
    of((one) => one.memoryMiB),
  ];
  return {
    tables: [
      {
        title:
          "At saturation (a second; ratio of delivered to bare POSTs; processor time in us per delivery; memory: most MiB of the server)",
        columns: [
          "",
          "bare POSTs",
          "accepted",
          "delivered",
          "ratio",
          "cpu",
          "server",
          "PostgreSQL",
          "sink",
          "load",
          "memory",
        ],
        rows: [
          ...runs.map((one, index) => rowOf(`run ${index + 1}`, (pick) => pick(one))),
          rowOf("median", medianOf),
        ],
      },
    ],
    figures: { runs, ratio: round(medianOf(ratioOf)), cpuUs: medianOf(cpuOf) },
    goals: goalsOf(runs, medianOf),
    postgres,
  };
}

function goalsOf(runs: readonly OneRun[], medianOf: (pick: (one: OneRun) => number) => number): Goal[] {
  const ratio = medianOf(ratioOf);
  const cpu = medianOf(cpuOf);
  const difference = runs.reduce((sum, one) => sum + Math.abs(one.logDifference), 0);
  return [
    {
      text: `delivered at least ${ratioMin} of bare POSTs`,
      measured: ratio.toFixed(3),
      reached: ratio >= ratioMin,
    },
    {
      text: `at most ${cpuUsMax} us of processor time per delivery`,
      measured: `${cpu} us`,
      reached: cpu <= cpuUsMax,
    },
    {
      text: "one row of webhook_logs per request",
      measured: `${difference} rows off`,
      reached: difference === 0,
    },
  ];
}
