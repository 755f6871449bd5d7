import type { HttpBindings } from "@hono/node-server";
import { FeedEvent, FeedQuery } from "@sendoff/contract";
import type { Context } from "hono";
import { type SSEStreamingApi, streamSSE } from "hono/streaming";
import type { Feed } from "../../feed/feed.ts";
import { cursorOf, type FeedPosition, positionOf } from "../../feed/position.ts";
import type { FeedFilter } from "../../feed/read.ts";
import type { AdmittedStream, StreamSink, Streams } from "../../feed/streams.ts";
import { stringify } from "../../json-text.ts";
import { type Route, route } from "../route.ts";

export function eventRoutes(feed: Feed, streams: Streams): Route[] {
  return [
    route({
      method: "GET",
      path: "/v1/projects/{projectId}/events",
      access: "project",
      summary:
        "Every event of the project, oldest first: page by page, or live with Accept: text/event-stream.",
      query: FeedQuery,
      answers: [
        {
          status: 200,
          when: "A page. nextCursor is never null; caughtUp says that nothing more is there at this moment.",
          data: FeedEvent,
          list: true,
        },
        {
          status: 200,
          when: "With Accept: text/event-stream: id is the event's cursor, event its name, data the event as in a page.",
          mediaType: "text/event-stream",
        },
      ],
      errors: ["too_many_streams"],
      async handle({ path: { projectId = "" }, query, context }) {
        const filter: FeedFilter = { events: query.event ?? null, sessionId: query.sessionId ?? null };
        const live = context.req.header("accept")?.includes("text/event-stream") ?? false;
        // A client that reconnects says where it was; the address is still that of its first call.
        const cursor = (live ? context.req.header("last-event-id") : undefined) ?? query.cursor;
        const begin = (): Promise<FeedPosition> => feed.begin(projectId, query.from ?? "oldest");
        const after = cursor === undefined ? await begin() : positionOf(cursor);
        if (!live) {
          const page = await feed.read(projectId, filter, after, query.limit);
          return pageResponse({
            data: page.items,
            nextCursor: cursorOf(page.next),
            caughtUp: page.caughtUp,
          });
        }
        const stream = streams.admit(projectId, filter);
        try {
          // What is refused of a position is refused before the stream begins.
          await feed.read(projectId, filter, after, 1);
        } catch (error) {
          stream.leave();
          throw error;
        }
        return streamResponse(context as Context<{ Bindings: HttpBindings }>, stream, after);
      },
    }),
  ];
}

const pageResponse = (page: object): Response =>
  new Response(stringify(page), {
    headers: { "content-type": "application/json", "cache-control": "no-store" },
  });

function streamResponse(
  context: Context<{ Bindings: HttpBindings }>,
  stream: AdmittedStream,
  after: FeedPosition,
): Response {
  const { outgoing } = context.env;
  // Gone before the answer began: nobody will tell of it any more.
  if (outgoing.destroyed) stream.leave();
  outgoing.once("close", () => stream.leave());
  const response = streamSSE(context, (api) =>
    stream.run(
      after,
      sinkOf(api, () => outgoing.destroy()),
    ),
  );
  response.headers.set("cache-control", "no-store");
  // A proxy that collects an answer before it passes it on would hold every event back.
  response.headers.set("x-accel-buffering", "no");
  return response;
}

const sinkOf = (api: SSEStreamingApi, cut: () => void): StreamSink => ({
  event: (item) => api.writeSSE({ id: item.id, event: item.event, data: stringify(item) }),
  heartbeat: () => api.write(": heartbeat\n\n"),
  cut,
});
