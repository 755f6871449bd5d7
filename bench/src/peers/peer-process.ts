// A process of a peer: its API or its worker.
import { bullmq } from "./bullmq.ts";
import { byNeed } from "./by-need.ts";
import { graphileWorker } from "./graphile-worker.ts";
import { listenForReports } from "./intake.ts";
import { naive } from "./naive.ts";
import type { FromPeer, Peer, PeerName, PeerSite, Queue, ToPeer } from "./peer.ts";
import { pgBoss } from "./pg-boss.ts";

const peers: Record<PeerName, Peer> = {
  naive,
  bullmq,
  "pg-boss": pgBoss,
  "graphile-worker": graphileWorker,
};

/** As many as Sendoff commits together. */
const gatheredMax = 128;

async function start({ role, site }: ToPeer): Promise<FromPeer> {
  const peer = peers[site.peer];
  const { settings } = peer;
  if (role === "api")
    return { settings, origin: await listenForReports(site, adderOf(site, await peer.openQueue(site))) };
  await peer.startWorker(site);
  return { settings, origin: null };
}

function adderOf({ peer, gathers }: PeerSite, { add, addMany }: Queue): Queue["add"] {
  if (!gathers) return add;
  if (addMany === undefined) throw new Error(`${peer} has no call for many jobs.`);
  return byNeed(gatheredMax, addMany);
}

process.on("message", (message: ToPeer) => {
  void start(message).then((ready) => process.send?.(ready));
});
process.on("disconnect", () => process.exit(0));
process.on("SIGINT", () => {});
