import type { WebhookLogDetail } from "@sendoff/contract";
import type pg from "pg";
import { readLog, type StoredLog } from "../logbook/read.ts";
import type { Sealer } from "../secrets/seal.ts";
import { maskedHeaders } from "../tenancy/endpoints.ts";
import { version } from "../version.ts";

/** One attempt with what was sent and what came back, or null. */
export async function logDetail(
  pool: pg.Pool,
  sealer: Sealer,
  projectId: string,
  logId: string,
): Promise<WebhookLogDetail | null> {
  const log = await readLog(pool, projectId, logId);
  if (log === null) return null;
  const own = await maskedHeaders(pool, sealer, projectId, log.endpointId);
  return { ...log, requestHeaders: [...own, ...standardHeaders(log)] };
}

/** The headers that dispatch/compose.ts gives each attempt, as far as they can be told from its row. */
function standardHeaders(log: StoredLog): WebhookLogDetail["requestHeaders"] {
  const seconds = Math.floor(Date.parse(log.attemptedAt) / 1_000);
  return Object.entries({
    "content-type": "application/json",
    "accept-encoding": "identity",
    "user-agent": `Sendoff/${version}`,
    "webhook-id": log.webhookId,
    "webhook-timestamp": String(seconds),
    "webhook-signature": "v1,<made when it is sent>",
    "sendoff-attempt": String(log.attempt),
    "sendoff-trigger": log.trigger,
  }).map(([name, value]) => ({ name, value }));
}
