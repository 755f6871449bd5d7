// A process of a peer: its API or its worker.
import { bullmq } from "./bullmq.ts";
import { graphileWorker } from "./graphile-worker.ts";
import { listenForReports } from "./intake.ts";
import { naive } from "./naive.ts";
import type { FromPeer, Peer, PeerName, ToPeer } from "./peer.ts";
import { pgBoss } from "./pg-boss.ts";

const peers: Record<PeerName, Peer> = {
  naive,
  bullmq,
  "pg-boss": pgBoss,
  "graphile-worker": graphileWorker,
};

async function start({ role, site }: ToPeer): Promise<FromPeer> {
  const peer = peers[site.peer];
  const { settings } = peer;
  if (role === "api") return { settings, origin: await listenForReports(site, await peer.openQueue(site)) };
  await peer.startWorker(site);
  return { settings, origin: null };
}

process.on("message", (message: ToPeer) => {
  void start(message).then((ready) => process.send?.(ready));
});
process.on("disconnect", () => process.exit(0));
process.on("SIGINT", () => {});
