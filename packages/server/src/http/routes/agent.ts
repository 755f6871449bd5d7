import { UpdateAgent } from "@sendoff/contract";
import type pg from "pg";
import { membersOf } from "../../json-text.ts";
import type { Sealer } from "../../secrets/seal.ts";
import { readAgent, updateAgent } from "../../tenancy/agents.ts";
import type { AllowHttp } from "../../tenancy/endpoint-rules.ts";
import { type Route, route } from "../route.ts";

export function agentRoutes(pool: pg.Pool, sealer: Sealer, allowHttp: AllowHttp): Route[] {
  const path = "/v1/projects/{projectId}/agent";
  // PUT and PATCH do the same: clients of the seed's API use either (behaviour, section 6).
  const update = (method: "PUT" | "PATCH"): Route =>
    route({
      method,
      path,
      access: "project",
      summary: "Changes the fields given. postSessionWebhook is replaced as a whole.",
      body: UpdateAgent,
      async handle({ path: { projectId = "" }, body }) {
        await updateAgent(pool, sealer, allowHttp, projectId, body.value, membersOf(body.text));
        return { status: 200, data: await readAgent(pool, sealer, projectId) };
      },
    });
  return [
    route({
      method: "GET",
      path,
      access: "project",
      summary: "The agent with its webhook; header values are masked.",
      async handle({ path: { projectId = "" } }) {
        return { status: 200, data: await readAgent(pool, sealer, projectId) };
      },
    }),
    update("PUT"),
    update("PATCH"),
  ];
}
