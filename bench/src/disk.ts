import type pg from "pg";
import type { Benchmark, Findings, Run } from "./benchmark.ts";
import { createProjects, type Project, sendReports, textConversation } from "./endpoints.ts";
import { round } from "./figures.ts";
import { drained } from "./saturation.ts";
import { openStage, type Stage } from "./stage.ts";

const defaults = { size: 20_000, endpoints: 4 };
const sessionsPerPart = 200;

/** What sessions leave on the disk. There is no goal: it is for sizing an installation. */
export const disk: Benchmark = {
  name: "disk",
  sentence:
    "Disk that a million sessions take, by table, extrapolated from some thousand that went through the API.",
  defaults,
  async run(run) {
    const stage = await openStage(run);
    const ports = await stage.sink.listen(run.settings.endpoints ?? defaults.endpoints);
    const projects = await createProjects(stage, ports);
    const before = await sizesOf(stage.database);
    const sessions = run.settings.size ?? defaults.size;
    run.progress.step(`Playing ${sessions} sessions ...`);
    await play(run, stage, projects, sessions);
    await drained(stage.database, projects);
    return findingsOf(before, await sizesOf(stage.database), sessions, stage.postgresVersion);
  },
};

/** Half of them text sessions of two webhooks, half calls of three. */
async function play(
  { progress }: Run,
  stage: Stage,
  projects: readonly Project[],
  sessions: number,
): Promise<void> {
  for (let done = 0; done < sessions; done += sessionsPerPart) {
    const project = projects[(done / sessionsPerPart) % projects.length];
    if (project === undefined) throw new Error("Sessions need a project.");
    const count = Math.min(sessionsPerPart, sessions - done);
    const reports = Array.from({ length: count }, (_, index) => reportsOf(done + index)).flat();
    await sendReports(stage, project, reports);
    // What is only received is dropped, or the sink's process would hold it all.
    await stage.sink.take();
    progress.part(done / sessions);
  }
}

function reportsOf(number: number): object[] {
  const ended = { type: "conversation-ended", sessionId: `session-${number}`, ...textConversation };
  if (number % 2 === 0) return [ended];
  return [
    { ...ended, channel: "call" },
    { type: "call-ended", sessionId: ended.sessionId, callStatus: "userHangup", callDuration: 41.5 },
  ];
}

/** Bytes by table with its indexes, partitions as one, and those written to the write-ahead log so far. */
interface Sizes {
  readonly tables: ReadonlyMap<string, number>;
  readonly written: number;
}

async function sizesOf(database: pg.Pool): Promise<Sizes> {
  const { rows } = await database.query<{ name: string; bytes: string }>(
    `SELECT coalesce(parent.relname, class.relname) AS name, sum(pg_total_relation_size(class.oid)) AS bytes
     FROM pg_class AS class
     LEFT JOIN pg_inherits ON pg_inherits.inhrelid = class.oid
     LEFT JOIN pg_class AS parent ON parent.oid = pg_inherits.inhparent
     WHERE class.relkind = 'r' AND class.relnamespace = 'public'::regnamespace
     GROUP BY 1 ORDER BY 2 DESC`,
  );
  const written = await database.query<{ bytes: string }>("SELECT pg_current_wal_lsn() - '0/0' AS bytes");
  return {
    tables: new Map(rows.map(({ name, bytes }) => [name, Number(bytes)])),
    written: Number(written.rows[0]?.bytes),
  };
}

/** Settled deliveries leave their table: its space is that of what is under way at a time. */
const reused: ReadonlySet<string> = new Set(["deliveries"]);

function findingsOf(before: Sizes, after: Sizes, sessions: number, postgres: string): Findings {
  const grown = [...after.tables].map(
    ([name, bytes]) => [name, bytes - (before.tables.get(name) ?? 0)] as const,
  );
  const kept = grown.filter(([name, bytes]) => bytes > 0 && !reused.has(name));
  const all = kept.reduce((sum, [, bytes]) => sum + bytes, 0);
  const row = (name: string, bytes: number): Array<string | number> => [
    name,
    Math.round(bytes / sessions),
    // Bytes a session are megabytes a million.
    round(bytes / sessions / 1_000),
  ];
  const written = after.written - before.written;
  return {
    tables: [
      {
        title: `What ${sessions} sessions leave, half text with 2 webhooks and half calls with 3 (tables with their indexes)`,
        columns: ["", "bytes a session", "GB a million"],
        rows: [
          ...kept.map(([name, bytes]) => row(name, bytes)),
          row("all that stays", all),
          row("written to the write-ahead log, whose files are used again", written),
        ],
      },
    ],
    figures: { sessions, bytes: Object.fromEntries(grown), all, written },
    goals: [],
    postgres,
  };
}
