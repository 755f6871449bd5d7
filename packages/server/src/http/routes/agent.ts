import {
  Agent,
  RotatedSecret,
  RotateSecret,
  TestEvent,
  UpdateAgent,
  WebhookLogDetail,
} from "@sendoff/contract";
import type pg from "pg";
import type { Guard } from "../../egress/guard.ts";
import { membersOf } from "../../json-text.ts";
import { sendTest } from "../../outbox/test-event.ts";
import { sampleKey } from "../../recordings/sample.ts";
import { Refusal } from "../../refusal.ts";
import type { Sealer } from "../../secrets/seal.ts";
import { readAgent, updateAgent } from "../../tenancy/agents.ts";
import { agentEndpointId } from "../../tenancy/endpoints.ts";
import { rotateSecret } from "../../tenancy/signing-secrets.ts";
import { logDetail } from "../log-detail.ts";
import { type Route, route } from "../route.ts";

/** Most bytes of an agent that is sent: a long prompt and 20 headers of 4 KiB. */
const agentBytesMax = 256 * 1024;

export function agentRoutes(pool: pg.Pool, sealer: Sealer, guard: Guard): Route[] {
  const path = "/v1/projects/{projectId}/agent";
  // PUT and PATCH do the same: clients of the seed's API use either (behaviour, section 6).
  const update = (method: "PUT" | "PATCH"): Route =>
    route({
      method,
      path,
      access: "project",
      summary: "Changes the fields given. postSessionWebhook is replaced as a whole.",
      body: UpdateAgent,
      bodyBytesMax: agentBytesMax,
      answers: [
        {
          status: 200,
          when: "The agent as it is now; signingSecret when this made its webhook.",
          data: Agent,
        },
      ],
      errors: ["invalid_url", "invalid_header", "masked_value", "duplicate_endpoint", "quota"],
      async handle({ path: { projectId = "" }, body }) {
        const members = membersOf(body.text);
        const signingSecret = await updateAgent(pool, sealer, guard, projectId, body.value, members);
        const agent = await readAgent(pool, sealer, projectId);
        return { status: 200, data: signingSecret === null ? agent : { ...agent, signingSecret } };
      },
    });
  return [
    route({
      method: "GET",
      path,
      access: "project",
      summary: "The agent with its webhook; header values are masked.",
      answers: [{ status: 200, when: "The agent.", data: Agent }],
      async handle({ path: { projectId = "" } }) {
        return { status: 200, data: await readAgent(pool, sealer, projectId) };
      },
    }),
    update("PUT"),
    update("PATCH"),
    route({
      method: "POST",
      path: `${path}/webhook/test`,
      access: "project",
      summary: "Sends one realistic example of an event to the agent's webhook now.",
      body: TestEvent,
      answers: [
        { status: 200, when: "The attempt's log row, however the attempt ended.", data: WebhookLogDetail },
      ],
      errors: ["no_webhook", "test_not_attempted", "overloaded"],
      placesItself: true,
      async handle({ path: { projectId = "" }, body: { value } }) {
        const logId = await sendTest(pool, {
          projectId,
          endpointId: await webhookOf(pool, projectId),
          event: value.event,
          channel: value.channel ?? "call",
          recordingObjectKey: sampleKey(projectId),
        });
        return { status: 200, data: await logDetail(pool, sealer, projectId, logId) };
      },
    }),
    route({
      method: "POST",
      path: `${path}/webhook/secret`,
      access: "project",
      summary: "Rotates the webhook's signing secret; the one before signs along for 24 h.",
      body: RotateSecret,
      bodyOptional: true,
      answers: [{ status: 200, when: "The new secret. It is answered once.", data: RotatedSecret }],
      errors: ["no_webhook", "too_many_secrets"],
      async handle({ path: { projectId = "" }, body }) {
        const rotated = await rotateSecret(pool, sealer, await webhookOf(pool, projectId), body.value);
        if (rotated === null) throw noWebhook();
        return { status: 200, data: rotated };
      },
    }),
  ];
}

const noWebhook = (): Refusal =>
  new Refusal(
    "no_webhook",
    'The agent has no webhook. Set one first: PATCH .../agent with {"postSessionWebhook": {"url": "https://..."}}.',
  );

/** @throws Refusal no_webhook. */
export async function webhookOf(pool: pg.Pool, projectId: string): Promise<string> {
  const endpointId = await agentEndpointId(pool, projectId);
  if (endpointId === null) throw noWebhook();
  return endpointId;
}
