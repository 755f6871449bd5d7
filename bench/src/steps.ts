import type { Benchmark, Findings, Run } from "./benchmark.ts";
import { createProjects, type Project } from "./endpoints.ts";
import { median } from "./figures.ts";
import { startFlood } from "./flood.ts";
import type { FloodPlan } from "./flood-messages.ts";
import { cpuOf, drained, loadConnections, loadEndpoints, measureReference, reportsTo } from "./saturation.ts";
import { playRuns, type Stage } from "./stage.ts";
import { nowNs, sleep } from "./time.ts";

const defaults = { runs: 5, seconds: 4, endpoints: loadEndpoints };
const warmUpSeconds = 2;

/** Where the time of a report goes. There is no goal: it is the profile behind those of `throughput`. */
export const steps: Benchmark = {
  name: "steps",
  sentence:
    "What a report costs the server and PostgreSQL that gets so far and no further: refused at once, read, repeated, stored, delivered.",
  defaults,
  async run(run) {
    const { runs, postgres } = await playRuns(run, defaults.runs, (stage, number) =>
      playRun(run, stage, number),
    );
    return findingsOf(runs, postgres);
  },
};

interface Cost {
  readonly perSecond: number;
  readonly serverUs: number;
  readonly postgresUs: number;
}

interface OneRun {
  readonly referencePerSecond: number;
  /** By the names of {@link stepsOf}, in their order. */
  readonly costs: ReadonlyMap<string, Cost>;
}

/** From the request that is refused first to the one that goes all the way: each does what those before it do, and more. */
function stepsOf(apiUrl: string, wanting: readonly Project[], unwanting: readonly Project[]) {
  const stored = reportsTo(apiUrl, unwanting, "stored", loadConnections);
  const changed = (change: (request: FloodPlan["requests"][number]) => object): FloodPlan => ({
    ...stored,
    requests: stored.requests.map((request) => ({ ...request, ...change(request) })),
  });
  return new Map<string, FloodPlan>([
    ["without a key: 401", changed(() => ({ headers: ["content-type", "application/json"] }))],
    ["not what is expected: 400", changed(({ body }) => ({ body: body.replace('"text"', '"fax"') }))],
    ["of a session that has ended: duplicate", changed(({ path }) => ({ path: path.replace("{n}", "one") }))],
    ["stored with two events that nobody wants", stored],
    ["stored, delivered and logged", reportsTo(apiUrl, wanting, "delivered", loadConnections)],
  ]);
}

async function playRun(run: Run, stage: Stage, number: number): Promise<OneRun> {
  const { sendoff, sink } = stage;
  const seconds = run.settings.seconds ?? defaults.seconds;
  const total = run.settings.runs ?? defaults.runs;
  const ports = await sink.listen(run.settings.endpoints ?? defaults.endpoints);
  await sink.behave(ports, "count");
  const wanting = await createProjects(stage, ports, () => ({}), ["session.ended"]);
  const unwanting = await createProjects(stage, ports, () => ({}), ["recording.ready"]);
  run.progress.step(`run ${number} of ${total}: bare POSTs ...`);
  const referencePerSecond = await measureReference(run.scope, sink, ports[0] ?? 0, seconds);
  const costs = new Map<string, Cost>();
  for (const [name, plan] of stepsOf(sendoff.start.apiUrl, wanting, unwanting)) {
    run.progress.step(`run ${number} of ${total}: ${name} ...`);
    costs.set(name, await costOf(run, stage, plan, seconds));
    await drained(stage.database, wanting);
  }
  return { referencePerSecond, costs };
}

async function costOf(run: Run, stage: Stage, plan: FloodPlan, seconds: number): Promise<Cost> {
  const flood = await startFlood(run.scope, plan);
  await sleep(warmUpSeconds * 1_000);
  const look = async () => {
    const { accepted, refused } = await flood.count();
    const cpuMs = cpuOf({ server: [stage.sendoff.workerPid()], postgres: [stage.postgresPid] });
    return { answered: accepted + refused, cpuMs, atNs: nowNs() };
  };
  const before = await look();
  await sleep(seconds * 1_000);
  const after = await look();
  await flood.end();
  const answered = after.answered - before.answered;
  const each = (part: "server" | "postgres"): number =>
    Math.round(((after.cpuMs[part] - before.cpuMs[part]) * 1_000) / answered);
  return {
    perSecond: Math.round((answered * 1e9) / (after.atNs - before.atNs)),
    serverUs: each("server"),
    postgresUs: each("postgres"),
  };
}

function findingsOf(runs: readonly OneRun[], postgres: string): Findings {
  const names = [...(runs[0]?.costs.keys() ?? [])];
  const medianOf = (name: string, key: keyof Cost): number =>
    median(runs.map(({ costs }) => costs.get(name)?.[key] ?? Number.NaN));
  const bare = median(runs.map(({ referencePerSecond }) => referencePerSecond));
  return {
    tables: [
      {
        title: `Answers a second, and processor time of each in us (medians of ${runs.length}; bare POSTs: ${bare} a second)`,
        columns: ["a report", "a second", "server", "PostgreSQL"],
        rows: names.map((name) => [
          name,
          medianOf(name, "perSecond"),
          medianOf(name, "serverUs"),
          medianOf(name, "postgresUs"),
        ]),
      },
    ],
    figures: {
      referencePerSecond: bare,
      steps: names.map((name) => ({
        name,
        perSecond: medianOf(name, "perSecond"),
        serverUs: medianOf(name, "serverUs"),
        postgresUs: medianOf(name, "postgresUs"),
      })),
    },
    goals: [],
    postgres,
  };
}
