import { createServer } from "node:net";
import { createProjects } from "./endpoints.ts";
import type { Stage } from "./stage.ts";

/** A dead endpoint, and how its deliveries stand. */
export interface DeadEndpoint {
  readonly projectId: string;
  readonly endpointId: string;
  /** The first delivery of each lane has been attempted once and waits for its second attempt. */
  readonly retries: boolean;
}

/** Half of them accept connections and never answer, the others refuse connections. Every second one has retries on. */
export async function createDead(stage: Stage, count: number): Promise<DeadEndpoint[]> {
  const silent = await stage.sink.listen(Math.ceil(count / 2));
  await stage.sink.behave(silent, "hold");
  const closed = await Promise.all(Array.from({ length: count - silent.length }, closedPort));
  const hasRetries = (index: number): boolean => index % 2 === 1;
  const projects = await createProjects(stage, [...silent, ...closed], (index) => ({
    timeout: "10s",
    ...(hasRetries(index) ? { retries: { attempts: 8, window: "24h" } } : {}),
  }));
  return projects.map(({ id, endpointId }, index) => ({
    projectId: id,
    endpointId,
    retries: hasRetries(index),
  }));
}

/** A port that refuses connections: it was free a moment ago. */
function closedPort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
