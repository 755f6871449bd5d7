import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** One POST that a sink received, whole. */
export interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks at whatever was sent
  readonly json: any;
  /** When its last byte came, in milliseconds since 1970. */
  readonly atMs: number;
}

/** A real HTTP server that stands for a receiver. */
export interface Sink {
  readonly url: string;
  /** What arrived, in order of arrival. */
  readonly received: Received[];
  /** Resolves when `count` requests have arrived in all; rejects after 40 s. */
  arrived(count: number): Promise<void>;
  close(): Promise<void>;
}

/**
 * @param respond answers a request; 200 at once when it is missing.
 * @param port any free one when it is missing.
 */
export async function startSink(
  respond: (response: ServerResponse, request: Received) => void = (response) => response.end("ok"),
  port = 0,
): Promise<Sink> {
  const received: Received[] = [];
  const waiting = new Set<() => void>();
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString("utf8");
      const item = { headers: request.headers, body, json: JSON.parse(body), atMs: Date.now() };
      received.push(item);
      for (const look of waiting) look();
      respond(response, item);
    });
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    received,
    arrived: (count) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.delete(look);
          reject(new Error(`${received.length} of ${count} requests arrived within 40 s`));
        }, 40_000);
        const look = (): void => {
          if (received.length < count) return;
          waiting.delete(look);
          clearTimeout(timer);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
