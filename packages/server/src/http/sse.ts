import type { HttpBindings } from "@hono/node-server";
import type { Context } from "hono";
import { type SSEStreamingApi, streamSSE } from "hono/streaming";
import type { AdmittedStream } from "../feed/streams.ts";

/** One message of a stream of server-sent events. */
export interface SseMessage {
  readonly id: string;
  readonly event: string;
  readonly data: string;
}

/** Whether a client asks for a stream. */
export const asksForStream = (context: Context): boolean =>
  context.req.header("accept")?.includes("text/event-stream") ?? false;

/** The answer that an admitted stream writes to until its client has gone. */
export function streamResponse<Position, Item>(
  context: Context,
  stream: AdmittedStream<Position, Item>,
  after: Position,
  messageOf: (item: Item) => SseMessage,
): Response {
  const { outgoing } = (context as Context<{ Bindings: HttpBindings }>).env;
  // Gone before the answer began: nobody will tell of it any more.
  if (outgoing.destroyed) stream.leave();
  outgoing.once("close", () => stream.leave());
  const response = streamSSE(context, (api: SSEStreamingApi) =>
    stream.run(after, {
      event: (item) => api.writeSSE({ ...messageOf(item) }),
      heartbeat: () => api.write(": heartbeat\n\n"),
      cut: () => outgoing.destroy(),
    }),
  );
  response.headers.set("cache-control", "no-store");
  // A proxy that collects an answer before it passes it on would hold every event back.
  response.headers.set("x-accel-buffering", "no");
  return response;
}
