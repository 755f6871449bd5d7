import { endpointsPerProjectMax } from "@sendoff/contract";
import type pg from "pg";
import { Refusal } from "../refusal.ts";

/**
 * Refuses an endpoint that its project may not have beside those that it has: one of a URL that it has already would
 * make two POSTs to one server of each event, and many would make one report many POSTs (hostile cases, U47 and U48).
 * The caller holds the lock on the agent's row, so that two that ask at once take turns.
 *
 * @param url in canonical form.
 * @param replaced the endpoint that gets this URL; null: it is a new one.
 */
export async function refuseAnother(
  client: pg.PoolClient,
  projectId: string,
  url: string,
  replaced: string | null,
): Promise<void> {
  const { rows } = await client.query<{ endpointId: string; kind: "agent" | "project"; same: boolean }>(
    `SELECT endpoint_id AS "endpointId", kind, url = $2 AS same FROM endpoints
     WHERE project_id = $1 AND removed_at IS NULL`,
    [projectId, url],
  );
  const others = rows.filter(({ endpointId }) => endpointId !== replaced);
  const same = others.find((other) => other.same);
  if (same !== undefined) {
    const whose = same.kind === "agent" ? "the agent's webhook has it" : `webhook ${same.endpointId} has it`;
    throw new Refusal(
      "duplicate_endpoint",
      `This project has an endpoint of the URL ${JSON.stringify(url.slice(0, 200))} already: ${whose}. Each event would be sent there twice; change or remove that one.`,
      {
        details: [
          {
            path: "postSessionWebhook.url",
            message: "expected a URL that no other endpoint of the project has",
          },
        ],
      },
    );
  }
  if (replaced === null && others.length >= endpointsPerProjectMax) {
    throw new Refusal(
      "quota",
      `This project has ${others.length} endpoints, the agent's webhook included; expected at most ${endpointsPerProjectMax}. Remove one first.`,
    );
  }
}
