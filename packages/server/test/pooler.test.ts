import pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { OwnPostgres } from "../../../test/own-postgres.ts";
import { type PgBouncer, startPgBouncer } from "../../../test/pgbouncer.ts";
import { newFolder } from "../../../test/process.ts";
import { startTestServer } from "../../../test/server.ts";
import { startSink } from "../../../test/sink.ts";
import { PoolerError, refuseTransactionPooling } from "../src/database/pooler.ts";
import { startSendoff } from "../src/main.ts";

let postgres: OwnPostgres;
let bouncer: PgBouncer | undefined;

beforeAll(async () => {
  postgres = await OwnPostgres.make();
  await postgres.start();
});
afterEach(async () => {
  await bouncer?.stop();
  bouncer = undefined;
});
afterAll(() => postgres?.remove());

const refuse = (connectionString: string): Promise<void> => refuseTransactionPooling({ connectionString });

/** Clients that take and give back connections of the pooler all the time; the answer ends them. */
function traffic(connectionString: string, clients: number): () => Promise<void> {
  let over = false;
  const loops = Array.from({ length: clients }, async () => {
    const client = new pg.Client({ connectionString });
    await client.connect();
    while (!over) await client.query("SELECT pg_sleep(0.001)");
    await client.end();
  });
  return async () => {
    over = true;
    await Promise.all(loops);
  };
}

describe("PgBouncer", () => {
  test.each<[mode: string, settings: Record<string, string | number>]>([
    ["transaction", {}],
    ["transaction", { server_round_robin: 1, min_pool_size: 5 }],
    ["transaction", { default_pool_size: 1 }],
    ["statement", {}],
  ])("in %s mode with %j is refused, and told how it works", async (pool_mode, settings) => {
    bouncer = await startPgBouncer(postgres, { pool_mode, ...settings });
    const error = await refuse(bouncer.url).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(PoolerError);
    expect((error as Error).message).toMatch(/transaction or statement mode.*Set pool_mode = session/);
  });

  test("in transaction mode is refused amid the traffic of others, each time", async () => {
    bouncer = await startPgBouncer(postgres, { pool_mode: "transaction", default_pool_size: 10 });
    const end = traffic(bouncer.url, 8);
    for (let time = 0; time < 20; time += 1) await expect(refuse(bouncer.url)).rejects.toThrow(PoolerError);
    await end();
  });

  test("in session mode is never refused, with traffic or without", async () => {
    bouncer = await startPgBouncer(postgres, { pool_mode: "session", default_pool_size: 20 });
    await refuse(bouncer.url);
    const end = traffic(bouncer.url, 8);
    for (let time = 0; time < 20; time += 1) await refuse(bouncer.url);
    await end();
  });

  test("that is refused keeps no setting of Sendoff in the connections that others get", async () => {
    bouncer = await startPgBouncer(postgres, { pool_mode: "transaction", default_pool_size: 3 });
    const env = {
      DATABASE_URL: bouncer.url,
      SENDOFF_DATA: await newFolder(),
      SENDOFF_LOG: "silent",
      PORT: "0",
    };
    await expect(startSendoff({ role: "api", env })).rejects.toThrow(/pool_mode = session/);
    const client = new pg.Client({ connectionString: bouncer.url });
    await client.connect();
    const { rows } = await client.query("SHOW enable_seqscan");
    expect(rows).toEqual([{ enable_seqscan: "on" }]);
    await client.end();
  });

  test("in session mode takes the connections of a server as it comes, without ignore_startup_parameters", async () => {
    bouncer = await startPgBouncer(postgres, { pool_mode: "session", default_pool_size: 30 });
    const sink = await startSink();
    const server = await startTestServer({ DATABASE_URL: bouncer.url });
    try {
      await server.api("PATCH", `/v1/projects/${server.projectId}/agent`, {
        postSessionWebhook: { url: sink.url, events: ["session.ended", "session.finalized"] },
      });
      const answer = await server.api(
        "POST",
        `/v1/projects/${server.projectId}/sessions/through/conversation-ended`,
        { channel: "text", currentNodeId: "closing", messagesCount: 1, extractedVariables: {} },
      );
      expect(answer.status).toBe(200);
      await sink.arrived(2);
    } finally {
      await server.stop();
      await sink.close();
    }
  });
});

test("PostgreSQL itself is never refused", async () => {
  for (let time = 0; time < 20; time += 1) await refuse(postgres.url());
});
