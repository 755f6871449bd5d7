import type { Benchmark, Findings, Goal, Run } from "./benchmark.ts";
import { untilCounted } from "./counted.ts";
import { createProjects } from "./endpoints.ts";
import { round } from "./figures.ts";
import { seedPages } from "./pages-seed.ts";
import { openStage, type Stage } from "./stage.ts";
import { nowNs } from "./time.ts";

/** The dashboard's goal: the first rows of every page and every single filter. */
const pageMsMax = 500;
const defaults = { size: 1_000_000, runs: 3 };

/** How long each page of the dashboard takes over a million sessions and four million attempts. */
export const pages: Benchmark = {
  name: "pages",
  sentence:
    "How long each list, filter and overview of the dashboard takes with 1,000,000 sessions and 4,000,000 attempts.",
  defaults,
  async run(run) {
    const stage = await openStage(run);
    const [project, ...others] = await createProjects(stage, await stage.sink.listen(3));
    if (project === undefined) throw new Error("no project was made");
    const endpointIds = [project, ...others].map(({ endpointId }) => endpointId);
    // All three endpoints are of the first project: the list of its attempts has to look at each.
    await stage.database.query(
      "UPDATE endpoints SET project_id = $1, kind = 'project' WHERE endpoint_id = ANY ($2::uuid[])",
      [project.id, endpointIds],
    );
    const size = run.settings.size ?? defaults.size;
    run.progress.step(`Inserting ${size} sessions and ${4 * size} attempts ...`);
    await seedPages(stage.database, project.id, endpointIds, size, run.progress.part);
    await stage.database.query("VACUUM ANALYZE");
    run.progress.step("Waiting until all is counted ...");
    const countedMs = await untilCounted(stage.database);
    const timed: Timed[] = [];
    for (const [page, path] of pagesOf(endpointIds)) {
      run.progress.step(`${page} ...`);
      timed.push(await time(run, stage, `/v1/projects/${project.id}${path}`, page));
    }
    return findingsOf(timed, countedMs, stage.postgresVersion);
  },
};

const ago = (days: number): string =>
  encodeURIComponent(new Date(Date.now() - days * 86_400_000).toISOString());

/** Each page and each single filter that it has. */
function pagesOf(endpointIds: readonly string[]): Array<readonly [page: string, path: string]> {
  const sessions = [
    "",
    "channel=text",
    "callStatus=userHangup",
    "callStatus=sipTrunkFailure",
    "callStatus=busy",
    "state=finalized",
    "state=open",
    "state=ending",
    `to=${ago(20)}`,
    `from=${ago(12)}&to=${ago(11)}`,
    "text=call-00000001",
    "text=reschedule",
    "text=nowhere-to-be-found",
  ];
  const logs = [
    "",
    "event=session.finalized",
    "event=recording.ready",
    "outcome=delivered",
    "outcome=blocked",
    "outcome=unknown",
    ...endpointIds.map((id) => `endpointId=${id}`),
    "sessionId=call-00001234",
    `to=${ago(20)}`,
    `from=${ago(12)}&to=${ago(11.99)}`,
  ];
  const shown = (query: string): string =>
    decodeURIComponent(query)
      .replace(/\d{4}-[\d-]+T[\d:.]+Z/g, "DAY")
      .replace(/[0-9a-f-]{36}/, (id) => `of ${id.slice(0, 4)}`);
  return [
    ...sessions.map((query) => [`sessions ${shown(query)}`, `/sessions?${query}`] as const),
    ...logs.map((query) => [`attempts ${shown(query)}`, `/webhook-logs?${query}`] as const),
    ["overview of an hour", "/overview"],
    ["overview of a day", `/overview?from=${ago(1)}`],
    ["overview of 30 days", `/overview?from=${ago(30)}`],
    ["one session", "/sessions/call-00001234"],
    ["unsent events", "/unsent-events"],
    ["endpoints", "/endpoints"],
    ["inspector requests", "/inspector-requests"],
  ];
}

/** One page: the first time, when PostgreSQL may have to read from disk, and the slowest of some times after it. */
interface Timed {
  readonly page: string;
  readonly firstMs: number;
  readonly nextMs: number;
  readonly rows: number | string;
}

async function time({ settings }: Run, stage: Stage, path: string, page: string): Promise<Timed> {
  const times: number[] = [];
  let rows: number | string = "-";
  for (let n = 0; n <= (settings.runs ?? defaults.runs); n++) {
    const beganNs = nowNs();
    const answer = await stage.api.request({
      method: "GET",
      path,
      headers: { authorization: `Bearer ${stage.developerKey}` },
    });
    const body = (await answer.body.json()) as { data: unknown };
    times.push((nowNs() - beganNs) / 1e6);
    if (answer.statusCode !== 200)
      throw new Error(`${path} answered ${answer.statusCode}: ${JSON.stringify(body)}`);
    if (Array.isArray(body.data)) rows = body.data.length;
  }
  const [firstMs = Number.NaN, ...next] = times;
  return { page, firstMs: round(firstMs), nextMs: round(Math.max(...next)), rows };
}

function findingsOf(timed: readonly Timed[], countedMs: number, postgres: string): Findings {
  const slowest = timed.reduce((one, other) => (other.firstMs > one.firstMs ? other : one));
  const goal: Goal = {
    text: `every page and every single filter under ${pageMsMax} ms, also the first time`,
    measured: `at most ${slowest.firstMs} ms (${slowest.page})`,
    reached: timed.every(({ firstMs, nextMs }) => Math.max(firstMs, nextMs) < pageMsMax),
  };
  return {
    tables: [
      {
        title: `Time to the whole answer of a page in ms, and its rows (counting all for the overview took ${round(countedMs / 1_000)} s)`,
        columns: ["page", "first", "slowest next", "rows"],
        rows: timed.map(({ page, firstMs, nextMs, rows }) => [page, firstMs, nextMs, rows]),
      },
    ],
    figures: { pages: timed, countedMs: round(countedMs) },
    goals: [goal],
    postgres,
  };
}
