// BullMQ on Redis. Its documentation ("Going to production", "Concurrency", "Auto-removal of jobs"): an append-only file,
// noeviction, a concurrency of 100 to 300 for work that waits for the network, jobs removed when they are over.
import { type ConnectionOptions, Queue, Worker } from "bullmq";
import { createDeliverer, createLogTable, createPool } from "./delivery.ts";
import type { Job, Peer, PeerSite } from "./peer.ts";

const queueName = "webhooks";
const jobName = "deliver";
const concurrency = 200;

const connectionOf = ({ redisSocket }: PeerSite): ConnectionOptions => ({
  path: redisSocket ?? "",
  maxRetriesPerRequest: null,
});

export const bullmq: Peer = {
  settings: `concurrency ${concurrency}, removeOnComplete`,
  async openQueue(site) {
    await createLogTable(createPool(site));
    const queue = new Queue<Job>(queueName, {
      connection: connectionOf(site),
      defaultJobOptions: { attempts: 1, removeOnComplete: true, removeOnFail: 1_000 },
    });
    await queue.waitUntilReady();
    return {
      add: (job) => queue.add(jobName, job),
      addMany: (jobs) => queue.addBulk(jobs.map((data) => ({ name: jobName, data }))),
    };
  },
  async startWorker(site) {
    const deliver = createDeliverer(site);
    const worker = new Worker<Job>(queueName, ({ data }) => deliver(data), {
      connection: connectionOf(site),
      concurrency,
    });
    worker.on("error", (error) => process.stderr.write(`BullMQ: ${error.message}\n`));
    await worker.waitUntilReady();
  },
};
