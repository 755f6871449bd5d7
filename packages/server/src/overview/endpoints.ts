import type { OverviewEndpoint } from "@sendoff/contract";
import type pg from "pg";
import { tallyKinds } from "./tally-sql.ts";

/** Most endpoints that an overview names. */
const namedMax = 10;

/** Numbers of an endpoint, by the kind of their tally. */
type Numbers = Map<string, number>;

/** The endpoints that had attempts, those with the most failures first. */
export async function readEndpoints(
  pool: pg.Pool,
  projectId: string,
  tallies: ReadonlyArray<{ readonly kind: string; readonly subject: string; readonly count: number }>,
): Promise<OverviewEndpoint[]> {
  const own = new Set<string>([
    tallyKinds.endpointAttempts,
    tallyKinds.endpointDelivered,
    tallyKinds.endpointFailed,
    tallyKinds.endpointMs,
  ]);
  const byEndpoint = new Map<string, Numbers>();
  for (const { kind, subject, count } of tallies) {
    if (!own.has(kind)) continue;
    const numbers: Numbers = byEndpoint.get(subject) ?? new Map();
    numbers.set(kind, (numbers.get(kind) ?? 0) + count);
    byEndpoint.set(subject, numbers);
  }
  const of = (numbers: Numbers, kind: string): number => numbers.get(kind) ?? 0;
  const worst = [...byEndpoint]
    .sort(
      ([, left], [, right]) =>
        of(right, tallyKinds.endpointFailed) - of(left, tallyKinds.endpointFailed) ||
        of(right, tallyKinds.endpointAttempts) - of(left, tallyKinds.endpointAttempts),
    )
    .slice(0, namedMax);
  const { rows } = await pool.query<Pick<OverviewEndpoint, "endpointId" | "url" | "kind" | "removed">>(
    `SELECT endpoint_id AS "endpointId", url, kind, removed_at IS NOT NULL AS removed
     FROM endpoints WHERE project_id = $1 AND endpoint_id = ANY ($2::uuid[])`,
    [projectId, worst.map(([endpointId]) => endpointId)],
  );
  return worst.flatMap(([endpointId, numbers]) => {
    const row = rows.find((one) => one.endpointId === endpointId);
    if (row === undefined) return [];
    const attempts = of(numbers, tallyKinds.endpointAttempts);
    const delivered = of(numbers, tallyKinds.endpointDelivered);
    const failed = of(numbers, tallyKinds.endpointFailed);
    return [
      {
        ...row,
        attempts,
        delivered,
        failed,
        successRate: delivered + failed === 0 ? null : delivered / (delivered + failed),
        meanMs: attempts === 0 ? null : Math.round(of(numbers, tallyKinds.endpointMs) / attempts),
      },
    ];
  });
}
