import type pg from "pg";
import type { Logger } from "../log.ts";

/** PostgreSQL is too old, or set up so that a commit it has confirmed can be lost. */
export class UnsafeDatabaseError extends Error {}

const required: Record<string, { allowed: readonly string[]; cost: string }> = {
  fsync: { allowed: ["on"], cost: "a crash of the machine can destroy the database" },
  full_page_writes: { allowed: ["on"], cost: "a crash of the machine can leave torn pages" },
  synchronous_commit: {
    allowed: ["on", "remote_apply"],
    cost: "reports that were answered 2xx are lost and deliveries go out twice",
  },
};

/** Oldest major version that is supported. */
const versionMin = 15;

/**
 * Refuses a PostgreSQL that would break what a 2xx promises.
 * Source: guarantees, "The protocol" (measured there: asynchronous commit lost 42 deliveries in 40 s of kills).
 *
 * @throws UnsafeDatabaseError with what was found, what was expected and what to do.
 */
export async function checkDurability(pool: pg.Pool): Promise<void> {
  const { rows } = await pool.query<{ name: string; setting: string }>(
    "SELECT name, setting FROM pg_settings WHERE name = ANY ($1)",
    [[...Object.keys(required), "server_version_num"]],
  );
  const found = new Map(rows.map((row) => [row.name, row.setting]));
  const version = Math.floor(Number(found.get("server_version_num")) / 10_000);
  if (version < versionMin) {
    throw new UnsafeDatabaseError(
      `This is PostgreSQL ${version}; Sendoff needs ${versionMin} or later. Point DATABASE_URL at a newer one.`,
    );
  }
  const wrong = Object.entries(required).flatMap(([name, { allowed, cost }]) => {
    const setting = found.get(name) ?? "unknown";
    return allowed.includes(setting)
      ? []
      : [`${name} is ${setting}, expected ${allowed.join(" or ")} (${cost})`];
  });
  if (wrong.length > 0) {
    throw new UnsafeDatabaseError(
      `Sendoff does not run on this PostgreSQL: ${wrong.join("; ")}. Change it in postgresql.conf, for the database or for the role, and start again.`,
    );
  }
}

/**
 * Says once that a standby may take over without what was acknowledged. Who may not see the state of standbys (that takes
 * pg_monitor) gets none, and nothing is said. Subscribers and backups that are under way do not take over.
 */
export async function warnOfAsynchronousStandbys(pool: pg.Pool, log: Logger): Promise<void> {
  const { rows } = await pool.query<{ name: string }>(
    `SELECT application_name AS name FROM pg_stat_replication
     WHERE state = 'streaming' AND application_name NOT IN ('pg_basebackup', 'pg_receivewal')
       AND current_setting('synchronous_standby_names') = ''
       AND pid NOT IN (SELECT active_pid FROM pg_replication_slots
                       WHERE slot_type = 'logical' AND active_pid IS NOT NULL)
     ORDER BY application_name LIMIT 20`,
  );
  if (rows.length === 0) return;
  log.warn({
    event: "database.standby_asynchronous",
    standbys: rows.map(({ name }) => name),
    reason:
      "A failover to one of these standbys can lose reports that were answered 2xx. Name them in synchronous_standby_names, at least two of them as ANY 1 (...), so that one may be away (docs/postgresql.md).",
  });
}
