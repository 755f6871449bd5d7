import type { Availability, History, Span } from "../history.ts";
import { secondNs } from "../monotonic.ts";
import type { Patience } from "./patience.ts";

type Role = Availability["roles"][number];

/** How long a system that came up may take before its time counts: connections are opened, leases looked at. */
const warmUpNs = secondNs;

/** When of each of the roles at least one member worked. */
export function upWindows(history: History, roles: readonly Role[]): Span[] {
  const up = new Map<string, readonly Role[]>();
  const windows: Span[] = [];
  let fromNs: number | null = null;
  for (const change of history.availability) {
    if (change.up) up.set(change.member, change.roles);
    else up.delete(change.member);
    const all = roles.every((role) => [...up.values()].some((has) => has.includes(role)));
    if (all && fromNs === null) fromNs = change.ns;
    if (!all && fromNs !== null) {
      windows.push({ fromNs, toNs: change.ns });
      fromNs = null;
    }
  }
  if (fromNs !== null) windows.push({ fromNs, toNs: history.endNs });
  return windows;
}

/** How much of a span of time the system worked, each window without its first second. */
export function usableNs(patience: Patience, windows: readonly Span[], fromNs: number, toNs: number): number {
  let sum = 0;
  for (const window of windows) {
    const begun = Math.max(patience.after(window.fromNs, warmUpNs), fromNs);
    const ended = Math.min(window.toNs, toNs);
    if (ended > begun) sum += patience.elapsed(begun, ended);
  }
  return sum;
}

/** The first moment at which the system has worked without a break for so long since `fromNs`; null: never. */
export function servedNs(
  patience: Patience,
  windows: readonly Span[],
  fromNs: number,
  lengthNs: number,
): number | null {
  for (const window of windows) {
    const served = patience.after(Math.max(window.fromNs, fromNs), lengthNs);
    if (window.toNs >= served) return served;
  }
  return null;
}

/** The members that had a role, each with the spans in which it worked. */
export function uptimes(history: History, role: Role): Map<string, readonly Span[]> {
  const changes = history.availability.filter((change) => change.roles.includes(role));
  const members = new Set(changes.map(({ member }) => member));
  return new Map(
    [...members].map((member) => [
      member,
      upWindows({ ...history, availability: changes.filter((change) => change.member === member) }, [role]),
    ]),
  );
}

/** Whether one span has it all. */
export const covers = (spans: readonly Span[], fromNs: number, toNs: number): boolean =>
  spans.some((span) => span.fromNs <= fromNs && span.toNs >= toNs);
