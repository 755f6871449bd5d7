import { connect } from "node:net";
import { ErrorBody, type ErrorCode, errorCatalogue } from "@sendoff/contract";
import { expect } from "vitest";
import type { TestServer } from "../../../test/server.ts";

/** What {@link TestServer.api} answers. */
export type ApiAnswer = Awaited<ReturnType<TestServer["api"]>>;

/**
 * Checks that an answer is a refusal as the catalogue has it.
 *
 * @param parts what the message must say: what was given, and what was expected.
 */
export function expectRefused(
  answer: Pick<ApiAnswer, "status" | "headers" | "body" | "text">,
  code: ErrorCode,
  ...parts: readonly string[]
): void {
  expect(answer.body?.error?.code, answer.text).toBe(code);
  expect(answer.status).toBe(errorCatalogue[code].status);
  expectErrorBody(answer.body, ...parts);
  expect(answer.headers.get("content-type")).toBe("application/json");
  expect(answer.headers.get("cache-control")).toBe("no-store");
  if (answer.status === 401) expect(answer.headers.get("www-authenticate")).toMatch(/^Bearer/);
  if (answer.status === 503) expect(answer.headers.get("retry-after")).toBe("1");
}

/** Checks the shape of `{error: {code, message, details}}` and that its message is a sentence with these parts. */
export function expectErrorBody(body: { error: { message: string } }, ...parts: readonly string[]): void {
  expect(ErrorBody.safeParse(body).error).toBeUndefined();
  expect(Object.keys(body)).toEqual(["error"]);
  expect(Object.keys(body.error)).toEqual(["code", "message", "details"]);
  expect(body.error.message).toMatch(/^\S.{20,}[.?]$/s);
  for (const part of parts) expect(body.error.message).toContain(part);
}

/** Sends bytes as they are over a connection of their own and answers what came back until it was closed. */
export function sendRaw(apiUrl: string, ...parts: ReadonlyArray<string | Buffer>): Promise<ApiAnswer> {
  const { hostname, port } = new URL(apiUrl);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    const chunks: Buffer[] = [];
    socket.setTimeout(10_000, () => socket.destroy(new Error("no answer within 10 s")));
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("error", (error) => {
      // A server that closes while we still send resets the connection; what it had answered counts.
      if (chunks.length === 0) reject(error);
    });
    socket.on("close", () => {
      if (chunks.length > 0) resolve(parseAnswer(Buffer.concat(chunks).toString("utf8")));
    });
    for (const part of parts) socket.write(part);
  });
}

function parseAnswer(answer: string): ApiAnswer {
  const [head = "", ...rest] = answer.split("\r\n\r\n");
  const [statusLine = "", ...lines] = head.split("\r\n");
  const text = rest.join("\r\n\r\n");
  const headers = new Headers(lines.map((line) => line.split(/: ?(.*)/s, 2) as [string, string]));
  return {
    status: Number(statusLine.split(" ")[1]),
    headers,
    text,
    body: text === "" ? null : JSON.parse(text),
  };
}
