import type { ServerResponse } from "node:http";
import { stringify } from "../json-text.ts";
import { jsonHeaders } from "./json-answer.ts";
import type { Answer } from "./route.ts";

/** An answer of so many bytes counts among those that wait to be read. All smaller ones are bounded by the connections. */
const countedBytesMin = 16 * 1024;
/** A body goes out in pieces of so many bytes: only so is it seen that somebody reads it, if slowly. */
const pieceBytes = 64 * 1024;

/**
 * The response of an answer.
 *
 * @param takeAnswer takes memory for a text that was made for this request, and gives it back.
 * @throws Refusal when there is no memory for it.
 */
export function responseOf(
  answer: Answer,
  outgoing: ServerResponse,
  takeAnswer: (bytes: number) => () => void,
): Response {
  if (answer instanceof Response) return answer;
  const { status, headers, body } = wholeOf(answer);
  if (body === null) return new Response(null, { status, headers });
  if (typeof body === "string" && body.length < countedBytesMin)
    return new Response(body, { status, headers });
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  // Bytes that this process keeps anyway, such as files of the dashboard, take nothing by waiting.
  if (typeof body === "string") holdUntilClosed(outgoing, takeAnswer(bytes.length));
  return new Response(bytes.length <= pieceBytes ? (bytes as Uint8Array<ArrayBuffer>) : piecesOf(bytes), {
    status,
    headers: { ...headers, "content-length": String(bytes.length) },
  });
}

function holdUntilClosed(outgoing: ServerResponse, release: () => void): void {
  // Gone before the answer was made: nobody will tell of it any more.
  if (outgoing.destroyed) release();
  else outgoing.once("close", release);
}

type Whole = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array | null;
};

function wholeOf(answer: Exclude<Answer, Response>): Whole {
  if ("body" in answer) return answer;
  const { status } = answer;
  if ("bare" in answer) return { status, headers: jsonHeaders, body: stringify(answer.bare) };
  const { data, nextCursor } = answer;
  const body = stringify(nextCursor === undefined ? { data } : { data, nextCursor });
  return { status, headers: jsonHeaders, body };
}

function piecesOf(bytes: Uint8Array): ReadableStream<Uint8Array> {
  let from = 0;
  return new ReadableStream(
    {
      pull(controller) {
        const piece = bytes.subarray(from, from + pieceBytes);
        from += piece.length;
        if (piece.length > 0) controller.enqueue(piece);
        if (from >= bytes.length) controller.close();
      },
    },
    // Nothing is made ahead of who reads.
    { highWaterMark: 0 },
  );
}
