import type { ServerAtHand } from "../../../test/server.ts";
import { until } from "../../../test/until.ts";

/** The path of a session's reports. */
const sessionPath = (server: ServerAtHand, sessionId: string, rest: string): string =>
  `/v1/projects/${server.projectId}/sessions/${sessionId}${rest}`;

interface CallOptions {
  readonly variables?: object;
  readonly currentNodeId?: string;
  /** Why the recording failed; null: nothing is said of it. */
  readonly recordingError?: string | null;
}

/** Plays a call that has ended, and answers when it is finalized. */
export async function playCall(
  server: ServerAtHand,
  sessionId: string,
  {
    variables = { name: "Nancy" },
    currentNodeId = "book_slot",
    recordingError = "the mixer failed",
  }: CallOptions = {},
): Promise<void> {
  const send = async (method: string, path: string, body: unknown) => {
    const { status, text } = await server.api(method, path, body);
    if (status >= 300) throw new Error(`${path} was answered ${status}: ${text}`);
  };
  await send("POST", `/v1/projects/${server.projectId}/sessions`, { sessionId, channel: "call" });
  await send("POST", sessionPath(server, sessionId, "/conversation-ended"), {
    currentNodeId,
    messagesCount: 8,
    extractedVariables: variables,
  });
  await send("POST", sessionPath(server, sessionId, "/call-ended"), {
    callStatus: "userHangup",
    callDuration: 78,
  });
  if (recordingError !== null) {
    await send("POST", sessionPath(server, sessionId, "/recording-processed"), {
      success: false,
      error: recordingError,
    });
  }
}

/** Points the agent's webhook to a URL, for all its events. */
export async function setWebhook(server: ServerAtHand, url: string, more: object = {}): Promise<void> {
  const { status, text } = await server.api("PATCH", `/v1/projects/${server.projectId}/agent`, {
    postSessionWebhook: {
      url,
      events: ["session.ended", "call.ended", "session.finalized", "recording.ready"],
      ...more,
    },
  });
  if (status !== 200) throw new Error(`the webhook was answered ${status}: ${text}`);
}

/** Waits until that many attempts of a filter are in the log; answers the latest. */
export async function attempts(
  server: ServerAtHand,
  filter: string,
  count: number,
): Promise<{ id: string }[]> {
  let found: { id: string }[] = [];
  await until(`${count} attempts of ${filter}`, async () => {
    const { body } = await server.api(
      "GET",
      `/v1/projects/${server.projectId}/webhook-logs?${filter}&limit=100`,
    );
    found = body.data;
    return found.length >= count;
  });
  return found;
}
