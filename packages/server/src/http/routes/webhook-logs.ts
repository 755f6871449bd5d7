import { WebhookLogsQuery } from "@sendoff/contract";
import type pg from "pg";
import { listLogs, readLog } from "../../logbook/read.ts";
import { Refusal } from "../../refusal.ts";
import { type Route, route } from "../route.ts";

export function webhookLogRoutes(pool: pg.Pool): Route[] {
  const all = "/v1/projects/{projectId}/webhook-logs";
  return [
    route({
      method: "GET",
      path: all,
      access: "project",
      summary: "Lists attempts, newest first, filtered by session, event, endpoint, outcome and time.",
      query: WebhookLogsQuery,
      async handle({ path: { projectId = "" }, query }) {
        const { logs, nextCursor } = await listLogs(pool, projectId, query);
        return { status: 200, data: logs, nextCursor };
      },
    }),
    route({
      method: "GET",
      path: `${all}/{logId}`,
      access: "project",
      summary: "One attempt with what was sent and what came back.",
      async handle({ path: { projectId = "", logId = "" } }) {
        const log = await readLog(pool, projectId, logId);
        if (log === null) {
          throw new Refusal(
            "webhook_log_not_found",
            `This project has no attempt ${JSON.stringify(logId.slice(0, 60))}.`,
          );
        }
        return { status: 200, data: log };
      },
    }),
  ];
}
