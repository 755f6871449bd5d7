import { RawPart, Resend, WebhookLog, WebhookLogDetail, WebhookLogsQuery } from "@sendoff/contract";
import type pg from "pg";
import type { LogTails } from "../../feed/tails.ts";
import { stringify } from "../../json-text.ts";
import { listLogs } from "../../logbook/list.ts";
import { readLog } from "../../logbook/read.ts";
import { tailAt, tailNow } from "../../logbook/tail.ts";
import { resend } from "../../outbox/resend.ts";
import { Refusal } from "../../refusal.ts";
import type { Sealer } from "../../secrets/seal.ts";
import { logDetail } from "../log-detail.ts";
import { kindOfPage, type RequestPlaces } from "../request-places.ts";
import { type Answer, type Route, route } from "../route.ts";
import { asksForStream, streamResponse } from "../sse.ts";
import { validate } from "../validate.ts";

export function webhookLogRoutes(
  pool: pg.Pool,
  sealer: Sealer,
  tails: LogTails,
  places: RequestPlaces,
): Route[] {
  const all = "/v1/projects/{projectId}/webhook-logs";
  return [
    route({
      method: "GET",
      path: all,
      access: "project",
      summary:
        "Lists attempts, newest first, filtered by session, event, endpoint, outcome and time; or live with Accept: text/event-stream.",
      query: WebhookLogsQuery,
      answers: [
        { status: 200, when: "A page of attempts.", data: WebhookLog, list: true },
        {
          status: 200,
          when: "With Accept: text/event-stream: each row as it is written, event is attempt, data the row as in a page.",
          mediaType: "text/event-stream",
        },
      ],
      errors: ["too_many_streams", "overloaded"],
      placesItself: true,
      async handle({ path: { projectId = "" }, query, context, caller }) {
        if (asksForStream(context)) {
          const { event, outcome, endpointId, sessionId } = query;
          const stream = tails.admit(projectId, { event, outcome, endpointId, sessionId });
          try {
            const from = context.req.header("last-event-id");
            const after = from === undefined ? await places.run("ordinary", caller, tailNow) : tailAt(from);
            return streamResponse(context, stream, after, ({ cursor, log }) => ({
              id: cursor,
              event: "attempt",
              data: stringify(log),
            }));
          } catch (error) {
            stream.leave();
            throw error;
          }
        }
        const { logs, nextCursor } = await places.run(kindOfPage(query.limit), caller, (ofKind) =>
          listLogs(ofKind, projectId, query),
        );
        return { status: 200, data: logs, nextCursor };
      },
    }),
    route({
      method: "GET",
      path: `${all}/{logId}`,
      access: "project",
      summary: "One attempt with what was sent and what came back.",
      answers: [{ status: 200, when: "The attempt.", data: WebhookLogDetail }],
      errors: ["webhook_log_not_found"],
      async handle({ path: { projectId = "", logId = "" } }) {
        const log = await logDetail(pool, sealer, projectId, logId);
        if (log === null) throw notFound(logId);
        return { status: 200, data: log };
      },
    }),
    route({
      method: "GET",
      path: `${all}/{logId}/raw/{part}`,
      access: "project",
      summary: "The body of an attempt's request or response alone, as a file.",
      answers: [{ status: 200, when: "The body.", mediaType: "text/plain" }],
      errors: ["webhook_log_not_found", "invalid_path"],
      async handle({ path: { projectId = "", logId = "", part = "" } }) {
        const which = validate(RawPart, part, "invalid_path", "the part in the path");
        const log = await readLog(pool, projectId, logId);
        if (log === null) throw notFound(logId);
        return rawBody(
          (which === "request" ? log.requestBody : log.responseBody) ?? "",
          `${which}-${log.id}`,
        );
      },
    }),
    route({
      method: "POST",
      path: `${all}/{logId}/resend`,
      access: "project",
      summary: "Sends the event of an attempt again to the endpoint of that attempt.",
      answers: [
        {
          status: 202,
          when: "It is owed: the row of webhook_logs with this event, endpoint and attempt tells how it went.",
          data: Resend,
        },
      ],
      errors: [
        "webhook_log_not_found",
        "endpoint_removed",
        "session_erased",
        "delivery_under_way",
        "test_not_resent",
      ],
      async handle({ path: { projectId = "", logId = "" } }) {
        return { status: 202, data: await resend(pool, projectId, logId) };
      },
    }),
  ];
}

const notFound = (logId: string): Refusal =>
  new Refusal("webhook_log_not_found", `This project has no attempt ${JSON.stringify(logId.slice(0, 60))}.`);

/** What a stranger wrote, in an address of its own: no browser shall make a page of it (hostile cases, M12). */
const rawBody = (body: string, name: string): Answer => ({
  status: 200,
  headers: {
    "content-type": "text/plain; charset=utf-8",
    "content-disposition": `attachment; filename="${name}.txt"`,
    "content-security-policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
  },
  body,
});
