/** How many may be under way, and how many may wait. */
export interface PlaceBounds {
  readonly places: number;
  readonly placesPerOwner: number;
  readonly waiting: number;
  readonly waitingPerOwner: number;
}

/** What becomes of one who asks: it begins, it waits, or there is no room to wait for its owner, or for anybody. */
export type Asked = "begins" | "waits" | "owner_full" | "full";

/**
 * Places of something that owners share, such as connections of a pool: a bound for each owner and for all, and fair turns
 * when they are taken. Owners take turns whatever each of them has waiting; of one owner the first to ask is the first to
 * begin. It keeps no time and starts nothing.
 */
export class FairPlaces<Waiter> {
  readonly #bounds: PlaceBounds;
  readonly #held = new Map<string, number>();
  #heldInAll = 0;
  /** By owner, in the order of their turns: whose turn it was goes to the end. */
  readonly #waiting = new Map<string, Waiter[]>();
  #waitingInAll = 0;

  constructor(bounds: PlaceBounds) {
    this.#bounds = bounds;
  }

  /** Asks for a place. One that begins has it until {@link leave}; one that waits is answered by a leave of another. */
  ask(owner: string, waiter: Waiter): Asked {
    const { places, waiting, waitingPerOwner } = this.#bounds;
    const own = this.#waiting.get(owner);
    if (own === undefined && this.#heldInAll < places && this.#mayHold(owner)) {
      this.#hold(owner);
      return "begins";
    }
    if ((own?.length ?? 0) >= waitingPerOwner) return "owner_full";
    if (this.#waitingInAll >= waiting) return "full";
    if (own === undefined) this.#waiting.set(owner, [waiter]);
    else own.push(waiter);
    this.#waitingInAll += 1;
    return "waits";
  }

  /** Gives a place back. @returns who begins instead, or null. */
  leave(owner: string): Waiter | null {
    const held = this.heldBy(owner) - 1;
    if (held > 0) this.#held.set(owner, held);
    else this.#held.delete(owner);
    this.#heldInAll -= 1;
    for (const [next, waiters] of this.#waiting) {
      if (!this.#mayHold(next)) continue;
      const waiter = waiters.shift() as Waiter;
      this.#waiting.delete(next);
      if (waiters.length > 0) this.#waiting.set(next, waiters);
      this.#waitingInAll -= 1;
      this.#hold(next);
      return waiter;
    }
    return null;
  }

  /** Takes back an asking that waits. @returns whether it still waited. */
  withdraw(owner: string, waiter: Waiter): boolean {
    const waiters = this.#waiting.get(owner);
    const index = waiters?.indexOf(waiter) ?? -1;
    if (waiters === undefined || index < 0) return false;
    waiters.splice(index, 1);
    if (waiters.length === 0) this.#waiting.delete(owner);
    this.#waitingInAll -= 1;
    return true;
  }

  heldBy(owner: string): number {
    return this.#held.get(owner) ?? 0;
  }

  waitingOf(owner: string): number {
    return this.#waiting.get(owner)?.length ?? 0;
  }

  #mayHold(owner: string): boolean {
    return this.heldBy(owner) < this.#bounds.placesPerOwner;
  }

  #hold(owner: string): void {
    this.#held.set(owner, this.heldBy(owner) + 1);
    this.#heldInAll += 1;
  }
}
