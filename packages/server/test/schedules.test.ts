import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../../../test/database.ts";
import type { ReportIntake } from "../src/lifecycle/apply.ts";
import type { Report } from "../src/lifecycle/session.ts";
import { type Claim, claimDue } from "../src/outbox/claim.ts";
import { findDue } from "../src/outbox/find.ts";
import { bringUp, type Lane } from "../src/outbox/lane.ts";
import type { AttemptResult } from "../src/outbox/result.ts";
import { afterAttempt } from "../src/outbox/retry.ts";
import { settle } from "../src/outbox/settle.ts";
import { takeOver } from "../src/outbox/takeover.ts";
import {
  callEnded,
  conversationEnded,
  createTestIntake,
  deliveredResult,
  recordingFailed,
} from "./intake.ts";

// Schedules by seed: many sessions at once, each with its reports in an order of its own, and three workers that claim,
// settle, lose hints and die at moments that the seed decides. The statements are the real ones, on a real PostgreSQL;
// what would be a POST is noted instead. One session with what happens to it is one schedule.

const sessionsPerRun = 1_500;

let database: TestDatabase;
let intake: ReportIntake;
/** The run whose commits claim for one of its workers. */
let current: Run | null = null;

beforeAll(async () => {
  database = await createTestDatabase();
  intake = createTestIntake(database.pool, {
    handover: {
      get workerId() {
        return current?.committer.id ?? randomUUID();
      },
      reserve: () => current?.mayClaimWithCommit() ?? false,
      begin: (claim) => current?.begun(claim),
      cancel: () => {},
      follow: (commit) => commit,
    },
  });
});
afterAll(() => database.drop());

const rejected: AttemptResult = {
  ...deliveredResult,
  outcome: "rejected",
  errorCode: "http_error",
  failedStep: "response",
  responseStatus: 500,
};
const result = (delivered: boolean): AttemptResult => (delivered ? deliveredResult : rejected);

/** What one attempt did on the wire that is not there. */
interface Attempt {
  readonly event: string;
  readonly number: number;
  readonly webhookId: string;
  open: boolean;
  /** Its worker died before its outcome was stored. */
  lost: boolean;
}

/** A worker process as far as it matters here. */
interface Worker {
  id: string;
  /** Claimed and not settled yet. */
  claims: Claim[];
  /** Lanes that its settling freed. */
  freed: Lane[];
}

/** One run: its sessions, its workers, and what is seen of them. */
class Run {
  readonly #random: () => number;
  readonly #retries: { attempts: number; windowMs: number } | null;
  readonly projectId = randomUUID();
  readonly scripts = new Map<string, Report[]>();
  readonly wire = new Map<string, Attempt[]>();
  readonly #workers = [0, 1, 2].map(() => ({
    id: randomUUID() as string,
    claims: [] as Claim[],
    freed: [] as Lane[],
  }));

  /** The worker in whose process the reports are committed. It does not die: who commits and dies is chaos/'s matter. */
  readonly committer: Worker = { id: randomUUID(), claims: [], freed: [] };

  constructor(seed: number, retries: boolean) {
    // A generator of 32 bits, so that a seed says all (mulberry32).
    let state = seed >>> 0;
    this.#random = () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
    };
    this.#retries = retries ? { attempts: 3, windowMs: 3_600_000 } : null;
    for (let index = 0; index < sessionsPerRun; index++) this.scripts.set(`s-${index}`, this.#script());
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #shuffled<Item>(items: readonly Item[]): Item[] {
    const left = [...items];
    return items.map(() => left.splice(this.#below(left.length), 1)[0] as Item);
  }

  #script(): Report[] {
    if (this.#random() < 0.3)
      return [conversationEnded("text"), conversationEnded("text")].slice(this.#below(2));
    const facts = [conversationEnded("call"), callEnded, ...(this.#random() < 0.4 ? [recordingFailed] : [])];
    return this.#shuffled(
      this.#random() < 0.3 ? [...facts, facts[this.#below(facts.length)] as Report] : facts,
    );
  }

  async prepare(): Promise<void> {
    current = this;
    await database.pool.query("INSERT INTO projects (project_id, name) VALUES ($1, 'p')", [this.projectId]);
    await database.pool.query(
      `INSERT INTO endpoints (endpoint_id, project_id, kind, url, secret_sealed, events, timeout_ms, retry_attempts,
         retry_window_text, retry_window_ms)
       VALUES ($1, $2, 'project', 'https://example.com/', 's',
         '{session.started,session.ended,call.ended,session.finalized,recording.ready}', 10000, $3, $4, $5)`,
      [
        randomUUID(),
        this.projectId,
        this.#retries?.attempts ?? null,
        this.#retries === null ? null : "1h",
        this.#retries?.windowMs ?? null,
      ],
    );
  }

  mayClaimWithCommit(): boolean {
    return this.#random() < 0.5;
  }

  begun(claim: Claim): void {
    this.#begin(claim);
    this.committer.claims.push(claim);
  }

  /** Two things that happen at once, to two workers. */
  async step(): Promise<void> {
    if (this.#random() < 0.3) await this.#settle(this.committer);
    const [one, other] = this.#shuffled(this.#workers);
    if (one !== undefined && other !== undefined) await Promise.all([this.#act(one), this.#act(other)]);
  }

  async #act(worker: Worker): Promise<void> {
    const dice = this.#random();
    if (dice < 0.35) await this.#report();
    else if (dice < 0.65) await this.#claim(worker, this.#random() < 0.7 ? "first" : "again");
    else if (dice < 0.92) await this.#settle(worker);
    else if (dice < 0.96) await this.#die(worker);
    else await this.#passTime();
  }

  async #report(): Promise<void> {
    const sessions = this.#shuffled([...this.scripts.keys()]).slice(0, 1 + this.#below(300));
    await Promise.all(
      sessions.map((sessionId) => {
        const script = this.scripts.get(sessionId) ?? [];
        const report = script.shift();
        if (script.length === 0) this.scripts.delete(sessionId);
        return report === undefined ? null : intake.apply(this.projectId, sessionId, report);
      }),
    );
  }

  async #claim(worker: Worker, kind: "first" | "again"): Promise<void> {
    // Hints get lost; what they would have told is found without them.
    if (this.#random() < 0.5) await bringUp(database.pool, worker.freed.splice(0));
    const { endpoints } = await findDue(database.pool, kind, { perEndpoint: 600 });
    const room = { limit: 1 + this.#below(600), perEndpoint: 600, endpoints };
    const { claims } = await claimDue(database.pool, worker.id, kind, room);
    for (const claim of claims) {
      if (claim.projectId !== this.projectId) continue;
      this.#begin(claim);
      worker.claims.push(claim);
    }
  }

  /** What must hold at the moment at which a POST would begin. */
  #begin(claim: Claim): void {
    const attempts = this.wire.get(claim.sessionId) ?? [];
    this.wire.set(claim.sessionId, attempts);
    const lane = attempts.filter(({ event }) => event !== "recording.ready");
    const where = `${claim.sessionId} ${claim.event} after ${JSON.stringify(attempts)}`;
    if (claim.event !== "recording.ready") {
      expect(
        lane.some(({ open }) => open),
        `two at once in a lane: ${where}`,
      ).toBe(false);
      const finalized = lane.some(({ event }) => event === "session.finalized");
      const started = claim.event === "session.started";
      expect(started && lane.some(({ event }) => event !== claim.event), `started late: ${where}`).toBe(
        false,
      );
      if (claim.event !== "session.finalized") expect(finalized, `after finalized: ${where}`).toBe(false);
    }
    const before = attempts.filter(({ event }) => event === claim.event);
    const most = this.#retries?.attempts ?? (claim.event === "session.finalized" ? 1 : 2);
    expect(before.length, `too often: ${where}`).toBeLessThan(most);
    if (this.#retries === null)
      expect(
        before.every(({ lost }) => lost),
        `again without a death: ${where}`,
      ).toBe(true);
    expect(claim.attempt, where).toBe(before.length + 1);
    for (const { webhookId } of before) expect(webhookId, where).toBe(claim.webhookId);
    attempts.push({
      event: claim.event,
      number: claim.attempt,
      webhookId: claim.webhookId,
      open: true,
      lost: false,
    });
  }

  #attemptOf(claim: Claim): Attempt {
    const attempt = this.wire
      .get(claim.sessionId)
      ?.find(({ event, number }) => event === claim.event && number === claim.attempt);
    if (attempt === undefined) throw new Error("an attempt that never began");
    return attempt;
  }

  async #settle(worker: Worker): Promise<void> {
    const batch = worker.claims.splice(0, 1 + this.#below(worker.claims.length + 1));
    if (batch.length === 0) return;
    const settlements = batch.map((claim) => {
      this.#attemptOf(claim).open = false;
      const attemptResult = result(this.#random() < 0.7);
      const next = afterAttempt({ ...claim, result: attemptResult }, this.#random());
      // Some with a place for the next one of their lane, some without.
      return { claim, result: attemptResult, recordingUrl: null, next, claimsNext: this.#random() < 0.5 };
    });
    const { stored, claims } = await settle(database.pool, worker.id, settlements);
    expect(stored.size).toBe(batch.length);
    for (const claim of claims) {
      this.#begin(claim);
      worker.claims.push(claim);
    }
    worker.freed.push(...batch.map(({ sessionKey, endpointId }) => ({ sessionKey, endpointId })));
  }

  async #die(worker: Worker): Promise<void> {
    for (const claim of worker.claims.splice(0)) {
      this.#attemptOf(claim).open = false;
      this.#attemptOf(claim).lost = true;
    }
    worker.freed = [];
    await database.pool.query(
      "UPDATE deliveries SET lease_until = now() - interval '1 second' WHERE worker_id = $1",
      [worker.id],
    );
    worker.id = randomUUID();
    // Two that look at once share the work.
    await Promise.all([takeOver(database.pool), takeOver(database.pool)]);
  }

  async #passTime(): Promise<void> {
    // What others work on is left alone, as it is by every statement of the outbox that could otherwise wait crosswise.
    await database.pool.query(
      `UPDATE deliveries SET due_at = now() FROM (
         SELECT delivery_id FROM deliveries WHERE state = 'pending' AND due_at > now() FOR UPDATE SKIP LOCKED) AS waiting
       WHERE deliveries.delivery_id = waiting.delivery_id`,
    );
  }

  /** Goes on until everything has settled. */
  async finish(): Promise<void> {
    for (let round = 0; round < 2_000; round++) {
      await this.step();
      const { rows } = await database.pool.query(
        "SELECT count(*) AS owed FROM deliveries JOIN events USING (event_id) WHERE project_id = $1",
        [this.projectId],
      );
      if (rows[0].owed === 0 && this.scripts.size === 0) return;
    }
    throw new Error("something is stuck: deliveries are owed after 2,000 rounds");
  }

  /** What must hold in the end: every event has one settling row, and one row for each attempt. */
  async checkLog(): Promise<void> {
    const { rows } = await database.pool.query<{ settlings: number; logged: number; deliveries: number }>(
      `SELECT events.deliveries, count(webhook_logs.settled_as) AS settlings, count(webhook_logs.log_id) AS logged
       FROM events LEFT JOIN webhook_logs USING (event_id)
       WHERE events.project_id = $1 GROUP BY events.event_id`,
      [this.projectId],
    );
    expect(rows.every((row) => row.settlings === 1 && row.deliveries === 1)).toBe(true);
    const begun = [...this.wire.values()].flat().length;
    expect(rows.reduce((sum, row) => sum + row.logged, 0)).toBe(begun);
    expect(rows.length).toBeGreaterThan(sessionsPerRun * 3);
  }
}

describe("whatever the schedule", () => {
  test("lanes stay in order, nothing is sent too often, and everything settles once", {
    timeout: 240_000,
  }, async () => {
    const begunMs = performance.now();
    let schedules = 0;
    await fc.assert(
      fc.asyncProperty(fc.integer(), fc.boolean(), async (seed, retries) => {
        const run = new Run(seed, retries);
        await run.prepare();
        await run.finish();
        await run.checkLog();
        schedules += sessionsPerRun;
      }),
      { numRuns: 5, endOnFailure: true },
    );
    const perMinute = Math.round((schedules / (performance.now() - begunMs)) * 60_000);
    console.log(`${schedules} schedules, ${perMinute} a minute`);
  });
});
