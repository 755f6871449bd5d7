// Who is compared by `versus`, and how each is started on a ground of its own.
import { randomUUID } from "node:crypto";
import type { Run } from "./benchmark.ts";
import { createProjects, type Project } from "./endpoints.ts";
import type { PeerName } from "./peers/peer.ts";
import { startPeer } from "./peers/start.ts";
import { type AppendFsync, startRedis } from "./redis.ts";
import { countLogged, type Parts } from "./saturation.ts";
import { type Ground, openGround, openStage } from "./stage.ts";

export type Part = "server" | "queue" | "load";

/** A contender that runs. */
export interface Playing {
  readonly ground: Ground;
  readonly apiUrl: string;
  readonly projects: readonly Project[];
  /** Its own processes, and where it keeps its jobs and log: PostgreSQL, and Redis where it has one. */
  readonly parts: Parts<Exclude<Part, "load">>;
  readonly settings: string;
  /** Rows of its log. */
  logged(): Promise<number>;
}

export interface Contender {
  readonly name: string;
  /** So many times as much as this one Sendoff shall deliver; null: no goal. */
  readonly goal: number | null;
  start(run: Run, endpoints: number): Promise<Playing>;
}

const sendoff: Contender = {
  name: "Sendoff",
  goal: null,
  async start(run, endpoints) {
    const stage = await openStage(run);
    const ports = await stage.sink.listen(endpoints);
    await stage.sink.behave(ports, "count");
    const projects = await createProjects(stage, ports, () => ({}), ["session.ended"]);
    return {
      ground: stage,
      apiUrl: stage.sendoff.start.apiUrl,
      projects,
      parts: { server: [stage.sendoff.pid], queue: [stage.postgresPid] },
      settings: "sendoff start as it comes: one process",
      logged: () => countLogged(stage.database, projects),
    };
  },
};

const key = "peer-key";

interface PeerOptions {
  /** So many times as much shall Sendoff deliver. */
  readonly goal?: number;
  readonly redis?: AppendFsync;
  readonly gathers?: boolean;
}

function peerOf(name: string, peer: PeerName, options: PeerOptions): Contender {
  const { goal = null, redis = null, gathers = false } = options;
  return {
    name,
    goal,
    async start(run, endpoints) {
      run.progress.step(`Starting PostgreSQL, ${name} and a sink ...`);
      const ground = await openGround(run);
      const ports = await ground.sink.listen(endpoints);
      await ground.sink.behave(ports, "count");
      const projects = ports.map((port) => ({ id: randomUUID(), key, endpointId: "", port }));
      const started = redis === null ? null : await startRedis(run.scope, ground.folder, redis);
      const running = await startPeer(run.scope, {
        peer,
        key,
        gathers,
        databaseUrl: ground.databaseUrl,
        redisSocket: started?.socket ?? null,
        urls: Object.fromEntries(projects.map(({ id, port }) => [id, `http://127.0.0.1:${port}/hook`])),
      });
      return {
        ground,
        apiUrl: running.origin,
        projects,
        parts: {
          server: running.pids,
          queue: [ground.postgresPid, ...(started === null ? [] : [started.pid])],
        },
        settings: `API and worker as two processes; ${gathers ? "reports gathered and added by the call for many" : "a call a report"}; ${running.settings}${redis === null ? "" : `; appendonly yes, appendfsync ${redis}`}`,
        async logged() {
          const { rows } = await ground.database.query<{ logged: string }>(
            "SELECT count(*) AS logged FROM peer_logs",
          );
          return Number(rows[0]?.logged);
        },
      };
    },
  };
}

/**
 * Goals: performance, P2. Only with appendfsync always is what BullMQ was given as durable as with the others. None of the
 * queues gathers the reports of many requests by itself; the rows without a goal show what they do when somebody writes
 * that for them, as Sendoff's intake has it.
 */
export const contenders: readonly Contender[] = [
  sendoff,
  peerOf("naive", "naive", { goal: 15 }),
  peerOf("BullMQ", "bullmq", { goal: 4, redis: "always" }),
  peerOf("BullMQ, everysec", "bullmq", { redis: "everysec" }),
  peerOf("BullMQ, gathered", "bullmq", { redis: "always", gathers: true }),
  peerOf("pg-boss", "pg-boss", { goal: 8 }),
  peerOf("pg-boss, gathered", "pg-boss", { gathers: true }),
  peerOf("graphile-worker", "graphile-worker", { goal: 12 }),
  peerOf("graphile-worker, gathered", "graphile-worker", { gathers: true }),
];
