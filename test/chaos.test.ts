// The checker of the chaos rig, seen failing: one small history that keeps every promise, and for each invariant the
// same history with one thing wrong.
import { describe, expect, test } from "vitest";
import { invariants } from "../chaos/src/checker/check.ts";
import { Patience } from "../chaos/src/checker/patience.ts";
import { usableNs } from "../chaos/src/checker/uptime.ts";
import { createRandom } from "../chaos/src/random.ts";
import { type SinkEntry, SinkView, storedForm } from "../chaos/src/sink-log.ts";
import { broken } from "./chaos-broken.ts";
import { brokenByMoves } from "./chaos-broken-moves.ts";
import { deliver, eventOf, found, loseAttempt, ns } from "./chaos-history.ts";

const bad = [...broken, ...brokenByMoves];

test("a history that keeps every promise has no violations", () => {
  expect(found(() => {})).toEqual([]);
});

test("so has one in which a worker died: other events are sent again, session.finalized is unknown", () => {
  const again = found((draft) => {
    loseAttempt(draft, "recording.ready", false);
    deliver(draft, eventOf(draft, "recording.ready"), 8_000, 2);
    loseAttempt(draft, "session.finalized", true);
  });
  expect(again).toEqual([]);
});

describe("a history with one thing wrong", () => {
  test.each(bad)("%s: %s", (invariant, what, bend) => {
    const violations = found(bend);
    expect(violations).toContainEqual(expect.stringMatching(new RegExp(`^${invariant} .*${what.source}`)));
  });

  test("every invariant is seen failing", () => {
    expect([...new Set(bad.map(([invariant]) => invariant))].sort()).toEqual(Object.keys(invariants).sort());
  });
});

describe("what the checker counts with", () => {
  test("time counts only while the system works, from a second after it came up", () => {
    const windows = [
      { fromNs: ns(0), toNs: ns(5_000) },
      { fromNs: ns(10_000), toNs: ns(10_900) },
      { fromNs: ns(20_000), toNs: ns(30_000) },
    ];
    expect(usableNs(new Patience([]), windows, ns(3_000), ns(24_000))).toBe(ns(2_000 + 0 + 3_000));
  });

  test("the stored form of a body is the body without its recordingUrl", () => {
    expect(storedForm('{"success":true,"recordingUrl":"http://x/y?expires=1"}')).toBe('{"success":true}');
    expect(storedForm('{"success":false}')).toBe('{"success":false}');
  });

  test("a request is closed by what comes first: the answer sent, or the connection gone", () => {
    const view = new SinkView();
    const begin = { t: "begin", path: "/fast", headers: {}, wallMs: 0 } as const;
    const entries: SinkEntry[] = [
      { ...begin, id: 1, ns: 1 },
      { ...begin, id: 2, ns: 2 },
      { t: "sent", id: 1, ns: 3 },
      { t: "closed", id: 1, ns: 9 },
    ];
    view.add(entries);
    expect(view.requests().map((request) => request.closedNs)).toEqual([3, null]);
    expect(view.open().map((request) => request.id)).toEqual([2]);
  });

  test("a seed decides the dice", () => {
    const [first, second] = ["7", "7"].map((seed) => {
      const random = createRandom(seed).fork("kills");
      return Array.from({ length: 5 }, () => random.int(0, 1_000));
    });
    expect(first).toEqual(second);
  });
});
