import { z } from "zod";
import { eventNames } from "./events.ts";
import { Timestamp } from "./ids.ts";
import { queryMoment } from "./webhook-logs.ts";

/** Longest span of GET `.../overview`, in milliseconds: 31 days. */
export const overviewSpanMaxMs = 31 * 86_400_000;

/** Query of GET `.../overview`. Without `from` the hour before `to`; without `to` up to now. */
export const OverviewQuery = z
  .strictObject({ from: queryMoment, to: queryMoment })
  .meta({ id: "OverviewQuery" });
export type OverviewQuery = z.infer<typeof OverviewQuery>;

const count = z.int().nonnegative();
const ms = z.number().nullable();

/** What is counted of a span of time. */
const counts = {
  reports: count.meta({ description: "Reports that were taken: accepted, repeated and late ones." }),
  late: count.meta({ description: "Reports that came after their deadline." }),
  events: count.meta({ description: "Events that were emitted." }),
  unsent: count.meta({ description: "Events that went to no endpoint." }),
  attempts: count.meta({ description: "Attempts, those of test events aside." }),
  delivered: count.meta({ description: "Deliveries that settled as delivered." }),
  failed: count.meta({
    description: "Deliveries that settled as rejected, failed or exhausted. Cancelled ones are in neither.",
  }),
  unknown: count.meta({ description: "Deliveries that settled as unknown." }),
  successRate: z.number().min(0).max(1).nullable().meta({
    description: "delivered / (delivered + failed + unknown); null when nothing settled.",
  }),
  p50Ms: ms.meta({ description: "Of attempts that were answered or failed; within 10 %." }),
  p95Ms: ms,
};

/** One point of the charts. */
export const OverviewBucket = z
  .object({ at: Timestamp.meta({ description: "Where the bucket begins." }), ...counts })
  .meta({ id: "OverviewBucket" });
export type OverviewBucket = z.infer<typeof OverviewBucket>;

/** An endpoint in the order of its failures. */
export const OverviewEndpoint = z
  .object({
    endpointId: z.uuid(),
    url: z.string(),
    kind: z.enum(["agent", "project"]),
    removed: z.boolean(),
    attempts: count,
    delivered: count,
    failed: count.meta({ description: "Deliveries that settled as rejected, failed, exhausted or unknown." }),
    successRate: z.number().min(0).max(1).nullable(),
    meanMs: ms.meta({ description: "Mean duration of its attempts." }),
  })
  .meta({ id: "OverviewEndpoint" });
export type OverviewEndpoint = z.infer<typeof OverviewEndpoint>;

/** The numbers of a project over a span of time: the answer to GET `.../overview`. */
export const Overview = z
  .object({
    from: Timestamp.meta({ description: "The first bucket begins here: at or before what was asked for." }),
    to: Timestamp,
    bucketSeconds: z.int().meta({ description: "60, 600 or 3600, by the length and the age of the span." }),
    asOf: Timestamp.meta({
      description: "All numbers are complete up to here; what is younger may be missing for some seconds.",
    }),
    totals: z.object(counts),
    buckets: z.array(OverviewBucket).meta({
      description: "Oldest first, without a gap: one with nothing in it has zeros and nulls.",
    }),
    afterHangUp: z
      .array(
        z.object({
          event: z.enum(eventNames),
          count,
          p50Ms: ms,
          p95Ms: ms,
        }),
      )
      .meta({
        description:
          "From the end of the call (of a text session: of its conversation) to the 2xx of an endpoint, per event. Resends and tests aside.",
      }),
    unsent: z.object({ noEndpoint: count, notSubscribed: count }).meta({
      description: "Why events went to no endpoint.",
    }),
    queue: z
      .object({
        pending: count.meta({
          description: "Deliveries that wait for an attempt now. At most 10,000 are counted.",
        }),
        ageSeconds: z
          .number()
          .meta({ description: "For how long the oldest due one has been due; 0: none is." }),
      })
      .meta({ description: "Of this moment, whatever the span." }),
    worstEndpoints: z.array(OverviewEndpoint).meta({
      description: "At most 10 that had attempts, those with the most failures first.",
    }),
  })
  .meta({ id: "Overview" });
export type Overview = z.infer<typeof Overview>;
