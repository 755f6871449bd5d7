// What a delivery sends: an event of a session, or, for a test, an example that has neither row (migration 0009).

/** Joins to the rows that hold the content of a delivery; `delivery` is the table's name in the statement. */
export const contentJoins = (delivery: string): string => `
    LEFT JOIN events ON events.event_id = ${delivery}.event_id
    LEFT JOIN sessions ON sessions.session_key = ${delivery}.session_key
    LEFT JOIN test_events ON test_events.event_id = ${delivery}.event_id`;

/** SQL of each part of the content, in a statement with {@link contentJoins}. */
export const content = {
  event: "coalesce(events.event, test_events.event)",
  webhookId: "coalesce(events.webhook_id, test_events.webhook_id)",
  payload: "coalesce(events.payload, test_events.payload)",
  projectId: "coalesce(events.project_id, test_events.project_id)",
  sessionId: "coalesce(sessions.session_id, test_events.session_id)",
  /** Of a successful recording.ready; else NULL. */
  recordingObjectKey: `CASE WHEN events.event = 'recording.ready' THEN sessions.recording_object_key
        ELSE test_events.recording_object_key END`,
} as const;
