import { Agent, request } from "node:http";

/** An answer, or why there is none. */
type Answer =
  | { readonly kind: "answer"; readonly status: number; readonly body: unknown }
  | { readonly kind: "none"; readonly reason: string };

export interface Client {
  send(method: string, url: string, key: string, body: unknown): Promise<Answer>;
  close(): void;
}

/** A runtime's HTTP client: connections are kept, so a server that dies cuts requests under way. */
export function createClient(timeoutMs: number): Client {
  const agent = new Agent({ keepAlive: true, maxSockets: 128 });
  return {
    send: (method, url, key, body) =>
      new Promise((resolve) => {
        const text = body === undefined ? "" : JSON.stringify(body);
        const outgoing = request(url, {
          method,
          agent,
          headers: {
            authorization: `Bearer ${key}`,
            ...(body === undefined
              ? {}
              : { "content-type": "application/json", "content-length": Buffer.byteLength(text) }),
          },
        });
        // Absolute: a server that drips does not extend it.
        const timer = setTimeout(() => outgoing.destroy(new Error("time-out")), timeoutMs);
        const fail = (error: Error): void => {
          clearTimeout(timer);
          resolve({ kind: "none", reason: reasonOf(error) });
        };
        outgoing.once("error", fail);
        outgoing.once("response", (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.once("error", fail);
          response.once("aborted", () => fail(new Error("the answer broke off")));
          response.once("end", () => {
            clearTimeout(timer);
            const raw = Buffer.concat(chunks).toString("utf8");
            resolve({ kind: "answer", status: response.statusCode ?? 0, body: parsed(raw) });
          });
        });
        outgoing.end(text);
      }),
    close: () => agent.destroy(),
  };
}

const reasonOf = (error: Error): string => ("code" in error ? String(error.code) : error.message);

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
