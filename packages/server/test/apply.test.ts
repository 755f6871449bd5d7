import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../../../test/database.ts";
import type { ReportIntake } from "../src/lifecycle/apply.ts";
import type { Report } from "../src/lifecycle/session.ts";
import type { Refusal } from "../src/refusal.ts";
import { callEnded, conversationEnded as conversation, createTestIntake } from "./intake.ts";

let database: TestDatabase;
const projectId = randomUUID();

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

const newIntake = (): ReportIntake => createTestIntake(database.pool);

const conversationEnded = (variables = "{}"): Report => conversation("text", variables);

async function eventsOf(sessionId: string): Promise<string[]> {
  const { rows } = await database.pool.query<{ event: string }>(
    `SELECT events.event FROM events JOIN sessions USING (session_key)
     WHERE session_id = $1 ORDER BY event_id`,
    [sessionId],
  );
  return rows.map((row) => row.event);
}

describe("the intake of reports", () => {
  test("one report is answered when it is committed, with the events it emitted", async () => {
    const applied = await newIntake().apply(projectId, "one", conversationEnded());
    expect(applied).toMatchObject({ duplicate: false, events: ["session.ended", "session.finalized"] });
    expect(await eventsOf("one")).toEqual(["session.ended", "session.finalized"]);
  });

  test("a thousand of the same at once are one transition and a thousand answers", async () => {
    const intake = newIntake();
    const answers = await Promise.all(
      Array.from({ length: 1_000 }, () => intake.apply(projectId, "same", conversationEnded())),
    );
    expect(answers.filter((answer) => !answer.duplicate).length).toBe(1);
    expect(await eventsOf("same")).toEqual(["session.ended", "session.finalized"]);
  });

  test("reports of a project are committed next, however many of another project came before them", async () => {
    const intake = newIntake();
    const order: string[] = [];
    const send = async (project: string, sessionId: string): Promise<void> => {
      await intake.apply(project, sessionId, callEnded);
      order.push(project);
    };
    const other = randomUUID();
    const flood = Array.from({ length: 2_000 }, (_, index) => send(projectId, `many-${index}`));
    const calm = Array.from({ length: 20 }, (_, index) => send(other, `calm-${index}`));
    await Promise.all([...flood, ...calm]);
    // One commit of 128 may be under way before them; they are in the next.
    expect(order.lastIndexOf(other)).toBeLessThan(256);
  });

  test("several intakes on one session conflict, try again, and agree on one first report", async () => {
    const intakes = Array.from({ length: 4 }, () => newIntake());
    const answers = await Promise.allSettled(
      Array.from({ length: 80 }, (_, index) =>
        (intakes[index % 4] as ReportIntake).apply(
          projectId,
          "contested",
          conversationEnded(`{"from":${index % 4}}`),
        ),
      ),
    );
    const taken = answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []));
    expect(taken.filter((answer) => !answer.duplicate).length).toBe(1);
    const refused = answers.flatMap((answer) => (answer.status === "rejected" ? [answer.reason] : []));
    expect(taken.length).toBe(20);
    expect(refused.length).toBe(60);
    for (const reason of refused) expect(reason).toMatchObject({ code: "report_contradicts", status: 409 });
    expect(await eventsOf("contested")).toEqual(["session.ended", "session.finalized"]);
  });

  test("reports of one session are decided in the order of their arrival", async () => {
    const intake = newIntake();
    const progress = (count: number): Report => ({
      type: "progress",
      currentNodeId: null,
      messagesCount: count,
      extractedVariables: `{"n":${count}}`,
    });
    await Promise.all(
      Array.from({ length: 50 }, (_, index) => intake.apply(projectId, "ordered", progress(index))),
    );
    const { rows } = await database.pool.query(
      "SELECT messages_count, extracted_variables FROM sessions WHERE session_id = 'ordered'",
    );
    expect(rows).toEqual([{ messages_count: 49, extracted_variables: '{"n":49}' }]);
  });

  test("what the tables refuse fails alone; the others of its batch are committed", async () => {
    const intake = newIntake();
    // The first report occupies the intake, so that the rest go in one batch.
    const first = intake.apply(projectId, "batch-0", conversationEnded());
    const wrong = intake.apply(projectId, "not an id", conversationEnded());
    const others = [1, 2, 3].map((index) => intake.apply(projectId, `batch-${index}`, conversationEnded()));
    await first;
    await expect(wrong).rejects.toThrow(/session_id/);
    expect((await Promise.all(others)).map((applied) => applied.duplicate)).toEqual([false, false, false]);
    expect(await eventsOf("batch-2")).toEqual(["session.ended", "session.finalized"]);
  });

  test("an intake that drains answers what it has taken and refuses the next", async () => {
    const intake = newIntake();
    const taken = Array.from({ length: 30 }, (_, index) =>
      intake.apply(projectId, `drain-${index}`, conversationEnded()),
    );
    const drained = intake.drain();
    await expect(intake.apply(projectId, "too-late", conversationEnded())).rejects.toMatchObject({
      code: "draining",
      status: 503,
      headers: { "retry-after": "1" },
    });
    await drained;
    expect((await Promise.all(taken)).length).toBe(30);
  });

  test("more waiting reports than may wait are refused before memory grows", async () => {
    const intake = newIntake();
    const answers = await Promise.allSettled(
      Array.from({ length: 10_100 }, (_, index) =>
        intake.apply(projectId, `flood-${index % 50}`, conversationEnded()),
      ),
    );
    const refused = answers.flatMap((answer) =>
      answer.status === "rejected" ? [answer.reason as Refusal] : [],
    );
    expect(refused.length).toBeGreaterThanOrEqual(50);
    for (const refusal of refused) expect(refusal.code).toBe("overloaded");
  });
});

describe("when PostgreSQL does not answer", () => {
  test("P26: a report gets 503 and no 2xx, and the same report is taken when it answers again", async () => {
    const intake = newIntake();
    const { pool } = database;
    // A real failure of a real connection: the server ends it while the statement runs.
    const blocker = await pool.connect();
    await blocker.query("BEGIN; LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE");
    const report = intake.apply(projectId, "gone", conversationEnded());
    const outcome = expect(report).rejects.toMatchObject({ code: "database_unavailable", status: 503 });
    for (let killed = 0; killed === 0; ) {
      // Not on the blocking connection: within a transaction what it sees of others stands still.
      const { rowCount } = await pool.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%sessions%'`,
      );
      killed = rowCount ?? 0;
    }
    await outcome;
    await blocker.query("ROLLBACK");
    blocker.release();
    const again = await intake.apply(projectId, "gone", conversationEnded());
    expect(again.duplicate).toBe(false);
    expect(await eventsOf("gone")).toEqual(["session.ended", "session.finalized"]);
  });
});
