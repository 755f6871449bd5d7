import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { measureArrivals, type Phase } from "./arrival-times.ts";
import { seedBacklog } from "./backlog-seed.ts";
import type { Benchmark, Findings, Goal, Run } from "./benchmark.ts";
import { type ClaimTimes, explainClaims, timeClaims } from "./claim-probe.ts";
import { createDead, type DeadEndpoint } from "./dead-endpoints.ts";
import { createProjects, type Project } from "./endpoints.ts";
import { round, type Spread, spreadOf } from "./figures.ts";
import { cpuMsOf, memoryOf } from "./proc.ts";
import { openStage, type Stage } from "./stage.ts";
import { nowNs, sleep } from "./time.ts";

/** Goals: performance, P4, and behaviour, section 4. */
const claimMsMax = 20;
const memoryMiBMax = 300;
const ratioMax = 1.5;
const defaults = { seconds: 20, rate: 100, size: 1_000_000, endpoints: 50 };
const healthyEndpoints = 5;
const warmUpSeconds = 5;

/** What a healthy endpoint notes of a backlog of a million deliveries for dead ones, and what it costs. */
export const backlog: Benchmark = {
  name: "backlog",
  sentence:
    "What 1,000,000 deliveries pending for 50 dead endpoints cost: claims, healthy endpoints' latency, memory, idle work.",
  defaults,
  keepsFiles: true,
  async run(run) {
    const stage = await openStage(run);
    const { dead, healthy } = await createBoth(run, stage);
    const states: State[] = [];
    await measure(run, stage, healthy, "warm-up", warmUpSeconds);
    states.push(await look(run, stage, healthy, "empty"));
    const size = run.settings.size ?? defaults.size;
    run.progress.step(`Inserting ${size} deliveries for ${dead.length} dead endpoints ...`);
    // At work it would attempt what is there already, and the two would wait for each other.
    stage.sendoff.pause();
    await seedBacklog(stage.database, dead, size, run.progress.part);
    stage.sendoff.resume();
    states.push(await look(run, stage, healthy, "backlog"));
    // Until autovacuum has been there PostgreSQL plans without statistics; both must do.
    await stage.database.query("ANALYZE");
    states.push(await look(run, stage, healthy, "analyzed"));
    return findingsOf(states, stage.postgresVersion);
  },
};

/** What was seen in one state of the tables. */
interface State {
  readonly name: string;
  readonly pending: number;
  /** Processor time used while no report came, in percent of one core. */
  readonly idleCpu: { readonly worker: number; readonly postgres: number };
  readonly arrivals: Phase;
  readonly claims: { readonly named: Spread; readonly look: Spread; readonly found: Spread };
  readonly memoryMiB: { readonly nowMiB: number; readonly mostMiB: number } | null;
}

async function createBoth(
  { settings, progress }: Run,
  stage: Stage,
): Promise<{ dead: DeadEndpoint[]; healthy: Project[] }> {
  const count = settings.endpoints ?? defaults.endpoints;
  progress.step(`Creating ${count} endpoints that are dead and ${healthyEndpoints} that are not ...`);
  const dead = await createDead(stage, count);
  return { dead, healthy: await createProjects(stage, await stage.sink.listen(healthyEndpoints)) };
}

async function look(run: Run, stage: Stage, healthy: readonly Project[], name: string): Promise<State> {
  const seconds = run.settings.seconds ?? defaults.seconds;
  run.progress.step(`${name}: idle ...`);
  const idleCpu = await idleCpuOf(stage, seconds / 2);
  const arrivals = await measure(run, stage, healthy, `${name} latency`, seconds);
  // In a phase of its own: what the probe claims and takes back is late for its receiver.
  const named = healthy.map(({ endpointId }) => endpointId);
  const claims = await timeClaims(
    stage.database,
    named,
    measure(run, stage, healthy, `${name} claims`, seconds),
  );
  await explain(run, stage, name, named);
  const { rows } = await stage.database.query<{ pending: string }>(
    "SELECT count(*) AS pending FROM deliveries",
  );
  return {
    name,
    pending: Number(rows[0]?.pending),
    idleCpu,
    arrivals,
    claims: spreadsOf(claims),
    memoryMiB: memoryOf(stage.sendoff.workerPid()),
  };
}

const spreadsOf = ({ named, look, found }: ClaimTimes): State["claims"] => ({
  named: spreadOf(named),
  look: spreadOf(look),
  found: spreadOf(found),
});

function measure(
  { settings, progress }: Run,
  stage: Stage,
  projects: readonly Project[],
  name: string,
  seconds: number,
): Promise<Phase> {
  progress.step(`${name} ...`);
  const reportsPerSecond = settings.rate ?? defaults.rate;
  const prefix = name.replace(/[^a-z0-9]+/g, "-");
  const options = { projects, reportsPerSecond, seconds, prefix, onPart: progress.part };
  return measureArrivals(stage, options, new Set(projects));
}

async function idleCpuOf(stage: Stage, seconds: number): Promise<State["idleCpu"]> {
  const pids = { worker: stage.sendoff.workerPid(), postgres: stage.postgresPid };
  const used = (): Record<keyof typeof pids, number> => ({
    worker: cpuMsOf(pids.worker),
    postgres: cpuMsOf(pids.postgres),
  });
  const before = used();
  const beganNs = nowNs();
  await sleep(seconds * 1_000);
  const after = used();
  const percent = (ms: number): number => Math.round((ms * 1e8) / (nowNs() - beganNs));
  return {
    worker: percent(after.worker - before.worker),
    postgres: percent(after.postgres - before.postgres),
  };
}

async function explain(run: Run, stage: Stage, name: string, named: readonly string[]): Promise<void> {
  const { out } = run.settings;
  if (out === null) return;
  await mkdir(out, { recursive: true });
  await writeFile(join(out, `claim-${name}.txt`), await explainClaims(stage.database, named));
}

function findingsOf(states: readonly State[], postgres: string): Findings {
  return {
    tables: [
      {
        title:
          "Healthy endpoints beside a backlog (ms; latency from sending a report to the first byte at the sink; processor in % of a core while no report comes; late: not there 15 s after the load; look and found: the search for what no hint told of, and a claim from what it found)",
        columns: [
          "",
          "pending",
          "p50",
          "p99",
          "late",
          "refused",
          "claim p50",
          "claim p99",
          "look p50",
          "look p99",
          "found p99",
          "worker MiB",
          "most MiB",
          "idle worker",
          "idle PostgreSQL",
        ],
        rows: states.map(rowOf),
      },
    ],
    figures: { states: states.map(({ arrivals, ...rest }) => ({ ...rest, ...figuresOf(arrivals) })) },
    goals: goalsOf(states),
    postgres,
  };
}

const figuresOf = ({ latenciesMs, missing, load }: Phase): object => ({
  latency: spreadOf(latenciesMs),
  late: missing,
  refused: load.failed,
  loadLateP99: spreadOf(load.latenessMs).p99,
});

function rowOf(state: State): Array<string | number> {
  const { p50, p99 } = spreadOf(state.arrivals.latenciesMs);
  const { named, look, found } = state.claims;
  return [
    state.name,
    state.pending,
    p50,
    p99,
    state.arrivals.missing,
    state.arrivals.load.failed,
    named.p50,
    named.p99,
    look.p50,
    look.p99,
    found.p99,
    state.memoryMiB?.nowMiB ?? "?",
    state.memoryMiB?.mostMiB ?? "?",
    state.idleCpu.worker,
    state.idleCpu.postgres,
  ];
}

function goalsOf(states: readonly State[]): Goal[] {
  const full = states.slice(1);
  const claim = Math.max(...full.map(({ claims }) => claims.named.p99));
  const most = Math.max(...full.map(({ memoryMiB }) => memoryMiB?.mostMiB ?? 0));
  const p99s = states.map(({ arrivals }) => spreadOf(arrivals.latenciesMs).p99);
  const ratio = round(Math.max(...p99s.slice(1)) / (p99s[0] ?? Number.NaN));
  const unserved = full.reduce((sum, { arrivals }) => sum + arrivals.missing + arrivals.load.failed, 0);
  return [
    {
      text: `claims for healthy endpoints under ${claimMsMax} ms (p99)`,
      measured: `${claim} ms`,
      reached: claim < claimMsMax,
    },
    {
      text: `the worker's memory under ${memoryMiBMax} MiB`,
      measured: `${most} MiB`,
      reached: most < memoryMiBMax,
    },
    {
      text: `p99 of healthy endpoints at most ${ratioMax} x of p99 without the backlog, none late or refused`,
      measured: `${ratio} x, ${unserved} late or refused`,
      reached: ratio <= ratioMax && unserved === 0,
    },
  ];
}
