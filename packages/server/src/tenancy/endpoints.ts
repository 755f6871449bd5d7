import { randomUUID } from "node:crypto";
import {
  type CreateProjectWebhook,
  durationMs,
  type EndpointHeader,
  type EventName,
  timeoutBounds,
} from "@sendoff/contract";
import type pg from "pg";
import { Refusal } from "../refusal.ts";
import type { Sealer } from "../secrets/seal.ts";
import { createSigningSecret } from "../secrets/signature.ts";

/** Where the sealed headers and secret of an endpoint stand; each opens only for its place. */
export const headersSeal = (endpointId: string): string => `endpoint:${endpointId}:headers`;
export const secretSeal = (endpointId: string): string => `endpoint:${endpointId}:secret`;

/** A webhook as it is given: the agent's, which may have fewer events, or a project's. */
export type Webhook = CreateProjectWebhook;

/** A webhook as it is stored. */
export interface StoredWebhook {
  readonly endpointId: string;
  readonly createdAt: Date;
  readonly url: string;
  /** null when none were given. */
  readonly headers: readonly EndpointHeader[] | null;
  readonly events: EventName[] | null;
  readonly timeout: string | null;
  readonly retryAttempts: number | null;
  readonly retryWindow: string | null;
}

interface EndpointRow extends Omit<StoredWebhook, "headers"> {
  readonly headersSealed: string | null;
}

/** A project's webhooks of a kind with their headers in clear, oldest first. There is one of kind agent at most. */
export async function readWebhooks(
  db: pg.Pool | pg.PoolClient,
  sealer: Sealer,
  projectId: string,
  kind: "agent" | "project",
): Promise<StoredWebhook[]> {
  const { rows } = await db.query<EndpointRow>(
    `SELECT endpoint_id AS "endpointId", created_at AS "createdAt", url, headers_sealed AS "headersSealed", events,
       timeout_text AS timeout, retry_attempts AS "retryAttempts", retry_window_text AS "retryWindow"
     FROM endpoints WHERE project_id = $1 AND kind = $2 AND removed_at IS NULL ORDER BY created_at, endpoint_id`,
    [projectId, kind],
  );
  return Promise.all(
    rows.map(async ({ headersSealed, ...row }) => ({
      ...row,
      headers:
        headersSealed === null
          ? null
          : (JSON.parse(await sealer.open(headersSeal(row.endpointId), headersSealed)) as EndpointHeader[]),
    })),
  );
}

/** The agent's webhook with its headers in clear, or null when none is configured. */
export async function readAgentWebhook(
  db: pg.Pool | pg.PoolClient,
  sealer: Sealer,
  projectId: string,
): Promise<StoredWebhook | null> {
  return (await readWebhooks(db, sealer, projectId, "agent"))[0] ?? null;
}

/**
 * Puts a webhook in the place of the stored one, as a whole. The endpoint keeps its id and its signing secret.
 *
 * @param webhook checked by the caller; null removes the webhook, and what is still owed to it is cancelled.
 * @returns the signing secret of an endpoint that was made by this, to be answered once; else null.
 */
export async function writeAgentWebhook(
  client: pg.PoolClient,
  sealer: Sealer,
  projectId: string,
  stored: StoredWebhook | null,
  webhook: Webhook | null,
): Promise<string | null> {
  if (webhook === null) {
    await client.query(
      "UPDATE endpoints SET removed_at = now() WHERE project_id = $1 AND kind = 'agent' AND removed_at IS NULL",
      [projectId],
    );
    return null;
  }
  if (stored === null) return (await insertEndpoint(client, sealer, "agent", projectId, webhook)).secret;
  await client.query(
    `UPDATE endpoints SET url = $2, headers_sealed = $3, events = $4, timeout_text = $5, timeout_ms = $6,
       retry_attempts = $7, retry_window_text = $8, retry_window_ms = $9, updated_at = now() WHERE endpoint_id = $1`,
    await endpointValues(sealer, stored.endpointId, webhook),
  );
  return null;
}

/**
 * Stores a new endpoint with a signing secret of its own.
 *
 * @param webhook checked by the caller.
 */
export async function insertEndpoint(
  client: pg.PoolClient,
  sealer: Sealer,
  kind: "agent" | "project",
  projectId: string,
  webhook: Webhook,
): Promise<{ endpointId: string; secret: string }> {
  const endpointId = randomUUID();
  const secret = createSigningSecret();
  await client.query(
    `INSERT INTO endpoints (endpoint_id, url, headers_sealed, events, timeout_text, timeout_ms, retry_attempts,
       retry_window_text, retry_window_ms, kind, project_id, secret_sealed)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
    [
      ...(await endpointValues(sealer, endpointId, webhook)),
      kind,
      projectId,
      await sealer.seal(secretSeal(endpointId), secret),
    ],
  );
  return { endpointId, secret };
}

/** The first nine columns of both statements. */
async function endpointValues(sealer: Sealer, endpointId: string, webhook: Webhook): Promise<unknown[]> {
  const headersSealed =
    webhook.headers === undefined
      ? null
      : await sealer.seal(headersSeal(endpointId), JSON.stringify(webhook.headers));
  const timeout = webhook.delivery?.timeout ?? null;
  const retries = webhook.delivery?.retries;
  return [
    endpointId,
    webhook.url,
    headersSealed,
    webhook.events ?? null,
    timeout,
    timeout === null ? timeoutBounds.defaultMs : durationMs(timeout),
    retries?.attempts ?? null,
    retries?.window ?? null,
    retries === undefined ? null : durationMs(retries.window),
  ];
}

const maskBegin = "••••";

/** A header's value as it is shown: dots and the last 4 characters; of a short one nothing. */
export function maskValue(value: string): string {
  return maskBegin + (value.length > 8 ? value.slice(-4) : "");
}

/** Whether a value is one that was shown masked. */
export const isMasked = ({ value }: EndpointHeader): boolean => value.startsWith(maskBegin);

/**
 * Headers as they are to be stored: a masked value that is written back stands for the stored one, but only while the
 * URL is unchanged, so that nobody can send a secret that he may not read to an address of his own.
 *
 * @throws Refusal when a masked value has nothing to stand for.
 */
export function unmaskHeaders(
  webhook: Webhook,
  stored: StoredWebhook | null,
): readonly EndpointHeader[] | undefined {
  return webhook.headers?.map((header, index) => {
    if (!isMasked(header)) return header;
    const match = stored?.headers?.find(
      ({ key, value }) => key.toLowerCase() === header.key.toLowerCase() && maskValue(value) === header.value,
    );
    const path = `postSessionWebhook.headers[${index}].value`;
    if (match === undefined || stored?.url !== webhook.url) {
      throw new Refusal(
        "masked_value",
        match === undefined
          ? `The value of header ${JSON.stringify(header.key)} is masked and no such value is stored; write it in full.`
          : `The value of header ${JSON.stringify(header.key)} is masked and the URL has changed; write it in full for the new URL.`,
        { details: [{ path, message: "expected the value in full" }] },
      );
    }
    return { key: header.key, value: match.value };
  });
}

/** The headers that an endpoint has now, also one that was removed, with masked values. */
export async function maskedHeaders(
  pool: pg.Pool,
  sealer: Sealer,
  projectId: string,
  endpointId: string,
): Promise<Array<{ name: string; value: string }>> {
  const { rows } = await pool.query<{ sealed: string | null }>(
    "SELECT headers_sealed AS sealed FROM endpoints WHERE endpoint_id = $2 AND project_id = $1",
    [projectId, endpointId],
  );
  const sealed = rows[0]?.sealed ?? null;
  if (sealed === null) return [];
  const headers = JSON.parse(await sealer.open(headersSeal(endpointId), sealed)) as EndpointHeader[];
  return headers.map(({ key, value }) => ({ name: key, value: maskValue(value) }));
}

/** The endpoint of the agent's webhook, or null when none is configured. */
export async function agentEndpointId(pool: pg.Pool, projectId: string): Promise<string | null> {
  const { rows } = await pool.query<{ id: string }>(
    "SELECT endpoint_id AS id FROM endpoints WHERE project_id = $1 AND kind = 'agent' AND removed_at IS NULL",
    [projectId],
  );
  return rows[0]?.id ?? null;
}

/** Whether a project has an endpoint of this id that was not removed. */
export async function isEndpointOf(pool: pg.Pool, projectId: string, endpointId: string): Promise<boolean> {
  const { rowCount } = await pool.query(
    "SELECT FROM endpoints WHERE endpoint_id = $2 AND project_id = $1 AND removed_at IS NULL",
    [projectId, endpointId],
  );
  return rowCount === 1;
}
