import type { RunOptions } from "../options.ts";
import type { Patch } from "../workspace.ts";

/** The system with one rule broken on purpose. The rig must find it. */
export interface Mutant {
  readonly name: string;
  /** The rule that is broken. */
  readonly rule: string;
  readonly patches: readonly Patch[];
  /** A violation of one of these is what finds it. */
  readonly expected: readonly string[];
  /** How the run is aimed at it. */
  readonly options: Partial<RunOptions>;
}

const claim = "server/dist/outbox/claim.js";
const settler = "server/dist/dispatch/settler.js";
const guard = "server/dist/egress/guard.js";
const noFaults: Partial<RunOptions> = { killsPerSecond: 0, stopsPerMinute: 0, seconds: 10 };
const postgresOnly = { worker: 0, api: 0, postgres: 1 };

/** Source: guarantees, "The proof". */
export const mutants: readonly Mutant[] = [
  {
    name: "ack-before-commit",
    rule: "a report is answered 2xx only after its commit",
    patches: [
      {
        file: "server/dist/lifecycle/apply.js",
        from: "const { saved, owed, hints } = await writeBatch(parts, changed, subscribersOf);",
        to: `for (const group of groups) answer(parts, group);
        await new Promise((resolve) => setTimeout(resolve, 20));
        const { saved, owed, hints } = await writeBatch(parts, changed, subscribersOf);`,
      },
    ],
    expected: ["I1", "I13"],
    options: { killsPerSecond: 0.7, stopsPerMinute: 0, weights: { worker: 0, api: 1, postgres: 1 } },
  },
  {
    name: "no-lane-check",
    rule: "in a lane only the earliest unsettled delivery is claimed",
    patches: [
      {
        file: claim,
        from: "AND before.delivery_id + 0 < candidate.delivery_id) AS earlier",
        to: "AND before.delivery_id + 0 < candidate.delivery_id AND false) AS earlier",
      },
    ],
    expected: ["I3"],
    options: noFaults,
  },
  {
    name: "takeover-resends-finalized",
    rule: "a session.finalized whose worker died is not sent again",
    patches: [
      {
        file: "server/dist/outbox/takeover.js",
        from: "events.event_id = deliveries.event_id) <> 'session.finalized' THEN 2",
        to: "events.event_id = deliveries.event_id) IS NOT NULL THEN 2",
      },
    ],
    expected: ["I2"],
    options: { killsPerSecond: 0.6, stopsPerMinute: 0, weights: { worker: 1, api: 0, postgres: 0 } },
  },
  {
    name: "lease-shorter-than-timeout",
    rule: "a claim outlasts its attempt",
    patches: [
      { file: claim, from: "leaseMarginMs = 4_500", to: "leaseMarginMs = -700" },
      { file: claim, from: "stallAllowanceMs = 3_500", to: "stallAllowanceMs = -900" },
    ],
    expected: ["I2", "I3", "I6"],
    options: noFaults,
  },
  {
    name: "claim-without-row-locks",
    rule: "two workers never claim the same delivery",
    patches: [{ file: claim, from: "FOR UPDATE SKIP LOCKED) AS taken", to: ") AS taken" }],
    expected: ["I2", "I5"],
    options: { ...noFaults, api: 2, workers: 3, rate: 150 },
  },
  {
    name: "asynchronous-commit",
    rule: "PostgreSQL has written a commit to the disk before it confirms it",
    patches: [
      {
        file: "server/dist/database/pool.js",
        from: "...settingsOf[use], statement_timeout }",
        to: `...settingsOf[use], statement_timeout, synchronous_commit: "off" }`,
      },
      {
        file: "server/dist/database/durability.js",
        from: `allowed: ["on", "remote_apply"]`,
        to: `allowed: ["on", "remote_apply", "off"]`,
      },
    ],
    expected: ["I1", "I2", "I5", "I13"],
    options: {
      killsPerSecond: 0.5,
      stopsPerMinute: 0,
      weights: postgresOnly,
      postgresParts: [["all", 1]],
      seconds: 20,
    },
  },
  {
    name: "redirects-followed",
    rule: "a redirect is a rejection",
    patches: [
      {
        file: "server/dist/dispatch/clients.js",
        from: `import { Client } from "undici";`,
        to: `import { interceptors, Client as Plain } from "undici";
const follow = interceptors.redirect({ maxRedirections: 3 });
class Client extends Plain {
    constructor(origin, options) {
        super(origin, options);
        this.at = origin;
    }
    dispatch(options, handler) {
        return follow(super.dispatch.bind(this))({ ...options, origin: this.at }, handler);
    }
}`,
      },
    ],
    expected: ["I9"],
    options: noFaults,
  },
  {
    name: "deadline-in-memory",
    rule: "deadlines of sessions survive the process that took the report",
    patches: [
      {
        file: "server/dist/lifecycle/deadlines.js",
        from: "WHERE deadline_at <= now()",
        // What an earlier process has seen is forgotten.
        // biome-ignore lint/suspicious/noTemplateCurlyInString: it is one in the patched file
        to: "WHERE deadline_at <= now() AND created_at >= '${new Date().toISOString()}'",
      },
    ],
    expected: ["L1"],
    options: { killsPerSecond: 0.4, stopsPerMinute: 0, weights: { worker: 1, api: 1, postgres: 0 } },
  },
  {
    name: "guard-only-at-save",
    rule: "an endpoint's address is checked when the attempt is made, too",
    // The endpoint "forbidden" of setup.ts is the probe for it.
    patches: [
      { file: guard, from: "brokenByUrl(url, policy, own)?.rule ?? null", to: `url === null ? "" : null` },
      { file: guard, from: "throw new Blocked(broken.rule);", to: "void broken;" },
    ],
    expected: ["I9", "I6"],
    options: noFaults,
  },
  {
    name: "outcome-before-close",
    rule: "an outcome is stored only when the attempt's socket is closed",
    patches: [
      {
        file: "server/dist/dispatch/attempt.js",
        from: "this.#controller.abort(reason);",
        to: "{ this.#finish(reason); setTimeout(() => this.#controller.abort(reason), 400); }",
      },
      {
        file: "server/dist/dispatch/attempt.js",
        from: "else\n                close(this.#connection);",
        to: "else\n                setTimeout(close, 400, this.#connection);",
      },
    ],
    expected: ["I2", "I3"],
    options: noFaults,
  },
  {
    name: "stuck-and-not-watched",
    rule: "a worker that begins nothing though work is due says so and ends",
    // As it was before: an outcome that could not be stored, and nothing begins ever again.
    patches: [
      { file: settler, from: `failing = false;\n            return "stored";`, to: `return "stored";` },
      {
        file: settler,
        from: `return waiting.length === 0 && settling === null ? "one" : "none";`,
        to: `return "none";`,
      },
      { file: "server/dist/dispatch/watchdog.js", from: "stalled = true;", to: "return;" },
    ],
    // L3 finds the stuck worker also when it is watched; that it calls itself ready, only one that is not.
    expected: ["L6"],
    options: { ...noFaults, moves: ["outage"], seconds: 40, quietSeconds: 20 },
  },
  {
    name: "lost-claims-not-given-back",
    rule: "a claim whose answer was lost is given back by the living worker",
    patches: [
      {
        file: "server/dist/dispatch/lost-claims.js",
        from: "await release(pool, workerId, lost);",
        to: "return;",
      },
    ],
    expected: ["L7"],
    // Statements that were sent to a PostgreSQL that stood still commit when nobody waits for them any more; where one
    // process takes reports and delivers, each commit of reports is a claim, too.
    options: { ...noFaults, mode: "all", moves: ["hang", "hang", "hang"], seconds: 70 },
  },
];
