import { keptAgentFields, type UpdateAgent } from "@sendoff/contract";
import type pg from "pg";
import { inTransaction } from "../database/transaction.ts";
import type { Guard } from "../egress/guard.ts";
import { JsonText, membersOf, objectText } from "../json-text.ts";
import type { Sealer } from "../secrets/seal.ts";
import { refuseAnother } from "./endpoint-quota.ts";
import { checkHeaders } from "./endpoint-rules.ts";
import {
  isMasked,
  maskValue,
  readAgentWebhook,
  type StoredWebhook,
  unmaskHeaders,
  type Webhook,
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
  const webhook = await readAgentWebhook(db, sealer, projectId);
  return {
    projectId,
    ...Object.fromEntries(kept),
    postSessionWebhook: webhook === null ? null : webhookView(webhook),
    updatedAt: agent.updatedAt.toISOString(),
  };
}

/**
 * Changes the fields given and leaves the others; `postSessionWebhook` is replaced as a whole (behaviour, section 6).
 *
 * @param members the body's members as JSON text, so that the kept fields come out as they came in.
 * @returns the signing secret of a webhook that was made by this, to be answered once; else null.
 * @throws Refusal when the URL or a header breaks a rule, or the project has such an endpoint or no room for another;
 * then nothing is changed.
 */
export async function updateAgent(
  pool: pg.Pool,
  sealer: Sealer,
  guard: Guard,
  projectId: string,
  update: UpdateAgent,
  members: Map<string, string>,
): Promise<string | null> {
  // Before the lock: names are looked up, which may take seconds.
  const checked = await checkedUpdate(update, guard);
  return inTransaction(pool, (client) => updateAgentIn(client, sealer, projectId, checked, members));
}

/** The webhook of an update as it may be stored. undefined: it is not changed; null: it is removed. */
export async function checkedUpdate(
  { postSessionWebhook: given }: UpdateAgent,
  guard: Guard,
): Promise<CheckedUpdate> {
  return given === undefined || given === null ? given : checkedWebhook(given, guard);
}

type CheckedUpdate = Awaited<ReturnType<typeof checkedWebhook>> | null | undefined;

/** {@link updateAgent} within a transaction of the caller's, with what {@link checkedUpdate} let through. */
export async function updateAgentIn(
  client: pg.PoolClient,
  sealer: Sealer,
  projectId: string,
  checked: CheckedUpdate,
  members: Map<string, string>,
): Promise<string | null> {
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
  if (checked === undefined) return null;
  const stored = await readAgentWebhook(client, sealer, projectId);
  const webhook = checked === null ? null : inFull(checked, stored);
  if (webhook !== null) await refuseAnother(client, projectId, webhook.url, stored?.endpointId ?? null);
  return writeAgentWebhook(client, sealer, projectId, stored, webhook);
}

const urlPath = "postSessionWebhook.url";

/**
 * A webhook with its URL in canonical form, by all rules that need no stored one. Names are looked up last.
 *
 * @throws Refusal when the URL or a header breaks a rule.
 */
export async function checkedWebhook(given: Webhook, guard: Guard): Promise<Webhook> {
  guard.checkText(given.url, urlPath);
  if (given.headers !== undefined && !given.headers.some(isMasked)) checkHeaders(given.headers);
  return { ...given, url: await guard.checkForSaving(given.url, urlPath) };
}

/**
 * A webhook as it is to be stored: its headers in clear.
 *
 * @param stored what it replaces, whose masked values may be written back.
 * @throws Refusal when a masked value stands for none, or a header breaks a rule.
 */
export function inFull(webhook: Webhook, stored: StoredWebhook | null): Webhook {
  const headers = unmaskHeaders(webhook, stored);
  if (headers === undefined) return webhook;
  checkHeaders(headers);
  return { ...webhook, headers: [...headers] };
}

function deliveryView({ timeout, retryAttempts, retryWindow }: StoredWebhook): Pick<Webhook, "delivery"> {
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

/** What was stored is what is shown: no `events` when none was given. Header values are masked. */
export function webhookView(stored: StoredWebhook): Webhook {
  return {
    url: stored.url,
    ...(stored.headers === null
      ? {}
      : { headers: stored.headers.map(({ key, value }) => ({ key, value: maskValue(value) })) }),
    ...(stored.events === null ? {} : { events: stored.events }),
    ...deliveryView(stored),
  };
}
