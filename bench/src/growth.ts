import { seedBacklog } from "./backlog-seed.ts";
import type { Benchmark, Run } from "./benchmark.ts";
import { timeClaims } from "./claim-probe.ts";
import { untilCounted } from "./counted.ts";
import { createDead } from "./dead-endpoints.ts";
import { createProjects, type Project } from "./endpoints.ts";
import { spreadOf } from "./figures.ts";
import { startFlood } from "./flood.ts";
import { findingsOf, type GrowthState } from "./growth-findings.ts";
import { seedLogs } from "./growth-logs.ts";
import { holdTransaction } from "./held-transaction.ts";
import { runLoad } from "./load.ts";
import {
  countLogged,
  describeLogged,
  drained,
  loadEndpoints,
  measureReference,
  measureWindow,
  reportsTo,
} from "./saturation.ts";
import { openStage, type Stage } from "./stage.ts";
import { sleep } from "./time.ts";

const defaults = { size: 1_000_000, held: 10, seconds: 20, endpoints: 50, rate: 100 };
const logsPerDelivery = 10;
const warmUpSeconds = 4;
/** Into so many the time is divided for which the transaction is held. */
const heldWindows = 10;

/** Whether throughput sinks as tables grow and old row versions cannot be removed. */
export const growth: Benchmark = {
  name: "growth",
  sentence:
    "Throughput with a million deliveries pending, ten million log rows and a transaction held open, as a ratio to the empty system's.",
  defaults,
  async run(run) {
    const stage = await openStage(run);
    const seconds = run.settings.seconds ?? defaults.seconds;
    const size = run.settings.size ?? defaults.size;
    const heldMinutes = run.settings.held ?? defaults.held;
    const ports = await stage.sink.listen(loadEndpoints);
    await stage.sink.behave(ports, "count");
    const healthy = await createProjects(stage, ports, () => ({}), ["session.ended"]);
    const empty = await look(run, stage, healthy, "empty", [seconds]);
    await fill(run, stage, size);
    const transaction = await holdTransaction(run.scope, stage.databaseUrl);
    const lengths = Array.from({ length: heldWindows }, () => (heldMinutes * 60) / heldWindows);
    const held = await look(run, stage, healthy, "held", lengths);
    await transaction.end();
    await drained(stage.database, healthy);
    const deliveries = (await stage.sink.counted()) - empty.referenceRequests - held.referenceRequests;
    const logDifference = (await countLogged(stage.database, healthy)) - deliveries;
    const outcomes = await describeLogged(stage.database, healthy);
    return findingsOf({ size, heldMinutes, empty, held, logDifference, outcomes }, stage.postgresVersion);
  },
};

async function fill({ settings, progress }: Run, stage: Stage, size: number): Promise<void> {
  const dead = await createDead(stage, settings.endpoints ?? defaults.endpoints);
  // At work it would attempt what is there already, and the two would wait for each other.
  stage.sendoff.pause();
  progress.step(`Inserting ${size * logsPerDelivery} rows of webhook_logs ...`);
  await seedLogs(stage.database, dead, size * logsPerDelivery, progress.part);
  progress.step(`Inserting ${size} deliveries for ${dead.length} dead endpoints ...`);
  await seedBacklog(stage.database, dead, size, progress.part);
  stage.sendoff.resume();
  progress.step("ANALYZE ...");
  // What has grown slowly has been looked at by autovacuum on the way.
  await stage.database.query("ANALYZE");
  progress.step("Counting them for the overview, as it would have been done on the way ...");
  await untilCounted(stage.database);
}

/**
 * Bare POSTs, a load without a pause through windows of these lengths in seconds, and claims beside a quiet load.
 *
 * @param name begins the ids of the sessions.
 */
async function look(
  run: Run,
  stage: Stage,
  healthy: readonly Project[],
  name: string,
  lengths: readonly number[],
): Promise<GrowthState> {
  const { sink, sendoff } = stage;
  const seconds = run.settings.seconds ?? defaults.seconds;
  run.progress.step(`${name}: bare POSTs ...`);
  const countedBefore = await sink.counted();
  const referencePerSecond = await measureReference(run.scope, sink, healthy[0]?.port ?? 0, seconds / 4);
  const referenceRequests = (await sink.counted()) - countedBefore;
  run.progress.step(`${name}: reports without a pause ...`);
  const flood = await startFlood(run.scope, reportsTo(sendoff.start.apiUrl, healthy, `${name}-flood`));
  await sleep(warmUpSeconds * 1_000);
  const windows: GrowthState["windows"][number][] = [];
  const parts = { server: [sendoff.workerPid()], postgres: [stage.postgresPid] };
  for (const length of lengths) {
    windows.push(await measureWindow(sink, [flood], parts, length));
    run.progress.part(windows.length / lengths.length);
  }
  await flood.end();
  await drained(stage.database, healthy);
  return { referencePerSecond, referenceRequests, windows, claims: await claims(run, stage, healthy, name) };
}

/** In a phase of its own: at saturation the probe would time how long it waits for a processor. */
async function claims(
  run: Run,
  stage: Stage,
  healthy: readonly Project[],
  name: string,
): Promise<GrowthState["claims"]> {
  run.progress.step(`${name}: claims ...`);
  const load = runLoad(stage, {
    projects: healthy,
    reportsPerSecond: run.settings.rate ?? defaults.rate,
    seconds: run.settings.seconds ?? defaults.seconds,
    prefix: `${name}-claims`,
    onPart: run.progress.part,
  });
  const named = healthy.map(({ endpointId }) => endpointId);
  const times = await timeClaims(stage.database, named, load);
  // What is still on its way would be stopped with Sendoff in the next step, and counted with the next bare POSTs.
  await drained(stage.database, healthy);
  return { named: spreadOf(times.named), look: spreadOf(times.look), found: spreadOf(times.found) };
}
