import { MissingEvent, Reconcile } from "@sendoff/contract";
import type pg from "pg";
import { reconcile } from "../../outbox/reconcile.ts";
import { Refusal } from "../../refusal.ts";
import { isEndpointOf } from "../../tenancy/endpoints.ts";
import { bodyBytesMax } from "../body.ts";
import { type Route, route } from "../route.ts";
import { webhookOf } from "./agent.ts";

export function reconcileRoutes(pool: pg.Pool): Route[] {
  return [
    route({
      method: "POST",
      path: "/v1/projects/{projectId}/reconcile",
      access: "project",
      summary: "What an endpoint was owed in a window and does not hold; resend sends it again.",
      body: Reconcile,
      bodyBytesMax,
      answers: [{ status: 200, when: "What is missing, oldest first.", data: MissingEvent, list: true }],
      errors: ["endpoint_not_found", "no_webhook"],
      async handle({ path: { projectId = "" }, body: { value } }) {
        const endpointId = value.endpointId ?? (await webhookOf(pool, projectId));
        if (value.endpointId !== undefined && !(await isEndpointOf(pool, projectId, endpointId))) {
          throw new Refusal(
            "endpoint_not_found",
            `This project has no endpoint ${endpointId}, or it was removed. Its id stands in the rows of webhook-logs; leave endpointId out for the agent's webhook.`,
          );
        }
        const { missing, nextCursor } = await reconcile(pool, projectId, endpointId, value);
        return { status: 200, data: missing, nextCursor };
      },
    }),
  ];
}
