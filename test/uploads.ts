import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createLog } from "../packages/server/src/log.ts";
import { createDiskRecordings } from "../packages/server/src/recordings/disk.ts";
import type { RecordingStore } from "../packages/server/src/recordings/store.ts";
import { createUploads, type Uploads } from "../packages/server/src/recordings/upload.ts";
import type { UploadLimits } from "../packages/server/src/recordings/upload-limits.ts";
import { Refusal } from "../packages/server/src/refusal.ts";
import type { TestServer } from "./server.ts";

/** Audio whose rest comes when the test says so. */
export function held(
  head: Uint8Array,
  rest: Uint8Array,
): { body: ReadableStream<Uint8Array>; goOn: () => void } {
  let goOn = (): void => {};
  const allowed = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      controller.enqueue(head);
      await allowed;
      controller.enqueue(rest);
      controller.close();
    },
  });
  return { body, goOn };
}

/** Limits that no test comes near. */
const wideLimits: UploadLimits = {
  bytesMax: 2 ** 30,
  timeMaxMs: 3_600_000,
  rate: { least: 1, most: 2 ** 30 },
  projectMax: 64,
  projectBytesMax: 2 ** 40,
};

export interface LoneUploads {
  readonly uploads: Uploads;
  readonly http: Server;
  readonly url: string;
}

/** A server with nothing but uploads, so that their limits can be short and their store odd. The path is the session. */
export async function startUploads(
  server: TestServer,
  more: {
    readonly windowMs?: number;
    readonly limits?: Partial<UploadLimits>;
    readonly store?: Partial<RecordingStore>;
    readonly reserveBytes?: number;
    readonly report?: (objectKey: string) => Promise<unknown>;
  } = {},
): Promise<LoneUploads> {
  const disk = createDiskRecordings(join(server.dataFolder, "recordings"), more.reserveBytes ?? 0);
  const uploads = createUploads({
    pool: server.pool,
    log: createLog("silent"),
    store: { ...disk, ...more.store },
    limits: { ...wideLimits, ...more.limits },
    onKept: () => {},
    ...(more.windowMs === undefined ? {} : { windowMs: more.windowMs }),
  });
  const report = more.report ?? (async () => ({}));
  const answer = async (request: IncomingMessage): Promise<[number, object]> => {
    // Another project by the query, for what is bounded for each.
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://x");
    const projectId = searchParams.get("project") ?? server.projectId;
    try {
      await uploads.receive(request, projectId, pathname.slice(1) || "u-alone", report);
      return [200, {}];
    } catch (error) {
      return error instanceof Refusal
        ? [error.status, { code: error.code, message: error.message }]
        : [500, { message: String(error) }];
    }
  };
  const http = createServer(async (request, response) => {
    const [status, body] = await answer(request);
    const text = Buffer.from(JSON.stringify(body));
    // The rest is read until the sender has the answer: closing would be faster than the sender reads.
    response.writeHead(status, { connection: "close", "content-length": text.length }).write(text);
    request.on("error", () => {}).resume();
    if (request.readableEnded) response.end();
    else request.once("close", () => response.end());
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  return { uploads, http, url: `http://127.0.0.1:${(http.address() as AddressInfo).port}` };
}

export interface Answered {
  readonly status: number;
  readonly code?: string;
  readonly message?: string;
}

export async function send(url: string, body: Uint8Array | ReadableStream): Promise<Answered> {
  const over = new AbortController();
  const init = { method: "PUT", body, duplex: "half", signal: over.signal };
  const response = await fetch(url, init as RequestInit);
  const answer = { status: response.status, ...((await response.json()) as object) };
  // What was refused need not be sent to its end.
  if (response.status !== 200) over.abort();
  return answer;
}
