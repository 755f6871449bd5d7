import { groupKey, type Waiting } from "./batch.ts";

/** How much may wait, over all projects. */
export interface QueueBounds {
  readonly reportsMax: number;
  readonly bytesMax: number;
}

/** Reports of one project that wait, by session, the session that has waited longest first. */
interface ProjectQueue {
  readonly sessions: Map<string, Waiting[]>;
  reports: number;
  bytes: number;
}

/**
 * Reports that wait for their commit. Projects take turns, so that what one sends at once does not hold up the others; and
 * when too much waits, those are refused that have more than their share of it.
 */
export class IntakeQueue {
  readonly #bounds: QueueBounds;
  /** In the order of their turns. */
  readonly #projects = new Map<string, ProjectQueue>();
  #reports = 0;
  #bytes = 0;

  constructor(bounds: QueueBounds) {
    this.#bounds = bounds;
  }

  get size(): number {
    return this.#reports;
  }

  /** How many projects have reports that wait. */
  get projects(): number {
    return this.#projects.size;
  }

  /** How many reports of the project wait. */
  sizeOf(projectId: string): number {
    return this.#projects.get(projectId)?.reports ?? 0;
  }

  /** Since when the report of the project waits that comes next, monotonic; null when none waits. */
  oldestOf(projectId: string): number | null {
    const [first] = this.#projects.get(projectId)?.sessions.values() ?? [];
    return first?.[0]?.sinceMs ?? null;
  }

  /**
   * Whether one more report of the project can wait: there is room, or the project has less than an equal share of it. So
   * nobody is refused because of what others have sent, and twice the bounds are never passed.
   */
  hasRoom(projectId: string): boolean {
    const own = this.#projects.get(projectId);
    const sharers = this.#projects.size + (own === undefined ? 1 : 0);
    const isFull = this.#reports >= this.#bounds.reportsMax || this.#bytes >= this.#bounds.bytesMax;
    if (!isFull) return true;
    return (
      (own?.reports ?? 0) < this.#bounds.reportsMax / sharers &&
      (own?.bytes ?? 0) < this.#bounds.bytesMax / sharers
    );
  }

  add(item: Waiting): void {
    const { sessions } = this.#counted(item);
    const key = groupKey(item.projectId, item.sessionId);
    const waiting = sessions.get(key);
    if (waiting === undefined) sessions.set(key, [item]);
    else waiting.push(item);
  }

  /** Puts reports back that were taken, in front of the others of their session and project. */
  putBack(items: readonly Waiting[]): void {
    for (const item of items.toReversed()) {
      const { sessions } = this.#counted(item);
      const key = groupKey(item.projectId, item.sessionId);
      const first = [item, ...(sessions.get(key) ?? [])];
      const others = [...sessions].filter(([other]) => other !== key);
      sessions.clear();
      for (const [session, waiting] of [[key, first] as const, ...others]) sessions.set(session, waiting);
    }
  }

  /** Takes the reports of up to so many sessions, one session of each project in turn; by session, in order of arrival. */
  take(sessionsMax: number): Map<string, Waiting[]> {
    const taken = new Map<string, Waiting[]>();
    while (taken.size < sessionsMax) {
      const [turn] = this.#projects;
      if (turn === undefined) break;
      const [projectId, queue] = turn;
      const [next] = queue.sessions;
      if (next === undefined) throw new Error("a project without reports has a turn");
      const [key, items] = next;
      taken.set(key, items);
      queue.sessions.delete(key);
      this.#projects.delete(projectId);
      // Its next turn comes after those of all others.
      if (queue.sessions.size > 0) this.#projects.set(projectId, queue);
      for (const item of items) this.#count(queue, item, -1);
    }
    return taken;
  }

  /** Removes the reports that have waited since before this moment, monotonic. */
  removeOlderThan(sinceMs: number): Waiting[] {
    const removed: Waiting[] = [];
    for (const [projectId, queue] of this.#projects) {
      for (const [key, items] of queue.sessions) {
        const kept = items.filter((item) => item.sinceMs >= sinceMs);
        if (kept.length === items.length) continue;
        for (const item of items) {
          if (item.sinceMs >= sinceMs) continue;
          removed.push(item);
          this.#count(queue, item, -1);
        }
        if (kept.length === 0) queue.sessions.delete(key);
        else queue.sessions.set(key, kept);
      }
      if (queue.sessions.size === 0) this.#projects.delete(projectId);
    }
    return removed;
  }

  /** The queue of the item's project, with the item counted. */
  #counted(item: Waiting): ProjectQueue {
    const queue = this.#projects.get(item.projectId) ?? { sessions: new Map(), reports: 0, bytes: 0 };
    this.#projects.set(item.projectId, queue);
    this.#count(queue, item, 1);
    return queue;
  }

  #count(queue: ProjectQueue, item: Waiting, sign: 1 | -1): void {
    queue.reports += sign;
    queue.bytes += sign * item.bytes;
    this.#reports += sign;
    this.#bytes += sign * item.bytes;
  }
}
