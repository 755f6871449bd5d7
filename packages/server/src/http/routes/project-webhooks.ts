import {
  CheckProjectWebhook,
  CreatedProjectWebhook,
  CreateProjectWebhook,
  ProjectWebhookCheck,
  ProjectWebhooks,
  RemovedProjectWebhook,
} from "@sendoff/contract";
import type pg from "pg";
import type { Guard } from "../../egress/guard.ts";
import type { Logger } from "../../log.ts";
import type { Metrics } from "../../metrics.ts";
import { cancelWaiting } from "../../outbox/cancel.ts";
import { Refusal } from "../../refusal.ts";
import type { Sealer } from "../../secrets/seal.ts";
import {
  createProjectWebhook,
  findProjectWebhook,
  listProjectWebhooks,
  removeProjectWebhook,
} from "../../tenancy/project-webhooks.ts";
import { type Route, route } from "../route.ts";

/** Most bytes of a webhook that is sent: a URL of 2 KiB and 20 headers of 4 KiB, each character escaped. */
const webhookBytesMax = 256 * 1024;

/** Webhooks of a project, with the paths and bare bodies of the seeds' own API (behaviour, section 6). */
export function projectWebhookRoutes(
  pool: pg.Pool,
  sealer: Sealer,
  guard: Guard,
  metrics: Metrics,
  log: Logger,
): Route[] {
  const all = "/project/{projectId}/webhooks";
  return [
    route({
      method: "GET",
      path: all,
      access: "project",
      summary: "Lists the project's webhooks, oldest first; header values are masked.",
      answers: [{ status: 200, when: "The webhooks.", data: ProjectWebhooks, bare: true }],
      async handle({ path: { projectId = "" } }) {
        return { status: 200, bare: { webhooks: await listProjectWebhooks(pool, sealer, projectId) } };
      },
    }),
    route({
      method: "POST",
      path: all,
      access: "project",
      summary: "Makes a webhook. Its signing secret is answered once.",
      body: CreateProjectWebhook,
      bodyBytesMax: webhookBytesMax,
      answers: [{ status: 201, when: "It was made.", data: CreatedProjectWebhook, bare: true }],
      errors: ["invalid_url", "invalid_header", "masked_value", "duplicate_endpoint", "quota"],
      async handle({ path: { projectId = "" }, body }) {
        const created = await createProjectWebhook(pool, sealer, guard, projectId, body.value);
        log.info({ event: "endpoint.created", projectId, endpointId: created.id });
        return { status: 201, bare: created };
      },
    }),
    route({
      method: "POST",
      path: `${all}/check`,
      access: "project",
      summary: "Whether the project has a webhook of this URL.",
      body: CheckProjectWebhook,
      answers: [{ status: 200, when: "It is known.", data: ProjectWebhookCheck, bare: true }],
      async handle({ path: { projectId = "" }, body }) {
        const id = await findProjectWebhook(pool, projectId, body.value.url);
        return { status: 200, bare: id === null ? { exists: false } : { exists: true, id } };
      },
    }),
    route({
      method: "DELETE",
      path: `${all}/{id}`,
      access: "project",
      // No body is read: existing clients send a JSON content type and nothing after it.
      summary: "Removes a webhook and cancels what waits for it. An attempt under way is finished.",
      answers: [{ status: 200, when: "It was removed.", data: RemovedProjectWebhook, bare: true }],
      errors: ["webhook_not_found"],
      async handle({ path: { projectId = "", id = "" } }) {
        if (!(await removeProjectWebhook(pool, projectId, id))) {
          throw new Refusal(
            "webhook_not_found",
            `This project has no webhook ${JSON.stringify(id.slice(0, 60))}. The agent's is removed by PATCH of the agent.`,
          );
        }
        const cancelled = await cancelWaiting(pool, id);
        metrics.settled.inc({ state: "cancelled" }, cancelled);
        log.info({ event: "endpoint.removed", projectId, endpointId: id, cancelled });
        return { status: 200, bare: { success: true, id, cancelled } };
      },
    }),
  ];
}
