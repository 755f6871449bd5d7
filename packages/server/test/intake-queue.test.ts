import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Waiting } from "../src/lifecycle/batch.ts";
import { IntakeQueue } from "../src/lifecycle/intake-queue.ts";

const item = (projectId: string, sessionId: string, sinceMs = 0, bytes = 1): Waiting => ({
  projectId,
  sessionId,
  report: { type: "deadline" },
  bytes,
  sinceMs,
  conflicts: 0,
  resolve: () => {},
  reject: () => {},
});

const roomy = { reportsMax: 1_000_000, bytesMax: 1_000_000_000 };
const names = fc.constantFrom("a", "b", "c");

const steps = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant("add" as const), projectId: names, sessionId: names }),
    fc.record({
      do: fc.constant("take" as const),
      sessions: fc.integer({ min: 1, max: 4 }),
      back: fc.boolean(),
    }),
    fc.record({ do: fc.constant("expire" as const), age: fc.integer({ min: 0, max: 10 }) }),
  ),
  { maxLength: 60 },
);

describe("a queue of reports", () => {
  test("gives each report once, those of a session in their order, whatever is taken, put back and removed", () => {
    fc.assert(
      fc.property(steps, (plan) => {
        const queue = new IntakeQueue(roomy);
        const added: Waiting[] = [];
        const out: Waiting[] = [];
        for (const [nowMs, step] of plan.entries()) {
          if (step.do === "add") {
            const one = item(step.projectId, step.sessionId, nowMs);
            added.push(one);
            queue.add(one);
          } else if (step.do === "take") {
            const taken = [...queue.take(step.sessions).values()].flat();
            if (step.back) queue.putBack(taken);
            else out.push(...taken);
          } else out.push(...queue.removeOlderThan(nowMs - step.age));
          expect(queue.size).toBe(added.length - out.length);
        }
        out.push(...[...queue.take(Number.POSITIVE_INFINITY).values()].flat());
        expect(queue.size).toBe(0);
        expect(new Set(out).size).toBe(added.length);
        const ofSession = (items: Waiting[], one: Waiting): Waiting[] =>
          items.filter(
            ({ projectId, sessionId }) => projectId === one.projectId && sessionId === one.sessionId,
          );
        for (const one of added) expect(ofSession(out, one)).toEqual(ofSession(added, one));
      }),
    );
  });

  test("a project with a few sessions has its turn in the next commit, however many another one has", () => {
    const queue = new IntakeQueue(roomy);
    for (let index = 0; index < 5_000; index += 1) queue.add(item("flood", `s${index}`));
    for (let index = 0; index < 10; index += 1) queue.add(item("few", `s${index}`));
    const taken = [...queue.take(128).values()].flat();
    expect(taken.filter(({ projectId }) => projectId === "few").length).toBe(10);
    expect(taken.length).toBe(128);
  });

  test("when it is full, those with less than an equal share have room and the others do not", () => {
    const queue = new IntakeQueue({ reportsMax: 100, bytesMax: 1_000_000 });
    for (let index = 0; queue.hasRoom("flood"); index += 1) queue.add(item("flood", `s${index}`));
    expect(queue.sizeOf("flood")).toBe(100);
    for (let index = 0; queue.hasRoom("few"); index += 1) queue.add(item("few", `s${index}`));
    expect(queue.sizeOf("few")).toBe(50);
    expect(queue.hasRoom("third")).toBe(true);
    expect(queue.hasRoom("flood")).toBe(false);
  });

  test("bytes are bounded as reports are", () => {
    const queue = new IntakeQueue({ reportsMax: 1_000_000, bytesMax: 1_000 });
    for (let index = 0; queue.hasRoom("flood"); index += 1) queue.add(item("flood", `s${index}`, 0, 100));
    expect(queue.sizeOf("flood")).toBe(10);
    expect(queue.hasRoom("few")).toBe(true);
  });

  test("however many projects there are, twice the bounds are never passed", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 400 }), (projects) => {
        const queue = new IntakeQueue({ reportsMax: 20, bytesMax: 1_000_000 });
        for (const [index, project] of projects.entries()) {
          if (queue.hasRoom(`p${project}`)) queue.add(item(`p${project}`, `s${index}`));
        }
        expect(queue.size).toBeLessThanOrEqual(40);
      }),
    );
  });
});
