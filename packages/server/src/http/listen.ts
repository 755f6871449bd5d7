import type { Server } from "node:http";
import { serve } from "@hono/node-server";

/** Time limits of a request, in milliseconds. Hostile cases, parameters. */
const headersTimeoutMs = 10_000;
const requestTimeoutMs = 15_000;
/** How long a client may keep an idle connection open while the process ends. */
const closeAfterMs = 2_000;

/** Listens on a host and port. */
export function listenHttp(
  host: string,
  port: number,
  answer: (request: Request, env: object) => Response | Promise<Response>,
): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = serve(
      {
        fetch: answer as never,
        hostname: host,
        port,
        serverOptions: { headersTimeout: headersTimeoutMs, requestTimeout: requestTimeoutMs },
      },
      () => resolve(server),
    ) as Server;
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
