import type { IncomingMessage, ServerResponse } from "node:http";
import { type Answer, inOnePiece } from "./incoming.ts";
import type { Receiver } from "./receiver.ts";
import { headerOf } from "./verify.ts";

/** A request whose body a framework may have read already. */
export type NodeRequest = IncomingMessage & {
  /** What a body parser has made of the body. */
  readonly body?: unknown;
  /** The bytes, where a platform keeps them beside what it parsed. */
  readonly rawBody?: unknown;
};

/**
 * A listener for `node:http`, also for frameworks whose handlers are called with its request and response.
 *
 * @example createServer(nodeHandler(receiver)).listen(3000)
 */
export const nodeHandler =
  (receiver: Receiver) =>
  (request: NodeRequest, response: ServerResponse): void => {
    void answer(receiver, request).then((answered) => write(request, response, answered));
  };

async function answer(receiver: Receiver, request: NodeRequest): Promise<Answer> {
  const bytes = bytesOf(request);
  if (bytes === null) {
    const message =
      "the body was parsed before the receiver saw it, and a signature is over its bytes. Mount the receiver before express.json(), or keep the bytes with express.raw({ type: 'application/json' }).";
    console.error(`receiver: ${message}`);
    return {
      status: 500,
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ error: { code: "body_was_parsed", message: "the receiver is set up wrongly" } }),
    };
  }
  return receiver.take({
    method: request.method ?? "",
    header: (name) => headerOf(request.headers, name),
    body: bytes === "unread" ? request : inOnePiece(bytes),
  });
}

/** The bytes that somebody has read, `unread` when nobody has, null when only something parsed is left of them. */
function bytesOf({ body, rawBody, readableEnded }: NodeRequest): Uint8Array | "unread" | null {
  for (const given of [rawBody, body]) {
    if (given instanceof Uint8Array) return given;
    if (typeof given === "string") return Buffer.from(given);
  }
  return readableEnded || (typeof body === "object" && body !== null) ? null : "unread";
}

function write(request: NodeRequest, response: ServerResponse, { status, headers, body }: Answer): void {
  // A sender that is refused in the middle of its body is not read to the end.
  const rest: Record<string, string> =
    request.complete || request.readableEnded ? {} : { connection: "close" };
  response.writeHead(status, { ...headers, ...rest, "content-length": Buffer.byteLength(body) }).end(body);
}
