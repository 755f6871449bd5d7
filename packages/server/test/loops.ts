import { once } from "node:events";
import { Worker } from "node:worker_threads";

/** Requests that are sent without a pause, from a thread of its own: the loop of the one who measures stays free. */
export interface Loops {
  /** Ends them. @returns how many answers there were of each status. */
  stop(): Promise<Record<string, number>>;
}

const source = `
  const { parentPort, workerData: { url, key, count } } = require("node:worker_threads");
  const statuses = {};
  let over = false;
  const loop = async () => {
    while (!over) {
      const response = await fetch(url, { headers: { authorization: "Bearer " + key } });
      await response.arrayBuffer();
      statuses[response.status] = (statuses[response.status] ?? 0) + 1;
      if (statuses[200] === 3) parentPort.postMessage("begun");
      // Refused at once is asked at once again, but the thread's loop goes round.
      if (response.status !== 200) await new Promise(setImmediate);
    }
  };
  parentPort.once("message", () => { over = true; });
  Promise.all(Array.from({ length: count }, loop)).then(() => parentPort.postMessage(statuses));
`;

/** @param count requests under way at a time. Begins when some have been answered. */
export async function startLoops(url: string, key: string, count: number): Promise<Loops> {
  const worker = new Worker(source, { eval: true, workerData: { url, key, count } });
  await once(worker, "message");
  return {
    async stop() {
      const told = once(worker, "message");
      worker.postMessage("stop");
      const [statuses] = await told;
      await worker.terminate();
      return statuses as Record<string, number>;
    },
  };
}
