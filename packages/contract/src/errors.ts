import { z } from "zod";

/**
 * Every error that the API answers: its status, and when it comes. The message of an answer says what was given, what
 * was expected and what to do. Source: behaviour, section 6.
 */
export const errorCatalogue = {
  invalid_json: { status: 400, when: "The body is not JSON text in UTF-8." },
  too_deep: {
    status: 400,
    when: "The body nests more than 32 levels, or has more than 10,000 keys or 50,000 values, or a key of more than 1,024 characters.",
  },
  missing_key: { status: 401, when: "No Authorization header with a Bearer key." },
  not_signed_in: {
    status: 401,
    when: "The session of the dashboard has ended, or nobody has signed in. Sign in again.",
  },
  sign_in_link_invalid: {
    status: 401,
    when: "The sign-in link was used before, is older than an hour, or is not of this installation.",
  },
  cross_site_request: {
    status: 403,
    when: "A request with the dashboard's cookie does not come from the dashboard.",
  },
  wrong_key: { status: 401, when: "The key is malformed, revoked or not of this installation." },
  developer_key_needed: { status: 403, when: "A project key was used where only a developer key may." },
  route_not_found: { status: 404, when: "There is nothing at this path." },
  project_not_found: { status: 404, when: "There is no such project, or the key may not see it." },
  session_not_found: { status: 404, when: "The project has no session of this id." },
  webhook_log_not_found: { status: 404, when: "The project has no row of this id in webhook_logs." },
  webhook_not_found: { status: 404, when: "The project has no webhook of this id." },
  endpoint_not_found: { status: 404, when: "The project has no endpoint of this id." },
  inspector_not_found: { status: 404, when: "There is no inspector of this token." },
  dashboard_not_built: { status: 404, when: "This server has no files of the dashboard." },
  recording_not_found: { status: 404, when: "There is no audio at this key." },
  recording_unreadable: {
    status: 422,
    when: "There is no audio at the object key that was reported, or it cannot be read.",
  },
  not_audio: { status: 415, when: "The bytes of the upload are not Ogg, MP3, WAV or WebM." },
  upload_broken: { status: 400, when: "The upload ended before all of it had come." },
  upload_stalled: { status: 408, when: "The upload came too slowly, or took too long in all." },
  storage_full: {
    status: 507,
    when: "The project's recordings hold all that they may, or the disk of recordings is full but for its reserve.",
  },
  recording_store_unavailable: {
    status: 503,
    when: "The store of recordings does not answer or is full. Try again after Retry-After.",
  },
  range_not_satisfiable: { status: 416, when: "The Range asks for bytes behind the end of the audio." },
  peaks_pending: { status: 404, when: "The waveform is still being computed. See Retry-After." },
  peaks_not_found: { status: 404, when: "There is no waveform: no audio, or none that can be decoded." },
  recording_link_invalid: { status: 403, when: "The link of a recording has expired or was changed." },
  method_not_allowed: { status: 405, when: "The path is right, the method is not. See the Allow header." },
  channel_conflict: { status: 409, when: "The report states or implies another channel than is known." },
  report_contradicts: { status: 409, when: "Another report of this kind came first and says otherwise." },
  variables_too_large: { status: 422, when: "The variables of a session would grow past 256 KiB." },
  conversation_over: { status: 409, when: "The conversation had ended before this progress or creation." },
  duplicate_endpoint: { status: 409, when: "The project has an endpoint of this URL already." },
  quota: { status: 409, when: "The project has as many endpoints as it may." },
  no_webhook: { status: 409, when: "The agent has no webhook configured." },
  endpoint_removed: { status: 409, when: "The endpoint of the attempt has been removed since." },
  session_erased: {
    status: 409,
    when: "The session was erased: no report brings its data back, and there is nothing left to send.",
  },
  cursor_gone: {
    status: 410,
    when: "The cursor of the feed is of changes that the database has lost. Go on with the from of details.",
  },
  delivery_under_way: {
    status: 409,
    when: "The event has not settled yet: it will be sent without a resend.",
  },
  test_not_resent: { status: 409, when: "The attempt was a test. Send another test event." },
  too_many_secrets: { status: 409, when: "Two old signing secrets sign along already." },
  body_too_large: {
    status: 413,
    when: "The body has more bytes than its route takes, or comes in too many pieces.",
  },
  rate_limited: {
    status: 429,
    when: "The key sends too many requests, the address wrong keys, or the project test events, an inspector gets too many posts, or too many answers are left unread.",
  },
  media_type_not_json: { status: 415, when: "The body is not sent as application/json, or is compressed." },
  invalid_body: { status: 422, when: "A field of the body is unknown, missing or wrong. See details." },
  invalid_query: { status: 422, when: "A parameter of the query is unknown or wrong. See details." },
  invalid_path: { status: 422, when: "A part of the path, such as the session's id, is malformed." },
  invalid_url: { status: 422, when: "The endpoint's URL breaks a rule, which the message names." },
  invalid_header: { status: 422, when: "A header of the endpoint breaks a rule, which the message names." },
  masked_value: { status: 422, when: "A masked header value was written back where none is stored for it." },
  too_many_streams: {
    status: 429,
    when: "As many live streams of the feed are open as may. See Retry-After.",
  },
  internal_error: { status: 500, when: "A mistake of Sendoff. Its log has the request's id." },
  overloaded: {
    status: 503,
    when: "More reports, other requests, or bodies and answers wait than may, or for longer. Try again after Retry-After.",
  },
  test_not_attempted: { status: 503, when: "No worker made the attempt of a test event in time." },
  database_unavailable: { status: 503, when: "PostgreSQL does not answer. Try again after Retry-After." },
  stalled: {
    status: 503,
    when: "Deliveries are due and this process begins none. It restarts itself; look at its log.",
  },
  draining: { status: 503, when: "This process is shutting down. Try again; another one answers." },
} as const satisfies Record<string, { status: number; when: string }>;

/** A code of {@link errorCatalogue}. */
export type ErrorCode = keyof typeof errorCatalogue;

/** One field that is wrong. */
export const ErrorDetail = z
  .object({ path: z.string(), message: z.string() })
  .meta({ id: "ErrorDetail", description: "Where in the request, and what was expected there." });
export type ErrorDetail = z.infer<typeof ErrorDetail>;

/** The body of every answer that is not a success. */
export const ErrorBody = z
  .object({
    error: z.object({
      code: z.enum(Object.keys(errorCatalogue) as [ErrorCode, ...ErrorCode[]]),
      message: z.string(),
      details: z.array(ErrorDetail),
    }),
  })
  .meta({ id: "ErrorBody" });
export type ErrorBody = z.infer<typeof ErrorBody>;
