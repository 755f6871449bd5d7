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

/** What a request's context holds for a stream: whether its sender would be let in now. */
export interface StreamVariables {
  isSenderKnown: () => Promise<boolean>;
}

/** How long a sender is believed without asking again, in milliseconds: a revoked key's stream ends this late. */
const believedMs = 500;

/** Asks whether the sender of a stream is still known, at most once in {@link believedMs}. */
function recheck(context: Context): () => Promise<boolean> {
  const ask = (context as Context<{ Variables: StreamVariables }>).get("isSenderKnown");
  let askedMs = performance.now();
  return async () => {
    if (performance.now() - askedMs < believedMs) return true;
    askedMs = performance.now();
    // While the database is away nobody can have revoked anything; a stream outlives that.
    return ask().catch(() => true);
  };
}

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
  const isKnown = recheck(context);
  // Asked before each write and not by the clock: a stream on which nothing is written tells nobody anything.
  const writing = async (write: () => Promise<unknown>): Promise<unknown> =>
    (await isKnown()) ? write() : stream.leave();
  const response = streamSSE(context, (api: SSEStreamingApi) =>
    stream.run(after, {
      event: (item) => writing(() => api.writeSSE({ ...messageOf(item) })),
      heartbeat: () => writing(() => api.write(": heartbeat\n\n")),
      cut: () => outgoing.destroy(),
    }),
  );
  response.headers.set("cache-control", "no-store");
  // A proxy that collects an answer before it passes it on would hold every event back.
  response.headers.set("x-accel-buffering", "no");
  return response;
}
