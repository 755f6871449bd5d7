import type { Benchmark, Run } from "./benchmark.ts";
import { createProjects } from "./endpoints.ts";
import { median } from "./figures.ts";
import { startFlood } from "./flood.ts";
import { runOpenLoop } from "./open-loop.ts";
import { findingsOf, type Memory, type Outcome } from "./overload-findings.ts";
import { memoryOf } from "./proc.ts";
import {
  countLogged,
  describeLogged,
  drained,
  loadEndpoints,
  measureWindow,
  reportsTo,
} from "./saturation.ts";
import { openStage, type Stage } from "./stage.ts";
import { nowNs, sleep } from "./time.ts";

const defaults = { seconds: 600, endpoints: loadEndpoints };
const warmUpSeconds = 4;
const overloadFactor = 3;
/** Longest time that the overload lasts. */
const overloadSecondsMax = 60;
/** What the overload may keep open. More than the 10,000 reports that may wait in Sendoff's memory. */
const connectionsMax = 15_000;

/** Memory at saturation, and how too much is refused. */
export const overload: Benchmark = {
  name: "overload",
  sentence: `Memory over a long time at saturation; then ${overloadFactor} x that load, open loop: how fast refusals are, what is still delivered, and that nothing accepted is lost.`,
  defaults,
  async run(run) {
    const stage = await openStage(run);
    const { sink, sendoff, database } = stage;
    const seconds = run.settings.seconds ?? defaults.seconds;
    const ports = await sink.listen(run.settings.endpoints ?? defaults.endpoints);
    await sink.behave(ports, "count");
    const projects = await createProjects(stage, ports, () => ({}), ["session.ended"]);

    run.progress.step(`At saturation for ${seconds} s ...`);
    const flood = await startFlood(run.scope, reportsTo(sendoff.start.apiUrl, projects, "flood"));
    await sleep(warmUpSeconds * 1_000);
    const watching = watchMemory(run, stage, seconds);
    const saturation = await measureWindow(sink, [flood], { server: [sendoff.workerPid()] }, seconds);
    const memory = await watching;
    const flooded = await flood.end();
    await drained(database, projects);

    const perSecond = overloadFactor * saturation.acceptedPerSecond;
    run.progress.step(`Overload, ${perSecond} reports a second ...`);
    const overloadSeconds = Math.min(seconds, overloadSecondsMax);
    const offering = runOpenLoop(run.scope, {
      ...reportsTo(sendoff.start.apiUrl, projects, "overload", connectionsMax),
      perSecond,
      seconds: warmUpSeconds + overloadSeconds,
    });
    const [goodput, offered] = await Promise.all([measureGoodput(stage, overloadSeconds), offering]);
    const mostMiB = memoryOf(sendoff.workerPid())?.mostMiB ?? Number.NaN;
    await drained(database, projects);
    const outcome: Outcome = {
      saturation,
      memory: { ...memory, mostInOverloadMiB: mostMiB },
      overload: { ...offered, deliveredPerSecond: goodput, offeredPerSecond: perSecond },
      counts: {
        accepted: flooded.accepted + offered.accepted,
        unanswered: flooded.unanswered + offered.unanswered,
        arrived: await sink.counted(),
        logged: await countLogged(database, projects),
        outcomes: await describeLogged(database, projects),
      },
    };
    return findingsOf(outcome, stage.postgresVersion);
  },
};

/** Deliveries a second, after a warm-up. */
async function measureGoodput({ sink }: Stage, seconds: number): Promise<number> {
  await sleep(warmUpSeconds * 1_000);
  const before = await sink.counted();
  const beganNs = nowNs();
  await sleep(seconds * 1_000);
  return Math.round((((await sink.counted()) - before) * 1e9) / (nowNs() - beganNs));
}

const lookMs = 500;

/** Resident memory of the server: the first and the last minute, or third where there is less than three minutes. */
async function watchMemory({ progress }: Run, { sendoff }: Stage, seconds: number): Promise<Memory> {
  const looks: number[] = [];
  const count = Math.max(3, Math.floor((seconds * 1_000) / lookMs));
  const end = nowNs() + seconds * 1e9;
  while (nowNs() < end) {
    looks.push(memoryOf(sendoff.workerPid())?.nowMiB ?? Number.NaN);
    progress.part(looks.length / count);
    await sleep(lookMs);
  }
  const part = Math.ceil(Math.min(60_000 / lookMs, looks.length / 3));
  return {
    firstMiB: median(looks.slice(0, part)),
    lastMiB: median(looks.slice(-part)),
    mostMiB: memoryOf(sendoff.workerPid())?.mostMiB ?? Number.NaN,
  };
}
