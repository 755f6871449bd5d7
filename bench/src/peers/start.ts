import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Scope } from "../scope.ts";
import type { FromPeer, PeerSite, Role, ToPeer } from "./peer.ts";

/** A peer that runs: its API and its worker as two processes. */
export interface RunningPeer {
  readonly origin: string;
  readonly settings: string;
  readonly pids: readonly number[];
}

/** @throws Error when one of its processes ends before it is ready. */
export async function startPeer(scope: Scope, site: PeerSite): Promise<RunningPeer> {
  // The API first: it makes the tables.
  const api = await startProcess(scope, site, "api");
  const worker = await startProcess(scope, site, "worker");
  return { origin: api.origin ?? "", settings: api.settings, pids: [api.pid, worker.pid] };
}

async function startProcess(scope: Scope, site: PeerSite, role: Role): Promise<FromPeer & { pid: number }> {
  const child = fork(fileURLToPath(new URL("./peer-process.js", import.meta.url)));
  scope.add(() => {
    if (child.connected) child.disconnect();
  });
  const ended = once(child, "exit").then(([code]) => {
    throw new Error(`The ${role} of ${site.peer} ended with ${code}.`);
  });
  ended.catch(() => {});
  const replied = once(child, "message");
  const message: ToPeer = { role, site };
  child.send(message);
  const [ready] = (await Promise.race([replied, ended])) as [FromPeer];
  return { ...ready, pid: child.pid ?? 0 };
}
