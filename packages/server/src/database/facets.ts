import {
  type CallStatus,
  type Channel,
  callStatuses,
  type EventName,
  eventNames,
  type Outcome,
  outcomes,
  type SessionState,
  sessionStates,
} from "@sendoff/contract";

/**
 * The facet of a row: what the filters of a list name, as one short text, which stands in the list's index before the
 * time. The expressions of migration 0020, letter for letter: an index is used for its own expression alone.
 */
export const sessionFacetSql = `left(state, 1) || coalesce(left(channel, 1), '-') || coalesce(left(call_status, 1) || right(call_status, 4), '')`;
export const logFacetSql = `left(outcome, 3) || left(event, 1) || right(event, 3)`;

/** What a list of sessions may be filtered by; undefined: any. */
export interface SessionFacets {
  readonly state?: SessionState | undefined;
  readonly channel?: Channel | undefined;
  readonly callStatus?: CallStatus | undefined;
}

/** Every facet that fitting sessions may have: at most 37, of which most are of no row. */
export function sessionFacets({ state, channel, callStatus }: SessionFacets): string[] {
  const states = state === undefined ? sessionStates : [state];
  const statuses = callStatus === undefined ? [null, ...callStatuses] : [callStatus];
  const facets = states.flatMap((one) =>
    statuses.flatMap((status) => {
      // What has a call's status is a call that has begun to end (constraint call_is_whole).
      if (status !== null && one === "open") return [];
      const kinds = status === null ? ["-", "c", "t"] : ["c"];
      return kinds
        .filter((kind) => channel === undefined || channel.startsWith(kind))
        .map(
          (kind) => one.slice(0, 1) + kind + (status === null ? "" : status.slice(0, 1) + status.slice(-4)),
        );
    }),
  );
  return [...new Set(facets)];
}

/** What a list of attempts may be filtered by; undefined: any. */
export interface LogFacets {
  readonly outcome?: readonly Outcome[] | undefined;
  readonly event?: readonly EventName[] | undefined;
}

/** Every facet that fitting attempts may have: at most 35. */
export const logFacets = ({ outcome = outcomes, event = eventNames }: LogFacets): string[] => [
  ...new Set(
    outcome.flatMap((one) => event.map((name) => one.slice(0, 3) + name.slice(0, 1) + name.slice(-3))),
  ),
];
