import {
  createServer,
  type IncomingMessage,
  type OutgoingHttpHeader,
  type OutgoingHttpHeaders,
  type RequestListener,
  type Server,
  type ServerOptions,
  ServerResponse,
} from "node:http";
import type { Duplex } from "node:stream";
import { serve } from "@hono/node-server";
import { Refusal } from "../refusal.ts";
import type { Admission } from "./admission.ts";
import { boundConnections, type ConnectionBounds } from "./connections.ts";
import { errorAnswer } from "./json-answer.ts";
import { sparingLongRequests } from "./long-requests.ts";

/** What a client may take of this process. Hostile cases, parameters. */
export interface ConnectionLimits extends ConnectionBounds {
  /** How long all headers of a request may take, and an opened connection without a byte. Default 10 s. */
  readonly headersTimeoutMs: number;
  /** How long a whole request may take to come in, an upload of audio aside. Default 15 s. */
  readonly requestTimeoutMs: number;
}

/** The check is each second: Node's own 30 s would let a slow client have three times its time. */
const standardLimits: ConnectionLimits = {
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 15_000,
  checkMs: 1_000,
  connectionsMax: 10_000,
  perAddressMax: 2_000,
  unreadMaxMs: 30_000,
  isProxy: () => false,
  onCut: () => {},
};
/** How long a client may keep an idle connection open while the process ends. */
const closeAfterMs = 2_000;

/** What a server answers with. */
export interface Answering {
  /** Refuses requests before they are read. */
  readonly admission: Admission;
  answer(request: Request, env: object): Response | Promise<Response>;
}

/**
 * Listens on a host and port.
 *
 * @param given limits that are not the standard ones.
 */
export function listenHttp(
  host: string,
  port: number,
  { admission, answer }: Answering,
  given: Partial<ConnectionLimits> = {},
): Promise<Server> {
  const limits = { ...standardLimits, ...given };
  return new Promise((resolve, reject) => {
    const server = serve(
      {
        createServer: createServerWith(admission) as typeof createServer,
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
    boundConnections(server, limits);
    server.once("error", reject);
    sparingLongRequests(server);
    // Without a listener of its own a CONNECT would be cut without an answer.
    server.on("connect", (_request, socket) => refuseTunnel(socket));
  });
}

/** Every method that some route has, for requests that are about no path. */
const allow = "GET, HEAD, POST, PUT, PATCH, DELETE";

const methodRefused = (method: string): Refusal =>
  new Refusal(
    "method_not_allowed",
    `${method} is not for this server; expected one of ${allow} and a path.`,
    { headers: { allow } },
  );

/** Makes a server that answers some requests without the routes: those it has no time for, and `OPTIONS *`. */
const createServerWith =
  (admission: Admission) =>
  (options: ServerOptions, listener: RequestListener): Server =>
    createServer({ ...options, ServerResponse: GuardedResponse }, (request, response) => {
      const refusal = isAboutServer(request) ? methodRefused("OPTIONS *") : admission(request);
      if (refusal === null) return listener(request, response);
      const { headers, body } = errorAnswer(refusal);
      response.writeHead(refusal.status, headers).end(body);
    });

/**
 * No browser shall take an answer for what it is not, and nobody keep one unless it says that it may be kept: here, so that no
 * route can forget it.
 */
class GuardedResponse extends ServerResponse {
  override writeHead(status: number, reason?: string | GivenHeaders, headers?: GivenHeaders): this {
    const given = typeof reason === "string" ? headers : reason;
    for (const [name, value] of guardHeaders) {
      if (!hasHeader(given, name) && !this.hasHeader(name)) this.setHeader(name, value);
    }
    return typeof reason === "string"
      ? super.writeHead(status, reason, headers)
      : super.writeHead(status, reason);
  }
}

type GivenHeaders = OutgoingHttpHeaders | OutgoingHttpHeader[];

const guardHeaders = [
  ["x-content-type-options", "nosniff"],
  ["cache-control", "no-store"],
] as const;

const hasHeader = (given: GivenHeaders | undefined, name: string): boolean =>
  given !== undefined && (Array.isArray(given) ? given.includes(name) : given[name] !== undefined);

/** `OPTIONS *` asks about the server, not about a path: no URL can be made of it. */
const isAboutServer = ({ method, url }: IncomingMessage): boolean => method === "OPTIONS" && url === "*";

function refuseTunnel(socket: Duplex): void {
  // One who has gone needs no answer.
  socket.on("error", () => socket.destroy());
  const { headers, body } = errorAnswer(methodRefused("CONNECT"));
  const lines = Object.entries({ ...headers, connection: "close" });
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  // Destroyed, for the other side may never close its half.
  socket.end(`HTTP/1.1 405 Method Not Allowed\r\n${head}\r\n${body}`, () => socket.destroy());
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
