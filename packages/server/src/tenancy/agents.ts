import { keptAgentFields, type PostSessionWebhook, type UpdateAgent } from "@sendoff/contract";
import type pg from "pg";
import { inTransaction } from "../database/transaction.ts";
import { JsonText, membersOf, objectText } from "../json-text.ts";
import type { Sealer } from "../secrets/seal.ts";
import { type AllowHttp, checkHeaders, checkUrl } from "./endpoint-rules.ts";
import {
  maskValue,
  readAgentWebhook,
  type StoredWebhook,
  unmaskHeaders,
  writeAgentWebhook,
} from "./endpoints.ts";

/** An agent as it is answered; the fields that mean nothing to Sendoff as the JSON text that was given. */
export type AgentView = Record<string, unknown>;

/** The agent of a project, with header values masked. */
export async function readAgent(db: pg.Pool, sealer: Sealer, projectId: string): Promise<AgentView> {
  const { rows } = await db.query<{ kept: string; updatedAt: Date }>(
    `SELECT kept_fields AS kept, updated_at AS "updatedAt" FROM agents WHERE project_id = $1`,
    [projectId],
  );
  const agent = rows[0];
  if (agent === undefined) throw new Error(`project ${projectId} has no agent`);
  const kept = [...membersOf(agent.kept)].map(([name, text]) => [name, new JsonText(text)]);
  return {
    projectId,
    ...Object.fromEntries(kept),
    postSessionWebhook: webhookView(await readAgentWebhook(db, sealer, projectId)),
    updatedAt: agent.updatedAt.toISOString(),
  };
}

/**
 * Changes the fields given and leaves the others; `postSessionWebhook` is replaced as a whole (behaviour, section 6).
 *
 * @param members the body's members as JSON text, so that the kept fields come out as they came in.
 * @returns the signing secret of a webhook that was made by this, to be answered once; else null.
 * @throws Refusal when the URL or a header breaks a rule; then nothing is changed.
 */
export async function updateAgent(
  pool: pg.Pool,
  sealer: Sealer,
  allowHttp: AllowHttp,
  projectId: string,
  update: UpdateAgent,
  members: Map<string, string>,
): Promise<string | null> {
  return inTransaction(pool, async (client) => {
    // The agent's row is the lock: two updates of one agent take turns.
    const { rows } = await client.query<{ kept: string }>(
      "SELECT kept_fields AS kept FROM agents WHERE project_id = $1 FOR UPDATE",
      [projectId],
    );
    const kept = membersOf(rows[0]?.kept ?? "{}");
    for (const field of keptAgentFields) {
      const text = members.get(field);
      if (text !== undefined) kept.set(field, text);
    }
    await client.query("UPDATE agents SET kept_fields = $2, updated_at = now() WHERE project_id = $1", [
      projectId,
      objectText(kept),
    ]);
    if (update.postSessionWebhook === undefined) return null;
    const stored = await readAgentWebhook(client, sealer, projectId);
    const webhook =
      update.postSessionWebhook === null
        ? null
        : checkedWebhook(update.postSessionWebhook, stored, allowHttp);
    return writeAgentWebhook(client, sealer, projectId, stored, webhook);
  });
}

function checkedWebhook(
  given: PostSessionWebhook,
  stored: StoredWebhook | null,
  allowHttp: AllowHttp,
): PostSessionWebhook {
  const webhook = { ...given, url: checkUrl(given.url, allowHttp) };
  const headers = unmaskHeaders(webhook, stored);
  if (headers === undefined) return webhook;
  checkHeaders(headers);
  return { ...webhook, headers: [...headers] };
}

function deliveryView({
  timeout,
  retryAttempts,
  retryWindow,
}: StoredWebhook): Pick<PostSessionWebhook, "delivery"> {
  if (timeout === null && retryAttempts === null) return {};
  return {
    delivery: {
      ...(timeout === null ? {} : { timeout }),
      ...(retryAttempts === null || retryWindow === null
        ? {}
        : { retries: { attempts: retryAttempts, window: retryWindow } }),
    },
  };
}

/** What was stored is what is shown: no `events` when none was given. */
function webhookView(stored: StoredWebhook | null): PostSessionWebhook | null {
  if (stored === null) return null;
  return {
    url: stored.url,
    ...(stored.headers === null
      ? {}
      : { headers: stored.headers.map(({ key, value }) => ({ key, value: maskValue(value) })) }),
    ...(stored.events === null ? {} : { events: stored.events }),
    ...deliveryView(stored),
  };
}
