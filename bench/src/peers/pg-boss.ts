// pg-boss. Its documentation ("work()"): a batchSize well above 1 for small jobs, the shortest polling interval, several
// workers on one queue; a batch is completed by one statement.
import PgBoss from "pg-boss";
import { createDeliverer, createLogTable, createPool } from "./delivery.ts";
import type { Job, Peer, PeerSite } from "./peer.ts";

const queueName = "webhooks";
const retryLimit = 0;
const workers = 4;
const batchSize = 200;
const pollingIntervalSeconds = 0.5;

async function openBoss({ databaseUrl }: PeerSite): Promise<PgBoss> {
  const boss = new PgBoss({ connectionString: databaseUrl, max: 10 });
  boss.on("error", (error) => process.stderr.write(`pg-boss: ${error.message}\n`));
  await boss.start();
  return boss;
}

export const pgBoss: Peer = {
  settings: `${workers} workers, batchSize ${batchSize}, polling ${pollingIntervalSeconds} s`,
  async openQueue(site) {
    await createLogTable(createPool(site));
    const boss = await openBoss(site);
    await boss.createQueue(queueName);
    return {
      add: (job) => boss.send(queueName, job, { retryLimit }),
      addMany: (jobs) => boss.insert(jobs.map((data) => ({ name: queueName, data, retryLimit }))),
    };
  },
  async startWorker(site) {
    const deliver = createDeliverer(site);
    const boss = await openBoss(site);
    for (let worker = 0; worker < workers; worker++) {
      await boss.work<Job>(queueName, { batchSize, pollingIntervalSeconds }, async (jobs) => {
        await Promise.all(jobs.map(({ data }) => deliver(data)));
      });
    }
  },
};
