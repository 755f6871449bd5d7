import { setTimeout as sleep } from "node:timers/promises";

/** A place that an upload has while it is under way. */
export interface Place {
  /** Waits until the project's uploads may bring so many bytes more. */
  pace(bytes: number): Promise<void>;
  free(): void;
}

/** Places for uploads in one process. */
export class Places {
  readonly #total: number;
  readonly #projectMax: number;
  readonly #rateMax: number;
  readonly #projects = new Map<string, { held: number; nextMs: number }>();
  #held = 0;

  /**
   * @param projectMax most of one project.
   * @param rateMax bytes a second of all uploads of a project.
   */
  constructor(total: number, projectMax: number, rateMax: number) {
    this.#total = total;
    this.#projectMax = projectMax;
    this.#rateMax = rateMax;
  }

  /** @returns null: there is none for this project. */
  take(projectId: string): Place | null {
    const project = this.#projects.get(projectId) ?? { held: 0, nextMs: 0 };
    if (!mayTake(project.held, this.#total - this.#held, this.#projectMax)) return null;
    this.#projects.set(projectId, project);
    project.held += 1;
    this.#held += 1;
    return {
      pace: async (bytes) => {
        const now = performance.now();
        const waitMs = project.nextMs - now;
        project.nextMs = Math.max(now, project.nextMs) + (bytes / this.#rateMax) * 1_000;
        if (waitMs > 0) await sleep(waitMs);
      },
      free: () => {
        project.held -= 1;
        this.#held -= 1;
        if (project.held === 0) this.#projects.delete(projectId);
      },
    };
  }
}

/**
 * Whether a project that holds places may have one more. It has never more than are left free: so a few projects that
 * take all they can leave some for those that come later.
 */
export const mayTake = (held: number, free: number, projectMax: number): boolean =>
  held < projectMax && held < free;
