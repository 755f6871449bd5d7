import { inOnePiece } from "./incoming.ts";
import type { Receiver } from "./receiver.ts";
import { headerOf } from "./verify.ts";

/** What is used of Fastify. */
export interface FastifyLike {
  removeAllContentTypeParsers(): unknown;
  addContentTypeParser(
    type: string,
    options: { parseAs: "buffer"; bodyLimit: number },
    parser: (request: unknown, body: Buffer, done: (error: null, body: Buffer) => void) => void,
  ): unknown;
  post(
    path: string,
    handler: (request: FastifyRequestLike, reply: FastifyReplyLike) => Promise<unknown>,
  ): unknown;
}

interface FastifyRequestLike {
  readonly method: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: unknown;
}

interface FastifyReplyLike {
  code(status: number): FastifyReplyLike;
  headers(headers: Record<string, string>): FastifyReplyLike;
  send(body: string): unknown;
}

/** Fastify reads the body itself; the receiver's own limit comes after it. */
const bodyLimit = 16 * 1_048_576;

/**
 * A plugin for Fastify with one route. Its content parser is its own: it leaves the bytes as they are, for this route alone.
 *
 * @example await app.register(fastifyReceiver(receiver, "/hook"))
 */
export const fastifyReceiver =
  (receiver: Receiver, path: string) =>
  async (app: FastifyLike): Promise<void> => {
    app.removeAllContentTypeParsers();
    app.addContentTypeParser("*", { parseAs: "buffer", bodyLimit }, (_request, body, done) =>
      done(null, body),
    );
    app.post(path, async (request, reply) => {
      const answer = await receiver.take({
        method: request.method,
        header: (name) => headerOf(request.headers, name),
        body: request.body instanceof Uint8Array ? inOnePiece(request.body) : null,
      });
      return reply
        .code(answer.status)
        .headers({ ...answer.headers })
        .send(answer.body);
    });
  };
