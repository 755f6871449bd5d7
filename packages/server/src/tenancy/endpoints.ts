import { randomUUID } from "node:crypto";
import { durationMs, type EndpointHeader, type PostSessionWebhook, timeoutBounds } from "@sendoff/contract";
import type pg from "pg";
import { Refusal } from "../refusal.ts";
import type { Sealer } from "../secrets/seal.ts";
import { createSigningSecret } from "../secrets/signature.ts";

/** Where the sealed headers and secret of an endpoint stand; each opens only for its place. */
export const headersSeal = (endpointId: string): string => `endpoint:${endpointId}:headers`;
export const secretSeal = (endpointId: string): string => `endpoint:${endpointId}:secret`;

/** The agent's webhook as it is stored. */
export interface StoredWebhook {
  readonly endpointId: string;
  readonly url: string;
  /** null when none were given. */
  readonly headers: readonly EndpointHeader[] | null;
  readonly events: PostSessionWebhook["events"] | null;
  readonly timeout: string | null;
  readonly retryAttempts: number | null;
  readonly retryWindow: string | null;
}

interface EndpointRow {
  readonly endpointId: string;
  readonly url: string;
  readonly headersSealed: string | null;
  readonly events: PostSessionWebhook["events"] | null;
  readonly timeout: string | null;
  readonly retryAttempts: number | null;
  readonly retryWindow: string | null;
}

/** The agent's webhook with its headers in clear, or null when none is configured. Locks it when asked inside a change. */
export async function readAgentWebhook(
  db: pg.Pool | pg.PoolClient,
  sealer: Sealer,
  projectId: string,
): Promise<StoredWebhook | null> {
  const { rows } = await db.query<EndpointRow>(
    `SELECT endpoint_id AS "endpointId", url, headers_sealed AS "headersSealed", events, timeout_text AS timeout,
       retry_attempts AS "retryAttempts", retry_window_text AS "retryWindow"
     FROM endpoints WHERE project_id = $1 AND kind = 'agent' AND removed_at IS NULL`,
    [projectId],
  );
  const row = rows[0];
  if (row === undefined) return null;
  const { headersSealed, ...rest } = row;
  const headers =
    headersSealed === null
      ? null
      : (JSON.parse(await sealer.open(headersSeal(row.endpointId), headersSealed)) as EndpointHeader[]);
  return { ...rest, headers };
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
  webhook: PostSessionWebhook | null,
): Promise<string | null> {
  if (webhook === null) {
    await client.query(
      "UPDATE endpoints SET removed_at = now() WHERE project_id = $1 AND kind = 'agent' AND removed_at IS NULL",
      [projectId],
    );
    return null;
  }
  const endpointId = stored?.endpointId ?? randomUUID();
  const headersSealed =
    webhook.headers === undefined
      ? null
      : await sealer.seal(headersSeal(endpointId), JSON.stringify(webhook.headers));
  const timeout = webhook.delivery?.timeout ?? null;
  const retries = webhook.delivery?.retries;
  const values = [
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
  if (stored === null) {
    const signingSecret = createSigningSecret();
    await client.query(
      `INSERT INTO endpoints (endpoint_id, url, headers_sealed, events, timeout_text, timeout_ms, retry_attempts,
         retry_window_text, retry_window_ms, kind, project_id, secret_sealed)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'agent', $10, $11)`,
      [...values, projectId, await sealer.seal(secretSeal(endpointId), signingSecret)],
    );
    return signingSecret;
  }
  await client.query(
    `UPDATE endpoints SET url = $2, headers_sealed = $3, events = $4, timeout_text = $5, timeout_ms = $6,
       retry_attempts = $7, retry_window_text = $8, retry_window_ms = $9, updated_at = now() WHERE endpoint_id = $1`,
    values,
  );
  return null;
}

const maskBegin = "••••";

/** A header's value as it is shown: dots and the last 4 characters; of a short one nothing. */
export function maskValue(value: string): string {
  return maskBegin + (value.length > 8 ? value.slice(-4) : "");
}

/**
 * Headers as they are to be stored: a masked value that is written back stands for the stored one, but only while the
 * URL is unchanged, so that nobody can send a secret that he may not read to an address of his own.
 *
 * @throws Refusal when a masked value has nothing to stand for.
 */
export function unmaskHeaders(
  webhook: PostSessionWebhook,
  stored: StoredWebhook | null,
): readonly EndpointHeader[] | undefined {
  return webhook.headers?.map((header, index) => {
    if (!header.value.startsWith(maskBegin)) return header;
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
