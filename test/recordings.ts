import type { TestServer } from "./server.ts";

/** What {@link putAudio} answers. */
export interface PutAnswer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks at whatever was answered
  readonly body: any;
}

/** Uploads the audio of a session. */
export async function putAudio(
  server: Pick<TestServer, "apiUrl" | "projectId" | "projectKey">,
  sessionId: string,
  audio: Uint8Array | ReadableStream | AsyncIterable<Uint8Array>,
  contentType = "audio/wav",
): Promise<PutAnswer> {
  const response = await fetch(
    `${server.apiUrl}/v1/projects/${server.projectId}/sessions/${sessionId}/recording`,
    {
      method: "PUT",
      headers: { authorization: `Bearer ${server.projectKey}`, "content-type": contentType },
      // A stream needs to say that it is one.
      ...({ body: audio, duplex: "half" } as RequestInit),
    },
  );
  return { status: response.status, headers: response.headers, body: await response.json() };
}
