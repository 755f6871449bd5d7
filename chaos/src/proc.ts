/** Processes of this machine as /proc shows them. Linux only, as is the whole rig. */
import { readdirSync, readFileSync } from "node:fs";

/** A process for certain: a pid alone may pass to another program, its start time does not. */
export interface ProcessId {
  readonly pid: number;
  /** In clock ticks since boot. */
  readonly startTicks: string;
}

interface Stat extends ProcessId {
  readonly parent: number;
  readonly state: string;
}

function statOf(pid: number): Stat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The name between the brackets may itself hold brackets and spaces.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { pid, state: fields[0] ?? "", parent: Number(fields[1]), startTicks: fields[19] ?? "" };
  } catch {
    return null;
  }
}

const isOver = (stat: Stat | null): boolean => stat === null || stat.state === "Z" || stat.state === "X";

/** The process that has this pid now, or null when none runs. */
export function identify(pid: number): ProcessId | null {
  const stat = statOf(pid);
  return stat === null || isOver(stat) ? null : { pid, startTicks: stat.startTicks };
}

export function isAlive(id: ProcessId): boolean {
  return identify(id.pid)?.startTicks === id.startTicks;
}

/** Sends a signal to exactly this process; false when it has ended. */
export function signal(id: ProcessId, name: NodeJS.Signals): boolean {
  if (!isAlive(id)) return false;
  try {
    process.kill(id.pid, name);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}

/** All living processes below one, the nearest first. */
export function descendantsOf(pid: number): ProcessId[] {
  const all = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((name) => statOf(Number(name)))
    .filter((stat): stat is Stat => !isOver(stat));
  const found: Stat[] = [];
  let level = [pid];
  while (level.length > 0) {
    const next = all.filter((stat) => level.includes(stat.parent));
    found.push(...next);
    level = next.map((stat) => stat.pid);
  }
  return found.map((stat) => ({ pid: stat.pid, startTicks: stat.startTicks }));
}
