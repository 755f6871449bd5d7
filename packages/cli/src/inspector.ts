import { InspectedRequest } from "@sendoff/contract";
import { Api, dataOf, errorSentence, NoAnswer } from "./api.ts";
import { isPassing } from "./patience.ts";

const pageSize = 1_000;

/**
 * How long a request may take to become visible after one with a higher id, in ms. Ids are given when a request is
 * written, and two that are written at once can be committed in either order.
 */
const settlingMs = 1_000;

/** Follows the requests that the built-in inspector receives. Each is given once. */
export class InspectorReader {
  readonly #api: Api;
  readonly #query: string;
  /** Everything up to this id was given and nothing before it can still appear. */
  #after = 0n;
  /** Ids after `#after` that were given, and when, by the monotonic clock. */
  readonly #given = new Map<bigint, number>();

  constructor(inspectorUrl: string) {
    const { origin, pathname, search } = new URL(inspectorUrl);
    this.#api = new Api(`${origin}${pathname}`, null, 1);
    this.#query = search === "" ? "?" : `${search}&`;
  }

  /** Skips what is there already. */
  async skipToEnd(): Promise<void> {
    this.#after = await this.#lastId();
  }

  /** What arrived since the last call, oldest first. @throws {NoAnswer} when the server is away. */
  async read(): Promise<InspectedRequest[]> {
    const fresh: InspectedRequest[] = [];
    let cursor = this.#after;
    for (;;) {
      const page = await this.#page(cursor, pageSize);
      for (const request of page) {
        const id = BigInt(request.id);
        cursor = id > cursor ? id : cursor;
        if (this.#given.has(id)) continue;
        this.#given.set(id, performance.now());
        fresh.push(request);
      }
      // A page ends by its bytes, too: a short one says nothing of what follows.
      if (page.length === 0) break;
    }
    this.#forget();
    return fresh;
  }

  close(): Promise<void> {
    return this.#api.close();
  }

  /** Moves past what was given so long ago that nothing with a lower id can still appear. */
  #forget(): void {
    const oldEnough = performance.now() - settlingMs;
    const ids = [...this.#given.keys()].sort((left, right) => (left < right ? -1 : 1));
    for (const id of ids) {
      if ((this.#given.get(id) ?? 0) > oldEnough) break;
      this.#after = id;
      this.#given.delete(id);
    }
  }

  /** The highest id, found by halving: the inspector has no query for it, and reading all of it could take long. */
  async #lastId(): Promise<bigint> {
    let low = 0n;
    let high = 1n;
    while ((await this.#page(high, 1)).length > 0) {
      low = high;
      high *= 16n;
    }
    while (low < high) {
      const middle = (low + high) / 2n;
      const next = (await this.#page(middle, 1))[0];
      if (next === undefined) high = middle;
      else low = BigInt(next.id);
    }
    return low;
  }

  async #page(after: bigint, limit: number): Promise<InspectedRequest[]> {
    const answer = await this.#api.request("GET", `${this.#query}after=${after}&limit=${limit}`);
    if (isPassing(answer.status)) throw new NoAnswer("the inspector", new Error(errorSentence(answer)));
    const requests = InspectedRequest.array().safeParse(dataOf(answer, "The inspector"));
    if (!requests.success) {
      throw new Error("The inspector's answer is not what this version of sendoff expects.");
    }
    return requests.data;
  }
}
