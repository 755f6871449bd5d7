import type { Server } from "node:http";
import { serve } from "@hono/node-server";

/** What a client may take of this process. Hostile cases, parameters. */
export interface ConnectionLimits {
  /** How long all headers of a request may take, and an opened connection without a byte. Default 10 s. */
  readonly headersTimeoutMs: number;
  /** How long a whole request may take to come in. Default 15 s. */
  readonly requestTimeoutMs: number;
  /** How often both are looked at. Node's own 30 s would let a slow client have three times its time. Default 1 s. */
  readonly checkMs: number;
  /** Most open connections; one more is closed at once, and those that are open go on. Default 10,000. */
  readonly connectionsMax: number;
}

const standardLimits: ConnectionLimits = {
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 15_000,
  checkMs: 1_000,
  connectionsMax: 10_000,
};
/** How long a client may keep an idle connection open while the process ends. */
const closeAfterMs = 2_000;

/** Listens on a host and port. */
export function listenHttp(
  host: string,
  port: number,
  answer: (request: Request, env: object) => Response | Promise<Response>,
  limits: ConnectionLimits = standardLimits,
): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = serve(
      {
        fetch: answer as never,
        hostname: host,
        port,
        serverOptions: {
          headersTimeout: limits.headersTimeoutMs,
          requestTimeout: limits.requestTimeoutMs,
          connectionsCheckingInterval: limits.checkMs,
        },
      },
      () => resolve(server),
    ) as Server;
    server.maxConnections = limits.connectionsMax;
    server.once("error", reject);
  });
}

/** Takes no more connections and waits until the requests under way are answered. */
export async function closeHttp(server: Server): Promise<void> {
  const cut = setTimeout(() => server.closeAllConnections(), closeAfterMs);
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
  });
  clearTimeout(cut);
}

/** Where this machine reaches a server. */
export function localUrl(server: Server): string {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the HTTP server has no port");
  const everywhere = address.address === "0.0.0.0" || address.address === "::";
  const name = everywhere ? "127.0.0.1" : address.address;
  return `http://${name.includes(":") ? `[${name}]` : name}:${address.port}`;
}
