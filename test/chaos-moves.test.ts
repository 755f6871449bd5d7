// The moves of the chaos rig, and what its checker does not count against a server.
import { describe, expect, test } from "vitest";
import { check } from "../chaos/src/checker/check.ts";
import { evidenceOf } from "../chaos/src/checker/evidence.ts";
import { Patience } from "../chaos/src/checker/patience.ts";
import { coverageOf, notMade, tooLow } from "../chaos/src/coverage.ts";
import { deal } from "../chaos/src/deck.ts";
import { moveNames } from "../chaos/src/history.ts";
import { createRandom } from "../chaos/src/random.ts";
import { awayFromMs, beginAt, makeMove, moveOf, readyAt } from "./chaos-broken-moves.ts";
import { type Draft, found, goodDraft, historyOf, loseAttempt, ns } from "./chaos-history.ts";

const leaseMs = 5_500;
/** As many cards as a deck has. */
const deckOf = (seed: string) =>
  [...Array(17).keys()].map(
    (
      (cards) => () =>
        cards.next().value
    )(deal(createRandom(seed), leaseMs, null)),
  );

describe("the decks of moves", () => {
  test("one has every move, and seven outages that are longer than a lease", () => {
    const deck = deckOf("1");
    expect(new Set(deck.map((card) => card?.name))).toEqual(new Set(moveNames));
    const outages = deck.filter((card) => card?.name === "outage").map((card) => card?.ms ?? 0);
    expect(outages.filter((ms) => ms > leaseMs)).toHaveLength(7);
    expect(Math.min(...outages)).toBeGreaterThanOrEqual(5_000);
    expect(Math.max(...outages)).toBeGreaterThan(11_999);
    expect(Math.max(...outages)).toBeLessThanOrEqual(40_000);
  });

  test("the seed decides them", () => {
    expect(deckOf("7")).toEqual(deckOf("7"));
    expect(deckOf("7")).not.toEqual(deckOf("8"));
  });

  test("moves that are named are dealt once each, in their order", () => {
    const cards = [...deal(createRandom("1"), leaseMs, ["lock", "outage", "lock"])];
    expect(cards.map(({ name }) => name)).toEqual(["lock", "outage", "lock"]);
  });
});

const awayBut = (more: (draft: Draft) => void) =>
  found((draft) => {
    makeMove(draft, "outage", 20_900);
    beginAt(draft, 21_900);
    more(draft);
  });

describe("what is not counted against a server", () => {
  test("reports that are taken within 1 s of PostgreSQL's return, and attempts that begin within 2 s", () => {
    expect(awayBut(() => {})).toEqual([]);
  });

  test("that a process was ready for as long as its probe may take", () => {
    expect(awayBut((draft) => draft.readiness.push(readyAt(awayFromMs + 2_900)))).toEqual([]);
  });

  test("a process that was killed meanwhile goes on when it has started", () => {
    const late = (draft: Draft): void => {
      makeMove(draft, "outage", 23_000);
      draft.availability.splice(3, 0, {
        ns: ns(15_000),
        member: "all-1",
        roles: ["api", "worker"],
        up: false,
      });
      draft.availability.push({ ns: ns(23_000), member: "all-1", roles: ["api", "worker"], up: true });
    };
    expect(found(late)).toEqual([]);
  });

  test("an attempt that a living process has sent, and of which nobody knows how it ended", () => {
    const lost = (draft: Draft): void => {
      draft.moves.push({ ...moveOf("outage"), fromNs: ns(1_000), toNs: ns(7_000) });
      draft.faults.splice(0);
      loseAttempt(draft, "recording.ready", true);
    };
    expect(found(lost)).not.toContainEqual(expect.stringMatching(/^L7/));
  });
});

test("a second on a busy machine is over when the rig's own timer has fired as often as in a second", () => {
  const busy = new Patience(Array.from({ length: 100 }, (_, index) => ({ ns: ns(200 * index) })));
  expect(busy.after(ns(0), ns(1_000))).toBe(ns(4_000));
  expect(busy.before(ns(10_000), ns(1_000))).toBe(ns(6_200));
  expect(busy.elapsed(ns(0), ns(4_000))).toBe(ns(1_050));
  const idle = new Patience(Array.from({ length: 100 }, (_, index) => ({ ns: ns(50 * index) })));
  expect(idle.after(ns(0), ns(1_000))).toBe(ns(1_000));
  expect(idle.elapsed(ns(0), ns(1_000))).toBe(ns(1_000));
});

describe("whether a run has tried enough", () => {
  const coverage = () => {
    const draft = goodDraft();
    makeMove(draft, "outage", 20_000);
    const history = historyOf(draft);
    expect(check(history).length).toBeGreaterThan(0);
    return coverageOf(history, evidenceOf(history), 0);
  };

  test("moves are counted, outages that are longer than the lease apart", () => {
    expect(coverage()).toMatchObject({
      moves: { outage: 1, lock: 0 },
      outagesBeyondLease: 1,
      returnsJudged: 1,
    });
  });

  test("each move has a floor; a full disk only where it can be made", () => {
    const all = tooLow(coverage(), 300, true).join("\n");
    for (const name of moveNames) expect(all).toContain(`moves ${name} is`);
    expect(all).toContain("outagesBeyondLease is 1, expected at least 7");
    expect(tooLow(coverage(), 300, false).join("\n")).not.toContain("full-disk");
  });

  test("a move that was asked for by name and not made is told", () => {
    expect(notMade(coverage(), ["outage", "outage", "full-disk"], false)).toEqual([
      "outage was made 1 times, asked for were 2",
    ]);
  });
});
