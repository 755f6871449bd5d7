import { type Accepted, type Claim, ClaimLost, type NewEvent, type Store, type WorkKind } from "./store.ts";

interface Kept extends NewEvent {
  atMs: number;
}

interface Work {
  readonly id: string;
  readonly kind: WorkKind;
  readonly event: Kept;
  dueMs: number;
  attempts: number;
  fence: number;
  error: string;
  isDead: boolean;
}

/**
 * Keeps events in this process and forgets them with it: for tests and for trying things out. A 2xx does not mean that
 * the event is safe, and a duplicate after a restart runs again.
 *
 * @param nowMs a monotonic clock, in ms.
 */
export function memoryStore(nowMs: () => number = () => performance.now()): Store<undefined> {
  const sessions = new Map<string, Map<string, Kept>>();
  const work = new Map<string, Work>();
  let lastId = 0;

  const add = (event: NewEvent): Accepted => {
    const events = sessions.get(event.session) ?? new Map<string, Kept>();
    const before = events.get(event.event);
    if (before !== undefined) {
      if (before.digest !== event.digest) return "conflict";
      // The same event with a fresh link: what has not been handled yet is to find the link that works longer.
      Object.assign(before, { body: event.body });
      return "duplicate";
    }
    const kept = { ...event, atMs: nowMs() };
    sessions.set(event.session, events.set(event.event, kept));
    for (const kind of event.work) {
      const id = String(++lastId);
      const start = { attempts: 0, fence: 0, error: "", isDead: false };
      work.set(id, { id, kind, event: kept, dueMs: nowMs(), ...start });
    }
    return "new";
  };
  /** The work of a claim while it is still held. */
  const held = ({ id, fence }: Claim): Work | null => {
    const item = work.get(id);
    return item !== undefined && item.fence === fence && !item.isDead ? item : null;
  };
  const finish = (claim: Claim): boolean => held(claim) !== null && work.delete(claim.id);

  return {
    durable: false,
    async setUp() {},
    async accept(events) {
      return events.map(add);
    },
    async claim(limit, leaseMs) {
      const due = [...work.values()]
        .filter((item) => !item.isDead && item.dueMs <= nowMs())
        .sort((one, other) => one.dueMs - other.dueMs)
        .slice(0, limit);
      return due.map((item) => {
        Object.assign(item, {
          dueMs: nowMs() + leaseMs,
          attempts: item.attempts + 1,
          fence: item.fence + 1,
        });
        const { session, event, body, webhookId, atMs } = item.event;
        const { id, kind, attempts, fence } = item;
        return { id, kind, session, event, body, webhookId, ageMs: nowMs() - atMs, attempt: attempts, fence };
      });
    },
    async extend(claims, leaseMs) {
      return claims.flatMap((claim) => {
        const item = held(claim);
        if (item === null) return [];
        item.dueMs = nowMs() + leaseMs;
        return [item.id];
      });
    },
    async done(claims) {
      return claims.filter(finish).map(({ id }) => id);
    },
    async again(claim, delayMs, error) {
      const item = held(claim);
      if (item === null) return;
      item.dueMs = nowMs() + delayMs;
      item.fence += 1;
      if (error === null) item.attempts -= 1;
      else item.error = error;
    },
    async bury(claim, error) {
      const item = held(claim);
      if (item !== null) Object.assign(item, { isDead: true, error });
    },
    async transact(claim, act) {
      if (held(claim) === null) throw new ClaimLost(claim);
      const result = await act(undefined);
      if (!finish(claim)) throw new ClaimLost(claim);
      return result;
    },
    async session(session) {
      const events = [...(sessions.get(session)?.values() ?? [])];
      return events.map(({ event, body, atMs }) => ({ event, body, ageMs: nowMs() - atMs }));
    },
    async join(claim, event) {
      if (finish(claim)) add(event);
    },
    async dead(limit) {
      return [...work.values()]
        .filter((item) => item.isDead)
        .slice(0, limit)
        .map(({ id, event: { session, event, body }, attempts, error }) => {
          return { id, session, event, body, attempts, error };
        });
    },
    async revive(id) {
      const item = work.get(id);
      if (item === undefined || !item.isDead) return false;
      Object.assign(item, { isDead: false, attempts: 0, dueMs: nowMs() });
      return true;
    },
    async forget(olderThanMs) {
      const busy = new Set([...work.values()].map((item) => item.event.session));
      let count = 0;
      for (const [session, events] of sessions) {
        if (busy.has(session)) continue;
        for (const [key, event] of events) {
          if (nowMs() - event.atMs > olderThanMs && events.delete(key)) count += 1;
        }
        if (events.size === 0) sessions.delete(session);
      }
      return count;
    },
  };
}
