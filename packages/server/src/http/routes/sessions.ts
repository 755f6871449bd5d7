import { randomUUID } from "node:crypto";
import {
  CreatedSession,
  CreateSession,
  ReportAnswer,
  SessionDetail,
  SessionProgress,
  SessionsPage,
  SessionsQuery,
} from "@sendoff/contract";
import type pg from "pg";
import { inSnapshot } from "../../database/transaction.ts";
import type { ReportIntake } from "../../lifecycle/apply.ts";
import { listSessions } from "../../lifecycle/list.ts";
import { readSession, viewSession } from "../../lifecycle/read.ts";
import { readTimeline } from "../../lifecycle/timeline.ts";
import { logsOfSession } from "../../logbook/read.ts";
import { Refusal } from "../../refusal.ts";
import { bodyBytesMax } from "../body.ts";
import { kindOfPage, type RequestPlaces } from "../request-places.ts";
import { type Route, route } from "../route.ts";
import { reportAnswer, reportErrors, variablesText } from "./reports.ts";

export function sessionRoutes(pool: pg.Pool, intake: ReportIntake, places: RequestPlaces): Route[] {
  const all = "/v1/projects/{projectId}/sessions";
  const one = `${all}/{sessionId}`;
  return [
    route({
      method: "POST",
      path: all,
      access: "project",
      summary: "Makes a session. The same one again is answered with 200 and duplicate.",
      body: CreateSession,
      bodyBytesMax,
      answers: [
        { status: 201, when: "The session was made.", data: CreatedSession },
        { status: 200, when: "The same session was there already.", data: CreatedSession },
      ],
      errors: [...reportErrors, "variables_too_large"],
      admit: (projectId) => intake.admit(projectId),
      async handle({ path: { projectId = "" }, body: { value, text } }) {
        const sessionId = value.sessionId ?? randomUUID();
        const applied = await intake.apply(projectId, sessionId, {
          type: "created",
          channel: value.channel,
          variables: value.variables === undefined ? null : variablesText(text, "variables"),
          startNodeId: value.startNodeId ?? null,
        });
        const recorded = applied.session.recordingReportedAt !== null;
        const audio = recorded ? ((await readSession(pool, projectId, sessionId))?.audio ?? null) : null;
        const data = { ...viewSession(applied.session, audio), duplicate: applied.duplicate };
        return { status: applied.duplicate ? 200 : 201, data };
      },
    }),
    route({
      method: "PATCH",
      path: one,
      access: "project",
      summary: "Progress: where the conversation stands. Variables are merged by key.",
      body: SessionProgress,
      bodyBytesMax,
      answers: [{ status: 200, when: "It is committed.", data: ReportAnswer }],
      errors: ["conversation_over", "variables_too_large", "session_erased", "overloaded", "draining"],
      admit: (projectId) => intake.admit(projectId),
      async handle({ path: { projectId = "", sessionId = "" }, body: { value, text } }) {
        const applied = await intake.apply(projectId, sessionId, {
          type: "progress",
          currentNodeId: value.currentNodeId ?? null,
          messagesCount: value.messagesCount ?? null,
          extractedVariables:
            value.extractedVariables === undefined ? null : variablesText(text, "extractedVariables"),
        });
        return { status: 200, data: reportAnswer(applied) };
      },
    }),
    route({
      method: "GET",
      path: all,
      access: "project",
      summary: "Lists sessions, newest first, by cursor or by page.",
      query: SessionsQuery,
      answers: [{ status: 200, when: "A page.", data: SessionsPage, bare: true }],
      errors: ["overloaded"],
      placesItself: true,
      async handle({ path: { projectId = "" }, query, caller }) {
        const { text, page, pageSize, limit } = query;
        // A search reads variables, and pages by number count all that fit.
        const kind = (text ?? page ?? pageSize) === undefined ? kindOfPage(limit) : "expensive";
        const { sessions, ...rest } = await places.run(kind, caller, (ofKind) =>
          listSessions(ofKind, projectId, query),
        );
        return { status: 200, bare: { data: sessions, ...rest } };
      },
    }),
    route({
      method: "GET",
      path: one,
      access: "project",
      summary: "One session with its timeline: reports, events, deliveries, attempts.",
      answers: [{ status: 200, when: "The session.", data: SessionDetail }],
      errors: ["session_not_found"],
      handle: ({ path: { projectId = "", sessionId = "" } }) =>
        inSnapshot(pool, async (client) => {
          const found = await readSession(client, projectId, sessionId);
          if (found === null) {
            throw new Refusal(
              "session_not_found",
              `This project has no session ${JSON.stringify(sessionId)}.`,
            );
          }
          const logged = await logsOfSession(client, found.key);
          const timeline = await readTimeline(client, found.session, found.key, logged);
          return { status: 200, data: { ...viewSession(found.session, found.audio), timeline } };
        }),
    }),
  ];
}
