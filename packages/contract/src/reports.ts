import { z } from "zod";
import { CallStatus, Channel, statusesWithoutDuration } from "./events.ts";
import { isPlainText, plainTextError, SessionId, Timestamp } from "./ids.ts";

/** The node a session stands on until the runtime says otherwise. Behaviour, section 3. */
export const startNodeId = "start";

export const NodeId = z
  .string()
  .min(1)
  .max(512)
  .refine(isPlainText, plainTextError)
  .meta({
    id: "NodeId",
    description: "A node of the agent's pathway, 1 to 512 characters.",
    examples: ["ask_intention"],
  });

const variablesDoc = "An object of at most 256 KiB. Values come out in the payload as they came in.";
export const Variables = z
  .looseObject({})
  .meta({ description: variablesDoc, examples: [{ name: "Nancy", intention: "book a demo" }] });

const EndedAt = Timestamp.meta({ description: "When it happened by the runtime's clock. Default: now." });
const MessagesCount = z.int().nonnegative();

/** Body of POST `.../sessions`. `channel` is needed; `sessionId` is made when it is missing. */
export const CreateSession = z
  .strictObject({
    sessionId: SessionId.optional(),
    channel: Channel,
    variables: Variables.optional(),
    startNodeId: NodeId.optional(),
  })
  .meta({ id: "CreateSession" });
export type CreateSession = z.infer<typeof CreateSession>;

/** Body of PATCH `.../sessions/{sessionId}`: where the conversation stands. Variables are merged by key. */
export const SessionProgress = z
  .strictObject({
    currentNodeId: NodeId.optional(),
    messagesCount: MessagesCount.optional(),
    extractedVariables: Variables.optional(),
  })
  .meta({ id: "SessionProgress" });
export type SessionProgress = z.infer<typeof SessionProgress>;

const conversationEnded = {
  channel: Channel.optional().meta({
    description: "State it, unless the session was created with it or a call report makes it a call.",
  }),
  currentNodeId: NodeId,
  messagesCount: MessagesCount,
  extractedVariables: Variables,
  endedAt: EndedAt.optional(),
};

const callEnded = {
  callStatus: CallStatus,
  callDuration: z.number().nonnegative().meta({ description: "Seconds, 0 or more." }),
  conversation: z.literal("none").optional().meta({
    description: "Nobody ever spoke: Sendoff ends the conversation itself and waits for nothing.",
  }),
  endedAt: EndedAt.optional(),
};

const recordingFailed = {
  success: z.literal(false),
  error: z
    .string()
    .max(2_000)
    .refine(isPlainText, plainTextError)
    .optional()
    .meta({ description: "What went wrong, for people." }),
};

const recordingStored = {
  success: z.literal(true),
  objectKey: z
    .string()
    .min(1)
    .max(1_024)
    .meta({
      description: "Key of the audio in the object store: projects/{projectId}/...",
      examples: ["projects/8f3e2c91-4a7b-4d6e-a23c-9b1f5e8d4c20/sessions/call-1/audio.ogg"],
    }),
};

/** `busy` and `invalidNumber` carry no traffic, so a duration with them is a mistake of the reporter. */
const noTraffic = (
  body: { callStatus: CallStatus; callDuration: number },
  context: z.RefinementCtx,
): void => {
  if (body.callDuration === 0 || !statusesWithoutDuration.includes(body.callStatus)) return;
  context.addIssue({
    code: "custom",
    path: ["callDuration"],
    message: `expected 0 with callStatus ${body.callStatus}, which carries no traffic`,
  });
};

/** Body of POST `.../conversation-ended`: the conversation has ended. Behaviour, section 6. */
export const ConversationEnded = z.strictObject(conversationEnded).meta({ id: "ConversationEnded" });
export type ConversationEnded = z.infer<typeof ConversationEnded>;

/** Body of POST `.../call-ended`: the call has ended. Behaviour, sections 2 and 6. */
export const CallEnded = z.strictObject(callEnded).superRefine(noTraffic).meta({ id: "CallEnded" });
export type CallEnded = z.infer<typeof CallEnded>;

/** Body of POST `.../recording-processed`: the recording was processed, either way. Behaviour, section 6. */
export const RecordingProcessed = z
  .discriminatedUnion("success", [z.strictObject(recordingStored), z.strictObject(recordingFailed)])
  .meta({ id: "RecordingProcessed" });
export type RecordingProcessed = z.infer<typeof RecordingProcessed>;

/** Types of a report, as POST `/reports` names them; each is also a path of its own. */
export const reportTypes = ["conversation-ended", "call-ended", "recording-processed"] as const;
export type ReportType = (typeof reportTypes)[number];

const conversationReport = {
  type: z.literal("conversation-ended"),
  sessionId: SessionId,
  ...conversationEnded,
};
const callReport = { type: z.literal("call-ended"), sessionId: SessionId, ...callEnded };
const recordingHead = { type: z.literal("recording-processed"), sessionId: SessionId };

/** One item of POST `/reports`: the body of a report with its `type` and `sessionId`. */
export const Report = z
  .discriminatedUnion("type", [
    z.strictObject(conversationReport),
    z.strictObject(callReport).superRefine(noTraffic),
    z.discriminatedUnion("success", [
      z.strictObject({ ...recordingHead, ...recordingStored }),
      z.strictObject({ ...recordingHead, ...recordingFailed }),
    ]),
  ])
  .meta({ id: "Report" });
export type Report = z.infer<typeof Report>;

/** At most so many reports in one POST `/reports`. Behaviour, section 6. */
export const reportsMax = 1_000;

/** Body of POST `/reports`. */
export const Reports = z.array(Report).min(1).max(reportsMax).meta({ id: "Reports" });
export type Reports = z.infer<typeof Reports>;
