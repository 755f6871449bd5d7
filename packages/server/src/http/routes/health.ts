import { Alive, Ready } from "@sendoff/contract";
import type pg from "pg";
import { isUnavailable } from "../../database/unavailable.ts";
import type { Metrics } from "../../metrics.ts";
import { readBacklog } from "../../outbox/backlog.ts";
import { type ReadinessParts, readinessOf } from "../readiness.ts";
import { type Route, route } from "../route.ts";

/** @param pool its time limits are those of a scrape. */
export function healthRoutes(pool: pg.Pool, metrics: Metrics, readiness: ReadinessParts): Route[] {
  return [
    route({
      method: "GET",
      path: "/healthz",
      access: "open",
      summary: "Liveness: this process answers.",
      answers: [{ status: 200, when: "It does.", data: Alive }],
      handle: () => ({ status: 200, data: { status: "alive" } }),
    }),
    route({
      method: "GET",
      path: "/readyz",
      access: "open",
      summary:
        "Readiness: PostgreSQL takes writes and has this version's tables, reports are stored, deliveries are made, nothing is shutting down.",
      answers: [{ status: 200, when: "All of this is so.", data: Ready }],
      errors: ["draining", "stalled"],
      async handle() {
        const refusal = await readinessOf(readiness);
        if (refusal !== null) throw refusal;
        return { status: 200, data: { status: "ready" } };
      },
    }),
    route({
      method: "GET",
      path: "/metrics",
      access: "open",
      summary: "Counters of this process, and the age of the queue while PostgreSQL answers, for Prometheus.",
      answers: [{ status: 200, when: "Prometheus text.", mediaType: "text/plain" }],
      async handle() {
        const ofDatabase = await readDatabaseMetrics(pool, metrics);
        return new Response(`${await metrics.registry.metrics()}\n${ofDatabase}`, {
          headers: { "content-type": metrics.registry.contentType },
        });
      },
    }),
  ];
}

/** @returns nothing while PostgreSQL is away: an old number would be worse than none. */
async function readDatabaseMetrics(pool: pg.Pool, metrics: Metrics): Promise<string> {
  try {
    const { pending, oldestDueSeconds } = await readBacklog(pool);
    metrics.pending.set(pending);
    metrics.queueAge.set(oldestDueSeconds);
    metrics.databaseUp.set(1);
    return await metrics.databaseRegistry.metrics();
  } catch (error) {
    if (!isUnavailable(error)) throw error;
    metrics.databaseUp.set(0);
    return "";
  }
}
