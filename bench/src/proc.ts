/** Memory and processor time of processes, as /proc shows them. Elsewhere than on Linux there is nothing to read. */
import { readdirSync, readFileSync } from "node:fs";

interface Stat {
  readonly pid: number;
  readonly parent: number;
  readonly cpuTicks: number;
}

const ticksPerSecond = 100;

function statOf(pid: number): Stat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The name between the brackets may itself hold brackets and spaces. utime, stime, and those of ended children.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const ticks = [11, 12, 13, 14].map((index) => Number(fields[index]));
    return { pid, parent: Number(fields[1]), cpuTicks: ticks.reduce((sum, value) => sum + value, 0) };
  } catch {
    return null;
  }
}

/** Living processes below one, and itself. */
export function treeOf(pid: number): number[] {
  let names: string[];
  try {
    names = readdirSync("/proc");
  } catch {
    return [];
  }
  const all = names.filter((name) => /^\d+$/.test(name)).flatMap((name) => statOf(Number(name)) ?? []);
  const found = [pid];
  for (let index = 0; index < found.length; index++) {
    found.push(...all.filter((stat) => stat.parent === found[index]).map((stat) => stat.pid));
  }
  return found;
}

/** Processor time that a process and those below it have used so far, in milliseconds. */
export function cpuMsOf(pid: number): number {
  return treeOf(pid).reduce((sum, one) => sum + ((statOf(one)?.cpuTicks ?? 0) * 1_000) / ticksPerSecond, 0);
}

/** Resident memory in MiB: now, and the most that it ever was; null when it cannot be read. */
export function memoryOf(pid: number): { nowMiB: number; mostMiB: number } | null {
  try {
    const text = readFileSync(`/proc/${pid}/status`, "latin1");
    const mib = (name: string): number =>
      Math.round(Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)?.[1]) / 1_024);
    return { nowMiB: mib("VmRSS"), mostMiB: mib("VmHWM") };
  } catch {
    return null;
  }
}
