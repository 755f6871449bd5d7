// graphile-worker. Its documentation ("Performance", "Batching"): a local queue above the number of concurrent jobs, a
// delay of a quarter of a second to complete jobs together, a refetch delay against polling.
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import { createDeliverer, createLogTable, createPool } from "./delivery.ts";
import type { Job, Peer } from "./peer.ts";

const task = "deliver";
const maxAttempts = 1;
const concurrentJobs = 100;
const localQueueSize = 500;
const completeMs = 250;
const refetchMs = 50;

const logger = new Logger(() => (level, message) => {
  if (level === "error") process.stderr.write(`graphile-worker: ${message}\n`);
});

export const graphileWorker: Peer = {
  settings: `concurrentJobs ${concurrentJobs}, localQueue ${localQueueSize}, completeJobBatchDelay ${completeMs} ms, refetchDelay ${refetchMs} ms`,
  async openQueue(site) {
    const pool = createPool(site);
    await createLogTable(pool);
    const utils = await makeWorkerUtils({ pgPool: pool, logger });
    await utils.migrate();
    return {
      add: (job) => utils.addJob(task, job, { maxAttempts }),
      addMany: (jobs) => utils.addJobs(jobs.map((payload) => ({ identifier: task, payload, maxAttempts }))),
    };
  },
  async startWorker(site) {
    const deliver = createDeliverer(site);
    await run({
      pgPool: createPool(site),
      logger,
      noHandleSignals: true,
      taskList: { [task]: (payload) => deliver(payload as Job) },
      preset: {
        worker: {
          concurrentJobs,
          localQueue: { size: localQueueSize, refetchDelay: { durationMs: refetchMs } },
          completeJobBatchDelay: completeMs,
          failJobBatchDelay: completeMs,
        },
      },
    });
  },
};
