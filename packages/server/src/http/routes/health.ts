import { Alive, Ready } from "@sendoff/contract";
import type pg from "pg";
import { isMigrated } from "../../database/migrated.ts";
import { isUnavailable } from "../../database/unavailable.ts";
import type { Metrics } from "../../metrics.ts";
import { readBacklog } from "../../outbox/backlog.ts";
import { Refusal } from "../../refusal.ts";
import { type Route, route } from "../route.ts";

/** @param isDraining whether this process is shutting down. */
export function healthRoutes(pool: pg.Pool, metrics: Metrics, isDraining: () => boolean): Route[] {
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
      summary: "Readiness: PostgreSQL answers, its tables are of this version, nothing is shutting down.",
      answers: [{ status: 200, when: "All of this is so.", data: Ready }],
      errors: ["draining"],
      async handle() {
        if (isDraining()) throw new Refusal("draining", "This process is shutting down.");
        try {
          if (await isMigrated(pool)) return { status: 200, data: { status: "ready" } };
        } catch (error) {
          if (!isUnavailable(error)) throw error;
        }
        throw new Refusal(
          "database_unavailable",
          "PostgreSQL does not answer, or lacks tables of this version.",
        );
      },
    }),
    route({
      method: "GET",
      path: "/metrics",
      access: "open",
      summary: "Counters of this process and the age of the queue, for Prometheus.",
      answers: [{ status: 200, when: "Prometheus text.", mediaType: "text/plain" }],
      async handle() {
        const { pending, oldestDueSeconds } = await readBacklog(pool);
        metrics.pending.set(pending);
        metrics.queueAge.set(oldestDueSeconds);
        return new Response(await metrics.registry.metrics(), {
          headers: { "content-type": metrics.registry.contentType },
        });
      },
    }),
  ];
}
