import {
  CreatedTextSession,
  CreateTextSession,
  EndedTextSession,
  EndTextSession,
  TextSessionState,
} from "@sendoff/contract";
import type pg from "pg";
import { JsonText, mergeMembers } from "../../json-text.ts";
import type { ReportIntake } from "../../lifecycle/apply.ts";
import { readSession } from "../../lifecycle/read.ts";
import { Refusal } from "../../refusal.ts";
import { bodyBytesMax } from "../body.ts";
import { type Route, route } from "../route.ts";
import { variablesText } from "./reports.ts";

/** The documented text-session calls, with the paths, names and bare bodies that existing clients use (behaviour, section 6). */
export function textSessionRoutes(pool: pg.Pool, intake: ReportIntake): Route[] {
  const all = "/project/{projectId}/session";
  const end = (path: string): Route =>
    route({
      method: "DELETE",
      path,
      access: "project",
      summary: "Ends a text session's conversation where its last progress left it.",
      body: EndTextSession,
      answers: [{ status: 200, when: "It has ended, now or before.", data: EndedTextSession, bare: true }],
      errors: ["session_not_found", "channel_conflict", "session_erased"],
      admit: (projectId) => intake.admit(projectId),
      async handle({ path: { projectId = "" }, body }) {
        const sessionId = body.value.session_id;
        const { duplicate } = await intake.apply(projectId, sessionId, { type: "text-session-ended" });
        const message = duplicate
          ? "The session had ended before; nothing was changed."
          : "The session has ended.";
        return { status: 200, bare: { success: true, sessionId, message } };
      },
    });
  return [
    route({
      method: "POST",
      path: all,
      access: "project",
      summary: "Makes a text session. The same one again, while it is open, is answered alike.",
      body: CreateTextSession,
      bodyBytesMax,
      answers: [{ status: 200, when: "It is there.", data: CreatedTextSession, bare: true }],
      errors: [
        "channel_conflict",
        "report_contradicts",
        "conversation_over",
        "variables_too_large",
        "session_erased",
      ],
      admit: (projectId) => intake.admit(projectId),
      async handle({ path: { projectId = "" }, body: { value, text } }) {
        const { session, duplicate } = await intake.apply(projectId, value.session_id, {
          type: "created",
          channel: "text",
          variables: value.variables === undefined ? null : variablesText(text, "variables"),
          startNodeId: null,
        });
        // Who makes a session that has ended means a new one, and would wait for its events in vain.
        if (duplicate && session.conversationReportedAt !== null) {
          throw new Refusal(
            "conversation_over",
            `Session ${session.sessionId} has ended, at ${session.conversationReportedAt.toISOString()}, and does not begin again; choose another session_id.`,
          );
        }
        return { status: 200, bare: { sessionId: session.sessionId, pathwayId: projectId } };
      },
    }),
    route({
      method: "GET",
      path: `${all}/{sessionId}`,
      access: "project",
      summary: "A session's variables. Its messages are not known to Sendoff.",
      answers: [{ status: 200, when: "The session's state.", data: TextSessionState, bare: true }],
      errors: ["session_not_found"],
      async handle({ path: { projectId = "", sessionId = "" } }) {
        const found = await readSession(pool, projectId, sessionId);
        if (found === null) {
          throw new Refusal("session_not_found", `This project has no session ${JSON.stringify(sessionId)}.`);
        }
        const { variables, extractedVariables } = found.session;
        const merged = new JsonText(mergeMembers(variables ?? "{}", extractedVariables));
        return { status: 200, bare: { sessionId, state: { variables: merged, messages: [] } } };
      },
    }),
    end(all),
    end("/project/{projectId}/integration/api/session"),
  ];
}
