import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import type pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { OwnPostgres } from "../../../test/own-postgres.ts";
import { until } from "../../../test/until.ts";
import { ConnectError } from "../src/database/connect-error.ts";
import { warnOfAsynchronousStandbys } from "../src/database/durability.ts";
import { type Listener, listen } from "../src/database/listen.ts";
import { holdInstallation } from "../src/database/owner.ts";
import { createPool } from "../src/database/pool.ts";
import { inTransaction } from "../src/database/transaction.ts";
import { createLog } from "../src/log.ts";

let primary: OwnPostgres;
let standby: OwnPostgres;
const log = createLog("silent");
const opened: Array<() => Promise<unknown>> = [];

beforeAll(async () => {
  primary = await OwnPostgres.make();
  standby = await primary.copyForStandby();
  await primary.start();
  await standby.start();
  await until("the standby follows", async () => {
    const [row] = await primary.sql<{ count: string }>(
      "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'",
    );
    return row?.count === "1";
  });
});
afterEach(async () => {
  for (const close of opened.splice(0)) await close();
});
afterAll(async () => {
  await standby?.stop();
  await primary?.remove();
});

const address = (...ports: readonly number[]): string =>
  `postgres://sendoff:s3cret@${ports.map((port) => `127.0.0.1:${port}`).join(",")}/sendoff`;

function poolOn(connectionString: string): pg.Pool {
  const pool = createPool({ connectionString }, log);
  opened.push(() => pool.end());
  return pool;
}

const portOf = async (pool: pg.Pool): Promise<number> =>
  Number((await pool.query<{ port: string }>("SELECT current_setting('port') AS port")).rows[0]?.port);

/** A port on which nobody listens. */
const closedPort = 1;

/** Somebody accepts there and says nothing, as a machine does that has been stopped. */
async function silentPort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const sockets = new Set<{ destroy(): void }>();
  server.on("connection", (socket) => sockets.add(socket));
  opened.push(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((done) => server.close(done));
  });
  return (server.address() as AddressInfo).port;
}

describe("of several hosts", () => {
  test("the first one that takes writes is taken: those that refuse and standbys are passed by", async () => {
    const pool = poolOn(address(closedPort, standby.port, primary.port));
    expect(await portOf(pool)).toBe(primary.port);
    const own = await holdInstallation({ connectionString: address(standby.port, primary.port) });
    opened.push(async () => own?.release());
    const holders = "SELECT datname FROM pg_stat_activity WHERE application_name = 'sendoff installation'";
    expect(await primary.sql(holders)).toEqual([{ datname: "sendoff" }]);
  });

  test("the first one is taken whatever it is, when any will do", async () => {
    const pool = poolOn(`${address(standby.port, primary.port)}?target_session_attrs=any`);
    expect(await portOf(pool)).toBe(standby.port);
  });

  test("one that accepts and says nothing costs its own time once, and not for each connection", async () => {
    const pool = poolOn(address(await silentPort(), primary.port));
    const begun = performance.now();
    expect(await portOf(pool)).toBe(primary.port);
    const firstMs = performance.now() - begun;
    expect(firstMs).toBeGreaterThan(1_500);
    // A pause of the machine is not the host's time.
    expect(firstMs).toBeLessThan(4_500);
    const busy = await pool.connect();
    const again = performance.now();
    expect(await portOf(pool)).toBe(primary.port);
    expect(performance.now() - again).toBeLessThan(1_500);
    busy.release();
  });

  test("all are named with their reasons when none is taken, without the password", async () => {
    const pool = poolOn(address(closedPort, standby.port));
    const error = await pool.query("SELECT 1").then(
      () => null,
      (reason: unknown) => reason as Error,
    );
    expect(error).toBeInstanceOf(ConnectError);
    expect(error?.message).toBe(
      `127.0.0.1:1: connect ECONNREFUSED 127.0.0.1:1: nothing listens there; 127.0.0.1:${standby.port}: it is a standby or recovers (pg_is_in_recovery), which takes no writes`,
    );
    expect(error?.stack).not.toContain("s3cret");
  });
});

describe("an asynchronous standby", () => {
  const warned = async (connectionString: string): Promise<unknown[]> => {
    const lines: string[] = [];
    await warnOfAsynchronousStandbys(
      poolOn(connectionString),
      createLog("warn", { write: (line) => lines.push(line) }),
    );
    return lines.map((line) => JSON.parse(line));
  };

  test("is warned of by its name, with what to set", async () => {
    expect(await warned(primary.url())).toMatchObject([
      {
        event: "database.standby_asynchronous",
        standbys: ["standby"],
        reason: expect.stringMatching(/can lose reports .* synchronous_standby_names/),
      },
    ]);
  });

  test("is not seen by a user without pg_monitor, and nothing is said", async () => {
    await primary.sql("CREATE ROLE plain LOGIN");
    expect(await warned(primary.url("", "plain"))).toEqual([]);
  });

  test("is not warned of when it is synchronous", async () => {
    await primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'");
    await primary.sql("SELECT pg_reload_conf()");
    await until("it is synchronous", async () => {
      const [row] = await primary.sql<{ state: string }>(
        "SELECT sync_state AS state FROM pg_stat_replication",
      );
      return row?.state === "sync";
    });
    expect(await warned(primary.url())).toEqual([]);
    await primary.sql("ALTER SYSTEM RESET synchronous_standby_names");
    await primary.sql("SELECT pg_reload_conf()");
  });
});

// The last ones: they promote the standby, and nothing leads back.
describe("when the primary is another one", () => {
  let pool: pg.Pool;
  let listener: Listener;
  let heard: string[] = [];

  test("statements and LISTEN go to it, and again when it turns read-only", async () => {
    const both = address(primary.port, standby.port);
    pool = poolOn(both);
    listener = listen({ connectionString: both }, "told", (payload) => heard.push(payload), log);
    opened.unshift(() => listener.stop());
    await pool.query("CREATE TABLE written (word text)");
    await notified(primary, "by the first");

    await until("the standby has it", async () =>
      standby.sql("SELECT FROM written").then(
        () => true,
        () => false,
      ),
    );
    await primary.stop();
    await standby.sql("SELECT pg_promote()");
    await until("a write is taken", () => isTaken(pool));
    expect(await portOf(pool)).toBe(standby.port);
    await notified(standby, "by the second");

    // The one of before takes writes again, which no failover does: so the next one has somewhere to go.
    await primary.start();
    // Between two statements nothing tells a session that its server has turned read-only.
    await inTransaction(pool, (client) => client.query("INSERT INTO written VALUES ('before')"));
    await standby.sql("ALTER SYSTEM SET default_transaction_read_only = on");
    await standby.sql("SELECT pg_reload_conf()");
    let refusal: unknown = null;
    await until("a write is refused", () =>
      inTransaction(pool, (client) => client.query("INSERT INTO written VALUES ('refused')")).then(
        () => false,
        (reason: unknown) => {
          refusal = reason;
          return true;
        },
      ),
    );
    expect(refusal).toMatchObject({ code: "25006" });
    await inTransaction(pool, (client) => client.query("INSERT INTO written VALUES ('after')"));
    expect(await portOf(pool)).toBe(primary.port);
    await notified(primary, "by the first again");
  });

  const isTaken = (on: pg.Pool): Promise<boolean> =>
    on.query("INSERT INTO written VALUES ('w')").then(
      () => true,
      () => false,
    );

  const notified = (by: OwnPostgres, word: string): Promise<void> =>
    until(`what is notified ${word} is heard`, async () => {
      heard = heard.filter((payload) => payload === word);
      await by.sql(`SELECT pg_notify('told', '${word}')`);
      return heard.includes(word);
    });
});
