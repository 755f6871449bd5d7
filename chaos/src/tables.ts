import type { Cluster } from "./cluster.ts";
import type { EventRow, LogRow, OwedRow, SessionRow, Tables } from "./history.ts";

// All that the rig knows of the server's tables, besides `endpoints` in setup.ts.

const epochMs = (column: string): string => `(extract(epoch FROM ${column}) * 1000)::float8`;

/** How many deliveries are owed. */
export async function countOwed(cluster: Cluster): Promise<number> {
  const rows = await cluster.query<{ owed: string }>("SELECT count(*) AS owed FROM deliveries");
  return Number(rows[0]?.owed);
}

/** How many sessions with an end report are not finalized. */
export async function countUnfinished(cluster: Cluster): Promise<number> {
  const rows = await cluster.query<{ unfinished: string }>(
    "SELECT count(*) AS unfinished FROM sessions WHERE state <> 'finalized'",
  );
  return Number(rows[0]?.unfinished);
}

/** Reads what the run has left in the tables. */
export async function readTables(cluster: Cluster): Promise<Tables> {
  const sessions = await cluster.query<SessionRow & Record<string, unknown>>(
    "SELECT project_id AS project, session_id AS session, state, channel FROM sessions",
  );
  const events = await cluster.query<EventRow & Record<string, unknown>>(
    `SELECT events.project_id AS project, session_id AS session, event, webhook_id AS "webhookId", payload,
       ${epochMs("emitted_at")} AS "emittedMs", deliveries
     FROM events JOIN sessions USING (session_key) ORDER BY event_id`,
  );
  const logs = await cluster.query<LogRow & Record<string, unknown>>(
    `SELECT webhook_id AS "webhookId", delivery_id::text AS "deliveryId", endpoint_id AS "endpointId",
       project_id AS project, session_id AS session, event, attempt, trigger, outcome, error_code AS "errorCode",
       response_status AS status, settled_as AS "settledAs", ${epochMs("attempted_at")} AS "attemptedMs",
       ${epochMs("logged_at")} AS "loggedMs"
     FROM webhook_logs ORDER BY log_id`,
  );
  const owed = await cluster.query<OwedRow & Record<string, unknown>>(
    `SELECT webhook_id AS "webhookId", endpoint_id AS "endpointId", events.project_id AS project,
       session_id AS session, event, deliveries.state, attempts
     FROM deliveries JOIN events USING (event_id)
     JOIN sessions ON sessions.session_key = deliveries.session_key ORDER BY delivery_id`,
  );
  return { sessions, events, logs, owed };
}
