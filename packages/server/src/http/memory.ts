/** Memory that requests hold while they are under way, bounded for each owner and in all. */
export interface Memory {
  /**
   * Takes a number of bytes.
   *
   * @returns whose bound they would exceed, when they were not taken.
   */
  take(owner: string, bytes: number): "owner" | "all" | null;
  /** Gives bytes back. */
  release(owner: string, bytes: number): void;
}

/** @param bounds bytes. One who holds nothing may take more than its bound, and all may when nobody holds anything. */
export function createMemory(bounds: { readonly perOwner: number; readonly inAll: number }): Memory {
  const held = new Map<string, number>();
  let all = 0;
  return {
    take(owner, bytes) {
      const own = held.get(owner) ?? 0;
      // Else one that is larger than the bound could never be answered.
      if (own > 0 && own + bytes > bounds.perOwner) return "owner";
      if (all > 0 && all + bytes > bounds.inAll) return "all";
      held.set(owner, own + bytes);
      all += bytes;
      return null;
    },
    release(owner, bytes) {
      const own = (held.get(owner) ?? 0) - bytes;
      if (own > 0) held.set(owner, own);
      else held.delete(owner);
      all -= bytes;
    },
  };
}
