import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FairPlaces, type PlaceBounds } from "../src/fair-places.ts";

interface Waiter {
  readonly owner: string;
  readonly number: number;
}

const bounds: fc.Arbitrary<PlaceBounds> = fc.record({
  places: fc.integer({ min: 1, max: 5 }),
  placesPerOwner: fc.integer({ min: 1, max: 3 }),
  waiting: fc.integer({ min: 0, max: 12 }),
  waitingPerOwner: fc.integer({ min: 0, max: 5 }),
});
const step = fc.record({
  what: fc.constantFrom("ask", "ask", "ask", "leave", "leave", "withdraw"),
  owner: fc.constantFrom("a", "b", "c", "d"),
  which: fc.nat(20),
});

/** What is under way and what waits, told by what the places have answered. */
class Model {
  readonly held: Waiter[] = [];
  readonly waiting: Waiter[] = [];
  /** Of each owner that waits and may begin: how often each other one has begun since. */
  readonly passed = new Map<string, Map<string, number>>();

  of(list: readonly Waiter[], owner: string): number {
    return list.filter((one) => one.owner === owner).length;
  }

  /** Owners whose turn it may be. */
  ready({ placesPerOwner }: PlaceBounds): string[] {
    const owners = new Set(this.waiting.map(({ owner }) => owner));
    return [...owners].filter((owner) => this.of(this.held, owner) < placesPerOwner);
  }
}

function run(limits: PlaceBounds, steps: readonly { what: string; owner: string; which: number }[]): Model {
  const places = new FairPlaces<Waiter>(limits);
  const model = new Model();
  for (const [number, { what, owner, which }] of steps.entries()) {
    if (what === "ask") askOne(places, model, limits, { owner, number });
    if (what === "leave" && model.held.length > 0) leaveOne(places, model, limits, which);
    if (what === "withdraw") withdrawOne(places, model, owner, which);
    expect(model.held.length).toBeLessThanOrEqual(limits.places);
    expect(model.waiting.length).toBeLessThanOrEqual(limits.waiting);
    for (const one of ["a", "b", "c", "d"]) {
      expect(model.of(model.held, one)).toBeLessThanOrEqual(limits.placesPerOwner);
      expect(model.of(model.waiting, one)).toBeLessThanOrEqual(limits.waitingPerOwner);
      expect(places.heldBy(one)).toBe(model.of(model.held, one));
      expect(places.waitingOf(one)).toBe(model.of(model.waiting, one));
    }
    // No place stays free while somebody may have it.
    if (model.held.length < limits.places) expect(model.ready(limits)).toEqual([]);
  }
  return model;
}

function askOne(places: FairPlaces<Waiter>, model: Model, limits: PlaceBounds, waiter: Waiter): void {
  const asked = places.ask(waiter.owner, waiter);
  if (asked === "begins") model.held.push(waiter);
  else if (asked === "waits") model.waiting.push(waiter);
  else if (asked === "owner_full") expect(model.of(model.waiting, waiter.owner)).toBe(limits.waitingPerOwner);
  else expect(model.waiting.length).toBe(limits.waiting);
}

function leaveOne(places: FairPlaces<Waiter>, model: Model, limits: PlaceBounds, which: number): void {
  const [left] = model.held.splice(which % model.held.length, 1);
  const ready = model.ready(limits);
  const next = places.leave(left?.owner ?? "");
  expect(next === null).toBe(ready.length === 0);
  for (const owner of model.passed.keys()) if (!ready.includes(owner)) model.passed.delete(owner);
  if (next === null) return;
  // Of one owner the first to ask is the first to begin.
  expect(next).toBe(model.waiting.find(({ owner }) => owner === next.owner));
  model.waiting.splice(model.waiting.indexOf(next), 1);
  model.held.push(next);
  model.passed.delete(next.owner);
  for (const owner of ready.filter((one) => one !== next.owner)) {
    const passed = model.passed.get(owner) ?? new Map<string, number>();
    passed.set(next.owner, (passed.get(next.owner) ?? 0) + 1);
    model.passed.set(owner, passed);
    // While one waits that may begin, no other begins twice.
    expect(passed.get(next.owner)).toBe(1);
  }
}

function withdrawOne(places: FairPlaces<Waiter>, model: Model, owner: string, which: number): void {
  const own = model.waiting.filter((one) => one.owner === owner);
  const one = own[which % Math.max(1, own.length)];
  if (one === undefined) {
    expect(places.withdraw(owner, { owner, number: -1 })).toBe(false);
    return;
  }
  expect(places.withdraw(owner, one)).toBe(true);
  model.waiting.splice(model.waiting.indexOf(one), 1);
  if (own.length === 1) model.passed.delete(owner);
}

describe("places that owners share", () => {
  test("keep their bounds, stay free for nobody who may begin, and go round the owners, whatever happens", () => {
    fc.assert(
      fc.property(bounds, fc.array(step, { maxLength: 120 }), (limits, steps) => void run(limits, steps)),
      { numRuns: 300 },
    );
  });

  test("one that asks for the first time begins at once beside an owner that has very many waiting", () => {
    const places = new FairPlaces<number>({
      places: 4,
      placesPerOwner: 2,
      waiting: 100,
      waitingPerOwner: 64,
    });
    const asked = Array.from({ length: 64 }, (_, number) => places.ask("loud", number));
    expect(asked.filter((one) => one === "begins")).toHaveLength(2);
    expect(places.ask("quiet", -1)).toBe("begins");
  });

  test("owners take turns, whatever each of them has waiting", () => {
    const places = new FairPlaces<string>({ places: 1, placesPerOwner: 2, waiting: 9, waitingPerOwner: 9 });
    for (const waiter of ["a1", "a2", "a3", "a4", "b1", "b2"]) places.ask(waiter.charAt(0), waiter);
    const begun = ["a", "a", "b", "a", "b"].map((owner) => places.leave(owner));
    expect(begun).toEqual(["a2", "b1", "a3", "b2", "a4"]);
  });

  test("one that was withdrawn does not begin later", () => {
    const places = new FairPlaces<string>({ places: 1, placesPerOwner: 1, waiting: 9, waitingPerOwner: 9 });
    expect(places.ask("a", "first")).toBe("begins");
    expect(places.ask("b", "second")).toBe("waits");
    expect(places.ask("c", "third")).toBe("waits");
    expect(places.withdraw("b", "second")).toBe(true);
    expect(places.withdraw("b", "second")).toBe(false);
    expect(places.leave("a")).toBe("third");
    expect(places.leave("c")).toBeNull();
  });
});
