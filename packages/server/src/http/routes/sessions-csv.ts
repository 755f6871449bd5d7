import type { HttpBindings } from "@hono/node-server";
import { SessionsCsvQuery } from "@sendoff/contract";
import { stringify } from "../../json-text.ts";
import { everySession } from "../../lifecycle/list.ts";
import type { ListedAnswer } from "../../lifecycle/session-page.ts";
import { csvLine } from "../csv.ts";
import { exportWaitMs, type RequestPlaces } from "../request-places.ts";
import { type Route, route } from "../route.ts";

type Cell = string | number | boolean | null;

/** Columns of the file, in order. */
const columns: ReadonlyArray<readonly [name: string, cell: (session: ListedAnswer) => Cell]> = [
  ["sessionId", (session) => session.sessionId],
  ["channel", (session) => session.channel],
  ["state", (session) => session.state],
  ["callStatus", (session) => session.callStatus],
  ["callDuration", (session) => session.callDuration],
  ["currentNodeId", (session) => session.currentNodeId],
  ["messagesCount", (session) => session.messagesCount],
  ["createdAt", (session) => session.createdAt],
  ["conversationEndedAt", (session) => session.conversationEndedAt],
  ["callEndedAt", (session) => session.callEndedAt],
  ["finalizedAt", (session) => session.finalizedAt],
  ["recording", (session) => session.recording?.success ?? null],
  ["extractedVariables", (session) => stringify(session.extractedVariables)],
];

export function sessionsCsvRoutes(places: RequestPlaces): Route[] {
  return [
    route({
      method: "GET",
      path: "/v1/projects/{projectId}/sessions.csv",
      access: "project",
      summary: "The sessions of the list's filters as a CSV file, newest first.",
      query: SessionsCsvQuery,
      answers: [{ status: 200, when: "The file, written while it is read.", mediaType: "text/csv" }],
      errors: ["overloaded"],
      placesItself: true,
      async handle({ path: { projectId = "" }, query, caller, context }) {
        const { outgoing } = context.env as HttpBindings;
        const leave = places.takeExport(caller);
        if (outgoing.destroyed) leave();
        else outgoing.once("close", leave);
        let waitMs: number | undefined;
        const pages = everySession((work) => places.run("expensive", caller, work, waitMs), projectId, query);
        // The first page before the answer: what is refused is refused as JSON.
        const first = await pages.next();
        waitMs = exportWaitMs;
        return new Response(ReadableStream.from(piecesOf(first.value ?? [], pages)), {
          headers: {
            "content-type": "text/csv; charset=utf-8",
            "content-disposition": 'attachment; filename="sessions.csv"',
            "cache-control": "no-store",
          },
        });
      },
    }),
  ];
}

const encoder = new TextEncoder();
const linesOf = (sessions: readonly ListedAnswer[]): string =>
  sessions.map((session) => csvLine(columns.map(([, cell]) => cell(session)))).join("");

/** The file in pieces: the next page is read when the client has room for it. */
async function* piecesOf(
  first: readonly ListedAnswer[],
  pages: AsyncGenerator<ListedAnswer[]>,
): AsyncGenerator<Uint8Array> {
  yield encoder.encode(csvLine(columns.map(([name]) => name)) + linesOf(first));
  for await (const page of pages) if (page.length > 0) yield encoder.encode(linesOf(page));
}
