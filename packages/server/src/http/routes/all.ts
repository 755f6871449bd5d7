import type pg from "pg";
import type { Guard } from "../../egress/guard.ts";
import type { OpenFeed } from "../../feed/open.ts";
import type { Logger } from "../../log.ts";
import type { Metrics } from "../../metrics.ts";
import type { Sealer } from "../../secrets/seal.ts";
import { version } from "../../version.ts";
import { createRequestPlaces, inPlaces } from "../request-places.ts";
import type { Route } from "../route.ts";
import { agentRoutes } from "./agent.ts";
import { dashboardFileRoutes, dashboardFolder } from "./dashboard-files.ts";
import { type DashboardSessionParts, dashboardSessionRoutes } from "./dashboard-session.ts";
import { describeRoutes } from "./describe.ts";
import { eraseRoutes } from "./erase.ts";
import { eventRoutes } from "./events.ts";
import { inspectRoutes } from "./inspect.ts";
import { overviewRoutes } from "./overview.ts";
import { projectWebhookRoutes } from "./project-webhooks.ts";
import { projectRoutes } from "./projects.ts";
import { reconcileRoutes } from "./reconcile.ts";
import { type RecordingParts, recordingRoutes } from "./recordings.ts";
import { reportRoutes } from "./reports.ts";
import { sessionRoutes } from "./sessions.ts";
import { sessionsCsvRoutes } from "./sessions-csv.ts";
import { textSessionRoutes } from "./text-sessions.ts";
import { webhookLogRoutes } from "./webhook-logs.ts";

/** What the routes work with. */
export interface RouteParts {
  /** For searches, overviews, exports and counts. */
  readonly expensivePool: pg.Pool;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly sealer: Sealer;
  readonly guard: Guard;
  readonly live: OpenFeed;
  readonly recorded: RecordingParts;
  readonly access: Omit<DashboardSessionParts, "pool" | "version">;
  /** Other hosts that audio on the dashboard comes from. */
  readonly mediaOrigins: readonly string[];
  /** Those that a worker has, too. */
  readonly health: readonly Route[];
}

/** Every route of an API process. */
export function allRoutes(parts: RouteParts): Route[] {
  const { log, metrics, sealer, guard, live, recorded, access, mediaOrigins, health } = parts;
  const { pool, intake, store: recordings } = recorded;
  const places = createRequestPlaces({ ordinary: pool, expensive: parts.expensivePool }, metrics);
  const keyed = [
    ...projectRoutes(pool),
    ...agentRoutes(pool, sealer, guard),
    ...projectWebhookRoutes(pool, sealer, guard, metrics, log),
    ...sessionRoutes(pool, intake, places),
    ...textSessionRoutes(pool, intake),
    ...reportRoutes(recorded, log, access.limits),
    ...webhookLogRoutes(pool, sealer, live.tails, places),
    ...reconcileRoutes(pool),
    ...eventRoutes(live.feed, live.streams),
    ...eraseRoutes({ pool, log, recordings }),
    ...recordingRoutes(recorded),
    ...inspectRoutes(pool, access.limits, metrics),
    ...overviewRoutes(pool, sealer, places),
    ...sessionsCsvRoutes(places),
    ...dashboardSessionRoutes({ pool, version, ...access }),
    ...dashboardFileRoutes(dashboardFolder, mediaOrigins),
    ...health,
  ];
  const routes = inPlaces(keyed, places);
  return [...routes, ...describeRoutes(routes, version)];
}
