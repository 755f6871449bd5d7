import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

/** A host of recordings, on loopback, without TLS. */
export interface RecordingHost {
  /** As a list of allowed hosts has it. */
  readonly host: string;
  /** Ranges that were asked for, in order; null: all. */
  readonly ranges: (string | null)[];
  /** How many connections were opened. */
  connections(): number;
  url(path: string): string;
  close(): Promise<void>;
}

export const audio = randomBytes(300_000);
export const sha256 = createHash("sha256").update(audio).digest("hex");

/** Answers a request for a recording; `from` is the first byte that was asked for. */
export type Serve = (request: IncomingMessage, response: ServerResponse, from: number) => void;

/** The audio, or its rest. */
export const whole: Serve = (_request, response, from) => {
  const rest = audio.subarray(from);
  const range = from > 0 ? { "content-range": `bytes ${from}-${audio.length - 1}/${audio.length}` } : {};
  response.writeHead(from > 0 ? 206 : 200, {
    ...{ "content-type": "audio/ogg", "content-length": rest.length, etag: '"1"', ...range },
  });
  response.end(rest);
};

/** Sends so much of what is left, and cuts. */
export const cutAfter =
  (bytes: number): Serve =>
  (_request, response, from) => {
    const rest = audio.subarray(from);
    const range = from > 0 ? { "content-range": `bytes ${from}-${audio.length - 1}/${audio.length}` } : {};
    response.writeHead(from > 0 ? 206 : 200, {
      ...{ "content-type": "audio/ogg", "content-length": rest.length, etag: '"1"', ...range },
    });
    if (rest.length <= bytes) response.end(rest);
    else response.write(rest.subarray(0, bytes), () => response.destroy());
  };

export async function startRecordingHost(serve: Serve): Promise<RecordingHost> {
  const ranges: (string | null)[] = [];
  let connections = 0;
  const server = createServer((request, response) => {
    const { range } = request.headers;
    ranges.push(range ?? null);
    serve(request, response, Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0));
  });
  server.on("connection", () => {
    connections += 1;
  });
  server.listen(0, "127.0.0.1", 1_024);
  await once(server, "listening");
  const host = `127.0.0.1:${(server.address() as { port: number }).port}`;
  return {
    host,
    ranges,
    connections: () => connections,
    url: (path) => `http://${host}${path}`,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
