import { z } from "zod";
import { UnsentReason } from "./endpoints.ts";
import { ErrorBody } from "./errors.ts";
import { CallStatus, Channel, eventNames } from "./events.ts";
import { isPlainText, ProjectId, plainTextError, SessionId, Timestamp } from "./ids.ts";
import { Variables } from "./reports.ts";
import { DeliveryState, pageQuery, queryMoment, WebhookLog } from "./webhook-logs.ts";

/** Where a session stands: nothing has ended, one of conversation and call has, or all is done. */
export const sessionStates = ["open", "ending", "finalized"] as const;
export const SessionState = z.enum(sessionStates).meta({ id: "SessionState" });
export type SessionState = z.infer<typeof SessionState>;

/**
 * What is known of a call's recording. What concerns the audio itself is null when it failed, and while it is not known:
 * `seconds` comes with the peaks, and so does `sha256` of audio that was reported by its key.
 */
export const RecordingFact = z
  .object({
    success: z.boolean(),
    objectKey: z.string().nullable(),
    error: z.string().nullable(),
    reportedAt: Timestamp,
    contentType: z
      .string()
      .nullable()
      .meta({
        description: "What the audio is by its bytes, whatever its sender called it.",
        examples: ["audio/ogg", "audio/mpeg", "audio/wav", "audio/webm"],
      }),
    bytes: z.int().nonnegative().nullable(),
    sha256: z.string().nullable().meta({ description: "SHA-256 of the audio, in hex." }),
    seconds: z.number().nonnegative().nullable(),
    peaks: z.enum(["pending", "made", "none"]).nullable().meta({
      description:
        "Whether GET .../recording/peaks has the waveform: it is still being computed, it is there, or there is none for this audio.",
    }),
  })
  .meta({ id: "RecordingFact" });
export type RecordingFact = z.infer<typeof RecordingFact>;

/** Facts of a session that came after Sendoff had stopped waiting for them. Behaviour, section 3. */
export const LateFacts = z
  .object({
    conversation: z
      .object({
        currentNodeId: z.string(),
        messagesCount: z.int(),
        extractedVariables: Variables,
        endedAt: Timestamp.nullable(),
        reportedAt: Timestamp,
      })
      .nullable(),
    call: z
      .object({
        callStatus: CallStatus,
        callDuration: z.number(),
        endedAt: Timestamp.nullable(),
        reportedAt: Timestamp,
      })
      .nullable(),
  })
  .meta({ id: "LateFacts" });
export type LateFacts = z.infer<typeof LateFacts>;

/** A session as it is answered. */
export const Session = z
  .object({
    sessionId: SessionId,
    projectId: ProjectId,
    channel: Channel.nullable().meta({ description: "null until a report states it or implies it." }),
    state: SessionState,
    createdAt: Timestamp,
    currentNodeId: z.string(),
    messagesCount: z.int(),
    extractedVariables: Variables,
    variables: Variables.nullable(),
    conversationEndedAt: Timestamp.nullable(),
    callEndedAt: Timestamp.nullable(),
    callStatus: CallStatus.nullable(),
    callDuration: z.number().nullable().meta({ description: "Seconds." }),
    finalizedAt: Timestamp.nullable(),
    erasedAt: Timestamp.nullable().meta({
      description:
        "When its data was erased; null: it was not. Then variables, nodes and late facts are empty.",
    }),
    recording: RecordingFact.nullable(),
    late: LateFacts.meta({
      description: "Facts that came after their deadline: kept and shown, and no event was emitted for them.",
    }),
  })
  .meta({ id: "Session" });
export type Session = z.infer<typeof Session>;

/** A value that a list has left out because it is large. */
export const OmittedValue = z
  .object({
    field: z.enum(["extractedVariables", "variables", "late.conversation"]),
    bytes: z.int().positive().meta({ description: "Bytes of the value as JSON." }),
  })
  .meta({ id: "OmittedValue" });
export type OmittedValue = z.infer<typeof OmittedValue>;

/** A session in a list. */
export const ListedSession = Session.extend({
  extractedVariables: Variables.nullable().meta({
    description: "null: they are large and were left out, see omitted.",
  }),
  omitted: z.array(OmittedValue).optional().meta({
    description:
      "Only when values were left out. They are null here, and whole in GET .../sessions/{sessionId}.",
  }),
}).meta({ id: "ListedSession" });
export type ListedSession = z.infer<typeof ListedSession>;

/** The answer to DELETE `.../sessions/{sessionId}`: what was erased by this call. Behaviour, section 6. */
export const SessionErasure = z
  .object({
    sessionId: SessionId,
    erasedAt: Timestamp,
    alreadyErased: z.boolean().meta({ description: "An earlier call erased it." }),
    erased: z.object({
      variables: z.boolean(),
      lateFacts: z.boolean(),
      payloads: z.int().meta({ description: "Bodies of events that were replaced by their SHA-256." }),
      responseBodies: z.int().meta({ description: "Answers of receivers." }),
      inspectorRequests: z.int().meta({ description: "Requests that the built-in inspector had kept." }),
      recording: z.boolean().meta({ description: "There was audio." }),
    }),
    deliveries: z.object({
      cancelled: z.int().meta({ description: "They waited, and settled as cancelled." }),
      inFlight: z.int().meta({
        description: "Attempts under way: they end, their answers are not kept, and none is retried.",
      }),
    }),
  })
  .meta({ id: "SessionErasure" });
export type SessionErasure = z.infer<typeof SessionErasure>;

/** The answer to a report: the session as the report found or left it. */
export const ReportAnswer = z
  .object({
    sessionId: SessionId,
    state: SessionState,
    duplicate: z.boolean().meta({ description: "true: this fact was known already and nothing changed." }),
    late: z.boolean().meta({
      description: "true: it came after its deadline. It is kept and shown, and emits nothing.",
    }),
    events: z.array(z.enum(eventNames)).meta({ description: "Events that this report emitted, in order." }),
  })
  .meta({ id: "ReportAnswer" });
export type ReportAnswer = z.infer<typeof ReportAnswer>;

/** The answer to PUT `.../recording`: of a report, and what was received. */
export const UploadedRecording = ReportAnswer.extend({
  recording: z.object({
    objectKey: z.string(),
    contentType: z.string(),
    bytes: z.int().positive(),
    sha256: z.string().meta({ description: "SHA-256 of what was received, in hex." }),
    seconds: z
      .number()
      .nonnegative()
      .nullable()
      .meta({ description: "null: nobody has read all of it yet, or its bytes do not tell." }),
  }),
}).meta({ id: "UploadedRecording" });
export type UploadedRecording = z.infer<typeof UploadedRecording>;

/** The answer to POST `.../sessions`. */
export const CreatedSession = Session.extend({
  duplicate: z.boolean().meta({ description: "true: there was the same session already." }),
}).meta({ id: "CreatedSession" });
export type CreatedSession = z.infer<typeof CreatedSession>;

/** The answer to one item of POST `/reports`: what the report would have been answered alone. */
export const ReportItemAnswer = z
  .union([
    z.object({ status: z.literal(200), data: ReportAnswer }),
    ErrorBody.extend({ status: z.int().min(400) }),
  ])
  .meta({ id: "ReportItemAnswer" });
export type ReportItemAnswer = z.infer<typeof ReportItemAnswer>;

/** One report of a session's timeline. */
export const TimelineReport = z.object({
  type: z.enum(["created", "conversation-ended", "call-ended", "recording-processed"]),
  reportedAt: Timestamp,
  by: z.enum(["runtime", "sendoff"]).meta({
    description:
      "sendoff: it ended the conversation or the call itself, because the runtime said that nobody spoke, or because the deadline had passed.",
  }),
});

/** One emitted event, and why it went nowhere if it did. Behaviour, section 5. */
export const TimelineEvent = z.object({
  event: z.enum(eventNames),
  webhookId: z.string(),
  emittedAt: Timestamp,
  deliveries: z.int().meta({ description: "To how many endpoints it was owed." }),
  unsentReason: UnsentReason.nullable(),
  payloadSha256: z.string().nullable().meta({
    description: "SHA-256 of the body, in hex, when the session was erased; null while the body is there.",
  }),
});

/** One delivery and where it stands. */
export const TimelineDelivery = z.object({
  event: z.enum(eventNames),
  endpointId: z.uuid(),
  url: z.string(),
  state: DeliveryState,
  attempts: z.int(),
  dueAt: Timestamp.nullable().meta({
    description: "When its next attempt is due, while it waits. It may wait for its lane beyond that.",
  }),
  startedAt: Timestamp.nullable().meta({
    description: "When the attempt under way began, while it is in flight.",
  }),
});

/** Why an event of a session has not been emitted (yet). */
export const MissingReason = z
  .enum([
    "conversation_not_ended",
    "call_not_ended",
    "conversation_and_call_not_ended",
    "channel_not_known",
    "recording_not_reported",
    "session_erased",
  ])
  .meta({ id: "MissingReason" });
export type MissingReason = z.infer<typeof MissingReason>;

/** An event that a session of its kind is expected to have, and has not. */
export const TimelineMissing = z.object({
  event: z.enum(eventNames),
  reason: MissingReason,
  expectedBy: Timestamp.nullable().meta({
    description:
      "The deadline at which Sendoff states the missing end itself; null for recording.ready, which nothing waits for, and for an erased session.",
  }),
});

/** What happened to a session, in order. Behaviour, section 6. */
export const Timeline = z
  .object({
    reports: z.array(TimelineReport),
    events: z.array(TimelineEvent),
    deliveries: z.array(TimelineDelivery),
    attempts: z.array(WebhookLog),
    attemptsCut: z.boolean().meta({
      description:
        "true: there are more attempts than these, which are the newest; GET .../webhook-logs?sessionId= lists all.",
    }),
    missing: z
      .array(TimelineMissing)
      .meta({ description: "Events that are expected and have not been emitted." }),
  })
  .meta({ id: "Timeline" });
export type Timeline = z.infer<typeof Timeline>;

/** A session with its timeline. */
export const SessionDetail = Session.extend({ timeline: Timeline }).meta({ id: "SessionDetail" });
export type SessionDetail = z.infer<typeof SessionDetail>;

/** A page of GET `.../sessions`. */
export const SessionsPage = z
  .object({
    data: z.array(ListedSession),
    nextCursor: z.string().nullable(),
    pagination: z
      .object({ page: z.int(), totalPages: z.int(), total: z.int() })
      .optional()
      .meta({ description: "Only when page or pageSize was given." }),
    searchedBackTo: Timestamp.nullable().optional().meta({
      description:
        "Only with text. Not null: the search ended for its time after the sessions that were created since then, and nextCursor goes on behind them. A page may then have few sessions, or none.",
    }),
  })
  .meta({ id: "SessionsPage" });
export type SessionsPage = z.infer<typeof SessionsPage>;

const sessionFilters = {
  channel: Channel.optional(),
  callStatus: CallStatus.optional(),
  state: SessionState.optional(),
  from: queryMoment,
  to: queryMoment,
  text: z.string().min(1).max(200).refine(isPlainText, plainTextError).optional(),
};

/** Filters of GET `.../sessions.csv`: those of the list. */
export const SessionsCsvQuery = z.strictObject(sessionFilters).meta({ id: "SessionsCsvQuery" });
export type SessionsCsvQuery = z.infer<typeof SessionsCsvQuery>;

/** Filters of GET `.../sessions`. `page` and `pageSize` are for existing clients; else `cursor` and `limit`. */
export const SessionsQuery = z
  .strictObject({
    ...pageQuery,
    ...sessionFilters,
    page: z.coerce.number<string>().int().min(1).max(100_000).optional(),
    pageSize: z.coerce.number<string>().int().min(1).max(500).optional(),
  })
  .refine(({ cursor, page, pageSize }) => cursor === undefined || (page ?? pageSize) === undefined, {
    error: "expected either cursor, or page and pageSize",
    path: ["cursor"],
  })
  .meta({ id: "SessionsQuery" });
export type SessionsQuery = z.infer<typeof SessionsQuery>;
