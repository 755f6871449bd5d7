import type { IncomingMessage, Server } from "node:http";
import type { Socket } from "node:net";

/** Connections on which a request may take longer than others: its route has a limit of its own. */
const long = new WeakSet<Socket>();

/** Lets a request come in for as long as it keeps coming. @returns puts the connection under the common limit again. */
export function allowLong(request: IncomingMessage): () => void {
  const { socket } = request;
  long.add(socket);
  return () => long.delete(socket);
}

/** What Node.js itself answers when there is nobody to ask, by the error's code; 400 for any other. */
const statusLines: Readonly<Record<string, string>> = {
  ERR_HTTP_REQUEST_TIMEOUT: "408 Request Timeout",
  HPE_HEADER_OVERFLOW: "431 Request Header Fields Too Large",
  HPE_CHUNK_EXTENSIONS_OVERFLOW: "413 Payload Too Large",
};

/**
 * The time limit of Node.js is one for all requests of a server. Whoever listens for its errors has to end the connection:
 * this does what Node.js would have done, but for a request that may be long.
 */
export function sparingLongRequests(server: Server): void {
  server.on("clientError", (error: NodeJS.ErrnoException, stream) => {
    const socket = stream as Socket & { _httpMessage?: { headersSent: boolean } };
    // Node.js asks once for each request, so it is not asked again.
    if (error.code === "ERR_HTTP_REQUEST_TIMEOUT" && long.has(socket)) return;
    if (socket.writable && socket._httpMessage?.headersSent !== true) {
      socket.write(
        `HTTP/1.1 ${statusLines[error.code ?? ""] ?? "400 Bad Request"}\r\nConnection: close\r\n\r\n`,
      );
    }
    socket.destroy(error);
  });
}
