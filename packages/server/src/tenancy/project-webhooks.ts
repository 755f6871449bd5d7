import type { CreatedProjectWebhook, CreateProjectWebhook, ProjectWebhook } from "@sendoff/contract";
import type pg from "pg";
import { inTransaction } from "../database/transaction.ts";
import type { Guard } from "../egress/guard.ts";
import { Refusal } from "../refusal.ts";
import type { Sealer } from "../secrets/seal.ts";
import { checkedWebhook, inFull, webhookView } from "./agents.ts";
import { refuseAnother } from "./endpoint-quota.ts";
import { insertEndpoint, readWebhooks, type StoredWebhook } from "./endpoints.ts";

const view = (stored: StoredWebhook): ProjectWebhook => ({
  id: stored.endpointId,
  ...webhookView(stored),
  createdAt: stored.createdAt.toISOString(),
});

/** A project's webhooks, oldest first, with header values masked; the agent's own is not among them. */
export async function listProjectWebhooks(
  pool: pg.Pool,
  sealer: Sealer,
  projectId: string,
): Promise<ProjectWebhook[]> {
  return (await readWebhooks(pool, sealer, projectId, "project")).map(view);
}

/**
 * Makes a project webhook. Its signing secret is answered here and never again.
 *
 * @throws Refusal when the URL or a header breaks a rule, or the project has such an endpoint or no room for another.
 */
export async function createProjectWebhook(
  pool: pg.Pool,
  sealer: Sealer,
  guard: Guard,
  projectId: string,
  given: CreateProjectWebhook,
): Promise<CreatedProjectWebhook> {
  return atRoot(async () => {
    const webhook = await checkedWebhook(inFull(given, null), guard);
    return inTransaction(pool, async (client) => {
      // The same lock as an update of the agent's webhook takes.
      await client.query("SELECT FROM agents WHERE project_id = $1 FOR UPDATE", [projectId]);
      await refuseAnother(client, projectId, webhook.url, null);
      const { endpointId, secret } = await insertEndpoint(client, sealer, "project", projectId, webhook);
      const stored = await readWebhooks(client, sealer, projectId, "project");
      const created = stored.find((one) => one.endpointId === endpointId);
      if (created === undefined) throw new Error(`endpoint ${endpointId} was not stored`);
      return { ...view(created), secret };
    });
  });
}

/** The rules speak of fields of the agent's webhook; here the same fields are the body itself. */
async function atRoot<Result>(check: () => Promise<Result>): Promise<Result> {
  try {
    return await check();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const details = error.details.map(({ path, message }) => ({
      path: path.replace(/^postSessionWebhook\.?/, ""),
      message,
    }));
    throw new Refusal(error.code, error.message, { details, headers: error.headers });
  }
}

/** The id of a project's webhook by its URL, in whatever spelling, or null. */
export async function findProjectWebhook(
  pool: pg.Pool,
  projectId: string,
  url: string,
): Promise<string | null> {
  const canonical = URL.canParse(url) ? new URL(url).href : url;
  const { rows } = await pool.query<{ id: string }>(
    `SELECT endpoint_id AS id FROM endpoints
     WHERE project_id = $1 AND kind = 'project' AND url = $2 AND removed_at IS NULL`,
    [projectId, canonical],
  );
  return rows[0]?.id ?? null;
}

/**
 * Removes a project's webhook: what begins after this commit owes nothing to it and attempts nothing.
 *
 * @returns false when the project has no such webhook.
 */
export async function removeProjectWebhook(
  pool: pg.Pool,
  projectId: string,
  endpointId: string,
): Promise<boolean> {
  const { rowCount } = await pool.query(
    `UPDATE endpoints SET removed_at = now()
     WHERE project_id = $1 AND kind = 'project' AND endpoint_id::text = $2 AND removed_at IS NULL`,
    [projectId, endpointId],
  );
  return rowCount === 1;
}
