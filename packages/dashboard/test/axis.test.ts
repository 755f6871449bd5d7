import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { axisOf, labelled } from "../src/lanes/axis.ts";

const moments = fc.array(fc.integer({ min: 0, max: 10_000_000_000 }), { minLength: 1, maxLength: 40 });

describe("the axis of a session's time", () => {
  test("keeps order: what came later stands to the right, and nothing leaves 0 to 1", () => {
    fc.assert(
      fc.property(moments, (all) => {
        const axis = axisOf(all, []);
        const sorted = [...new Set(all)].sort((one, other) => one - other);
        const places = sorted.map(axis.at);
        for (const [index, place] of places.entries()) {
          expect(place).toBeGreaterThanOrEqual(0);
          expect(place).toBeLessThanOrEqual(1 + 1e-9);
          if (index > 0) expect(place).toBeGreaterThan(places[index - 1] ?? 0);
        }
      }),
    );
  });

  test("gives a longer break more room than a shorter one, and far less than its share of the time", () => {
    const hour = 3_600_000;
    const { breaks, at } = axisOf([0, 2_000, 2_010, 2_010 + hour, 2_020 + hour], []);
    expect(breaks.map(({ lengthMs }) => lengthMs)).toEqual([2_000, hour]);
    const [short, long] = breaks.map(({ from, to }) => to - from);
    expect(long).toBeGreaterThan(short ?? 1);
    expect(at(2_010) - at(2_000)).toBeGreaterThan(0.05);
  });

  test("draws no break through an attempt, however long it took", () => {
    expect(
      axisOf([0, 10_000, 15_000], [{ from: 0, to: 10_000 }]).breaks.map(({ lengthMs }) => lengthMs),
    ).toEqual([5_000]);
  });

  test("labels no two stops closer than a label is wide, and always the first", () => {
    fc.assert(
      fc.property(moments, fc.double({ min: 0.01, max: 0.5, noNaN: true }), (all, share) => {
        const shown = labelled(axisOf(all, []).stops, share);
        expect(shown[0]?.at).toBe(0);
        for (const [index, stop] of shown.entries()) {
          if (index > 0) expect(stop.at - (shown[index - 1]?.at ?? 0)).toBeGreaterThanOrEqual(share - 1e-9);
        }
      }),
    );
  });
});
