import { FeedEvent, FeedQuery } from "@sendoff/contract";
import type { Feed, FeedStreams } from "../../feed/feed.ts";
import { cursorOf, type FeedCursor, positionOf } from "../../feed/position.ts";
import type { FeedFilter } from "../../feed/read.ts";
import { stringify } from "../../json-text.ts";
import { type Route, route } from "../route.ts";
import { asksForStream, streamResponse } from "../sse.ts";

export function eventRoutes(feed: Feed, streams: FeedStreams): Route[] {
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
      errors: ["too_many_streams", "cursor_gone"],
      async handle({ path: { projectId = "" }, query, context }) {
        const filter: FeedFilter = { events: query.event ?? null, sessionId: query.sessionId ?? null };
        const live = asksForStream(context);
        // A client that reconnects says where it was; the address is still that of its first call.
        const cursor = (live ? context.req.header("last-event-id") : undefined) ?? query.cursor;
        const begin = (): Promise<FeedCursor> => feed.begin(projectId, query.from ?? "oldest");
        const after = cursor === undefined ? await begin() : positionOf(cursor);
        if (!live) {
          const page = await feed.read(projectId, filter, after, query.limit);
          return {
            status: 200,
            bare: { data: page.items, nextCursor: cursorOf(page.next), caughtUp: page.caughtUp },
          };
        }
        const stream = streams.admit(projectId, filter);
        try {
          // What is refused of a position is refused before the stream begins.
          await feed.read(projectId, filter, after, 1);
        } catch (error) {
          stream.leave();
          throw error;
        }
        return streamResponse(context, stream, after, (item) => ({
          id: item.id,
          event: item.event,
          data: stringify(item),
        }));
      },
    }),
  ];
}
