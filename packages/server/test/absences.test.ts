import { describe, expect, test } from "vitest";
import { createAbsences } from "../src/dispatch/absences.ts";

function absencesAt(start = 0) {
  let nowMs = start;
  const absences = createAbsences({ monotonicMs: () => nowMs, wallMs: () => nowMs });
  return {
    absences,
    pass: (ms: number) => {
      nowMs += ms;
    },
    unreachable: (times: number) => {
      for (let time = 0; time < times; time++) absences.heard("one", "unreachable");
    },
  };
}

describe("endpoints at which nobody is reached", () => {
  test("seven failures in a row are not believed, eight are, for a second", () => {
    const { absences, pass, unreachable } = absencesAt();
    unreachable(7);
    expect(absences.isPaused("one")).toBe(false);
    unreachable(1);
    expect(absences.isPaused("one")).toBe(true);
    expect(absences.isPaused("another")).toBe(false);
    pass(999);
    expect(absences.isPaused("one")).toBe(true);
    pass(1);
    expect(absences.isPaused("one")).toBe(false);
  });

  test("what was under way does not make a pause longer, and the next failure begins the next one", () => {
    const { absences, pass, unreachable } = absencesAt();
    unreachable(8);
    pass(900);
    unreachable(20);
    pass(100);
    expect(absences.isPaused("one")).toBe(false);
    unreachable(1);
    expect(absences.isPaused("one")).toBe(true);
  });

  test.each(["delivered", "rejected"] as const)("an answer ends it: %s", (outcome) => {
    const { absences, unreachable } = absencesAt();
    unreachable(8);
    absences.heard("one", outcome);
    expect(absences.isPaused("one")).toBe(false);
    unreachable(7);
    expect(absences.isPaused("one")).toBe(false);
  });

  test("a time-out says nothing, either way", () => {
    const { absences, unreachable } = absencesAt();
    unreachable(7);
    absences.heard("one", "timed_out");
    expect(absences.isPaused("one")).toBe(false);
    unreachable(1);
    expect(absences.isPaused("one")).toBe(true);
  });
});
