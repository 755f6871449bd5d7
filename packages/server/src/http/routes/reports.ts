import {
  type CallEnded,
  CallEnded as CallEndedBody,
  type ConversationEnded,
  ConversationEnded as ConversationEndedBody,
  type ErrorBody,
  type RecordingProcessed,
  RecordingProcessed as RecordingProcessedBody,
  ReportAnswer,
  Report as ReportItem,
  ReportItemAnswer,
  Reports,
  reportsMax,
} from "@sendoff/contract";
import { z } from "zod";
import { elementsOf, membersOf } from "../../json-text.ts";
import type { Applied } from "../../lifecycle/batch.ts";
import { type Report, stateOf } from "../../lifecycle/session.ts";
import { variablesBytesMax } from "../../lifecycle/transition.ts";
import type { Logger } from "../../log.ts";
import { isKeyOfProject } from "../../recordings/keys.ts";
import { Refusal } from "../../refusal.ts";
import { bodyBytesMax } from "../body.ts";
import { asRefusal } from "../failure.ts";
import { errorOf } from "../json-answer.ts";
import { type RecordedParts, recordedAt, takeRecorded } from "../recorded.ts";
import type { RequestLimits } from "../request-limits.ts";
import { type Route, route } from "../route.ts";
import { validate } from "../validate.ts";

/** The answer to one report. */
export function reportAnswer({ session, duplicate, late, events }: Applied): ReportAnswer {
  return { sessionId: session.sessionId, state: stateOf(session), duplicate, late, events: [...events] };
}

/**
 * Variables as the compact JSON text that was sent.
 *
 * @throws Refusal when they have more bytes than the limit.
 */
export function variablesText(text: string, field: string): string {
  const members = membersOf(text).get(field) ?? "{}";
  const bytes = Buffer.byteLength(members);
  if (bytes <= variablesBytesMax) return members;
  throw new Refusal(
    "variables_too_large",
    `${field} has ${bytes} bytes; expected at most ${variablesBytesMax}.`,
    {
      details: [{ path: field, message: `expected at most ${variablesBytesMax} bytes` }],
    },
  );
}

const moment = (text: string | undefined): Date | null => (text === undefined ? null : new Date(text));

function conversationReport(body: ConversationEnded, text: string): Report {
  return {
    type: "conversation-ended",
    channel: body.channel ?? null,
    currentNodeId: body.currentNodeId,
    messagesCount: body.messagesCount,
    extractedVariables: variablesText(text, "extractedVariables"),
    endedAt: moment(body.endedAt),
  };
}

function callReport(body: CallEnded): Report {
  return {
    type: "call-ended",
    callStatus: body.callStatus,
    callDuration: body.callDuration,
    conversation: body.conversation ?? null,
    endedAt: moment(body.endedAt),
  };
}

function recordingReport(body: RecordingProcessed, projectId: string): Report {
  if (!body.success) {
    return { type: "recording-processed", success: false, objectKey: null, error: body.error ?? null };
  }
  if (!isKeyOfProject(body.objectKey, projectId)) {
    throw new Refusal(
      "invalid_body",
      `objectKey ${JSON.stringify(body.objectKey.slice(0, 200))} is not a key of this project; expected projects/${projectId}/ and then names of letters, digits and . _ : = -.`,
      { details: [{ path: "objectKey", message: `expected a key under projects/${projectId}/` }] },
    );
  }
  return recordedAt(body.objectKey);
}

/** The report of an item of POST /reports. */
function itemReport(item: z.output<typeof ReportItem>, text: string, projectId: string): Report {
  switch (item.type) {
    case "conversation-ended":
      return conversationReport(item, text);
    case "call-ended":
      return callReport(item);
    case "recording-processed":
      return recordingReport(item, projectId);
  }
}

/** Most wrong fields that are told of one of many reports: an answer must not be many times what was sent. */
const itemDetailsMax = 3;

/** How many reports of one request are checked in one go. */
const itemsPerTurn = 100;

type ItemAnswer = { status: 200; data: ReportAnswer } | ({ status: number } & ErrorBody);

/** One item that fails must not take the answers of those away that were committed. */
function itemError(log: Logger, error: unknown): ItemAnswer {
  const refusal = asRefusal(log, error);
  return { status: refusal.status, ...errorOf(refusal) };
}

/** Refusals of every report: what is known forbids it, or it cannot be taken now. */
export const reportErrors = [
  "channel_conflict",
  "report_contradicts",
  "session_erased",
  "overloaded",
  "draining",
] as const;

const answers = [{ status: 200, when: "It is committed, or was already.", data: ReportAnswer }] as const;

/** Takes a report. Of audio that is said to be in the store it is looked whether it can be read. */
function takeReport(
  parts: RecordedParts,
  projectId: string,
  sessionId: string,
  report: Report,
): Promise<Applied> {
  return report.type === "recording-processed" && report.objectKey !== null
    ? takeRecorded(parts, projectId, sessionId, report.objectKey)
    : parts.intake.apply(projectId, sessionId, report);
}

/** @param limits those of keys: each report of a request with many counts as a request. */
export function reportRoutes(
  parts: RecordedParts,
  log: Logger,
  limits: Pick<RequestLimits, "takeRequest">,
): Route[] {
  const ofSession = "/v1/projects/{projectId}/sessions/{sessionId}";
  const take = async (projectId = "", sessionId = "", report: Report) => ({
    status: 200 as const,
    data: reportAnswer(await takeReport(parts, projectId, sessionId, report)),
  });
  const takeItem = async (projectId: string, value: unknown, text: string): Promise<ItemAnswer> => {
    try {
      const item = validate(ReportItem, value, "invalid_body", "this report", itemDetailsMax);
      return await take(projectId, item.sessionId, itemReport(item, text, projectId));
    } catch (error) {
      return itemError(log, error);
    }
  };
  return [
    route({
      method: "POST",
      path: `${ofSession}/conversation-ended`,
      access: "project",
      summary: "The conversation has ended: emits session.ended.",
      body: ConversationEndedBody,
      bodyBytesMax,
      answers,
      errors: [...reportErrors, "variables_too_large"],
      admit: (projectId) => parts.intake.admit(projectId),
      handle: ({ path, body }) =>
        take(path.projectId, path.sessionId, conversationReport(body.value, body.text)),
    }),
    route({
      method: "POST",
      path: `${ofSession}/call-ended`,
      access: "project",
      summary: "The call has ended: emits call.ended. Calls only.",
      body: CallEndedBody,
      answers,
      errors: reportErrors,
      admit: (projectId) => parts.intake.admit(projectId),
      handle: ({ path, body }) => take(path.projectId, path.sessionId, callReport(body.value)),
    }),
    route({
      method: "POST",
      path: `${ofSession}/recording-processed`,
      access: "project",
      summary: "The recording was processed, either way: emits recording.ready. Calls only.",
      body: RecordingProcessedBody,
      answers,
      errors: [...reportErrors, "recording_unreadable", "recording_store_unavailable"],
      admit: (projectId) => parts.intake.admit(projectId),
      handle: ({ path, body }) =>
        take(path.projectId, path.sessionId, recordingReport(body.value, path.projectId ?? "")),
    }),
    route({
      method: "POST",
      path: "/v1/projects/{projectId}/reports",
      access: "project",
      summary: `Up to ${reportsMax} reports of many sessions, answered item by item.`,
      // Items are checked one by one: a wrong one is answered so, and the others are taken.
      body: z.array(z.unknown()).min(1).max(reportsMax),
      bodyDescribed: Reports,
      bodyBytesMax,
      answers: [{ status: 200, when: "One answer for each, in order.", data: z.array(ReportItemAnswer) }],
      admit: (projectId) => parts.intake.admit(projectId),
      async handle({ path: { projectId = "" }, body, inTurn, caller }) {
        // The request itself is counted already.
        if (caller !== null && body.value.length > 1) {
          await limits.takeRequest(caller.keyId, body.value.length - 1);
        }
        const texts = elementsOf(body.text);
        const items: Array<Promise<ItemAnswer>> = [];
        const takeFrom = (from: number): void => {
          for (const [index, value] of body.value.slice(from, from + itemsPerTurn).entries()) {
            items.push(takeItem(projectId, value, texts[from + index] ?? "{}"));
          }
        };
        takeFrom(0);
        // Checking 1,000 wrong ones takes 60 ms.
        for (let from = itemsPerTurn; from < body.value.length; from += itemsPerTurn) {
          await inTurn(() => takeFrom(from));
        }
        return { status: 200, data: await Promise.all(items) };
      },
    }),
  ];
}
