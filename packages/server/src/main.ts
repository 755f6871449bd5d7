import { randomUUID } from "node:crypto";
import type { Server } from "node:http";
import { join } from "node:path";
import { systemClock } from "./clock.ts";
import { dueChannel, listen } from "./database/listen.ts";
import { isMigrated } from "./database/migrated.ts";
import { createDatabaseClock } from "./database/now.ts";
import { createWriteProbe, type WriteProbe } from "./database/write-probe.ts";
import { createClients } from "./dispatch/clients.ts";
import { createDispatcher, type Dispatcher } from "./dispatch/dispatcher.ts";
import { assembleGuard } from "./egress/assemble.ts";
import type { Guard } from "./egress/guard.ts";
import { openFeed } from "./feed/open.ts";
import { type Ground, prepareGround, Started, type StartOptions } from "./ground.ts";
import { createAddresses } from "./http/address.ts";
import { createApp } from "./http/app.ts";
import { type Answering, closeHttp, listenHttp, localUrl } from "./http/listen.ts";
import { createRequestBounds } from "./http/request-bounds.ts";
import { createRequestLimits } from "./http/request-limits.ts";
import type { Route } from "./http/route.ts";
import type { RouteParts } from "./http/routes/all.ts";
import { healthRoutes } from "./http/routes/health.ts";
import { prepareStartFile, readPublicUrl, startPathOf, storePublicUrl } from "./installation.ts";
import { createReportIntake, type ReportIntake } from "./lifecycle/apply.ts";
import { watchDeadlines } from "./lifecycle/deadlines.ts";
import { shareDispatcherLock } from "./outbox/dispatchers.ts";
import { type Handover, noHandover } from "./outbox/handover.ts";
import { type Hint, noticedHints } from "./outbox/hint.ts";
import { keepTallies } from "./overview/keeper.ts";
import { countReports } from "./overview/reports.ts";
import { createRecordingLinks, type RecordingLinks } from "./recordings/links.ts";
import { openRecordings, originsOf } from "./recordings/open.ts";
import { keepPeaks } from "./recordings/peaks-keeper.ts";
import type { RecordingStore } from "./recordings/store.ts";
import { createUploads } from "./recordings/upload.ts";
import { Refusal } from "./refusal.ts";
import { tellReport } from "./report-told.ts";
import { keepRetention } from "./retention/keeper.ts";
import type { Role, Running } from "./running.ts";
import { asStartError } from "./start-error.ts";
import { createKeyRing } from "./tenancy/keys.ts";
import { createDashboardSessions } from "./tenancy/sign-in.ts";
import { version } from "./version.ts";

/** What runs in this process. */
export interface RunningHere extends Running {
  /** Every route that it answers. */
  readonly routes: readonly Route[];
}

/**
 * Starts Sendoff in this process, on a PostgreSQL that runs.
 *
 * @throws StartError when a setting, the database or the port stands in the way; nothing is left running.
 */
export async function startSendoff(options: StartOptions): Promise<RunningHere> {
  const started = new Started();
  try {
    return await startRooms(options, started);
  } catch (error) {
    await started.end();
    throw asStartError(error);
  }
}

async function startRooms(options: StartOptions, started: Started): Promise<RunningHere> {
  const ground = await prepareGround(options, started);
  const { config, log } = ground;
  const server = await openHttp(ground, options.role);
  const apiUrl = await publicUrlOf(ground, options.role, server?.http ?? null);
  const publicUrl = async (): Promise<string> => apiUrl ?? (await readPublicUrl(ground.pool));
  const ownUrl = server === null ? null : localUrl(server.http);
  const resolver = options.resolver ?? null;
  const guard = await assembleGuard(config.egress, resolver, [ownUrl, apiUrl], publicUrl);
  const store = await openRecordings(
    config.recordings,
    join(config.dataFolder, "recordings"),
    config.diskReserveBytes,
    log,
  );
  started.add(async () => store.close());
  const links = createRecordingLinks({
    publicUrl,
    secretKey: ground.secretKey,
    oldSecretKeys: config.oldSecretKeys,
    store,
    now: createDatabaseClock(ground.pool, systemClock),
    lifeMs: config.recordingLinkLifeMs,
  });
  const live = openFeed({ ...ground, mint: links.mint }, options.role !== "worker");
  const { streams, listener } = live;
  const counter = countReports(ground.pool, log);
  // Intake and dispatch know each other: commits hand over what they claim, and deadlines are reports.
  const dispatch: { handover: Handover; wake: (hints: readonly Hint[]) => void } = {
    handover: noHandover,
    wake: () => {},
  };
  let onKept = (): void => {};
  const intake = createReportIntake({
    pool: ground.pathPool,
    log,
    graces: config.graces,
    timeoutMs: config.databaseTimeoutMs,
    clock: systemClock,
    handover: {
      get workerId() {
        return dispatch.handover.workerId;
      },
      reserve: (subscriber) => dispatch.handover.reserve(subscriber),
      begin: (claim, askedMs) => dispatch.handover.begin(claim, askedMs),
      cancel: (endpointId) => dispatch.handover.cancel(endpointId),
      follow: (commit) => dispatch.handover.follow(commit),
    },
    onOwed: (hints) => dispatch.wake(hints),
    onAnswered: (report, sessionId, answer) => {
      tellReport(ground, report, sessionId, answer, counter);
      // What a commit has claimed itself is not notified.
      if (!(answer instanceof Refusal) && answer.events.length > 0) streams.wake();
    },
  });
  const writeProbe = createWriteProbe(ground.pathPool, systemClock);
  let isStalled = (): boolean => false;
  if (options.role !== "api") {
    const onStalled = options.onStalled ?? (() => {});
    const dispatcher = startDispatch(ground, { guard, links, intake, store, writeProbe, onStalled });
    isStalled = dispatcher.isStalled;
    dispatch.handover = dispatcher;
    dispatch.wake = dispatcher.wake;
    const peaks = keepPeaks({ pool: ground.pool, log, store });
    onKept = peaks.wake;
    started.add(() => peaks.stop());
  }
  started.add(() => counter.stop());
  started.add(() => listener?.stop() ?? Promise.resolve());
  // Ended in the opposite order: no new reports, those that were taken and the live streams, the attempts under way.
  // HTTP closes last, for until then the built-in inspector receives.
  started.add(() => Promise.all([intake.drain(), streams.drain(), live.tails.drain()]));
  const uploads = createUploads({
    pool: ground.pool,
    log,
    store,
    limits: config.uploads,
    onKept: () => onKept(),
  });
  started.add(() => uploads.stop());
  started.add(async () => {
    ground.ending.draining = true;
  });
  const start =
    apiUrl === null || options.role === "worker"
      ? null
      : await prepareStartFile({ ...ground, guard }, apiUrl, options.pid ?? process.pid);
  const { pool } = ground;
  const recorded = { pool, intake, graces: config.graces, store, links, uploads, onKept: () => onKept() };
  const access = {
    keys: createKeyRing(ground.pathPool),
    sessions: createDashboardSessions(ground.pool),
    limits: createRequestLimits(config.rateLimits, ground.metrics),
    publicUrl: config.publicUrl,
  };
  const health = healthRoutes(ground.pathPool, ground.metrics, {
    isDraining: () => ground.ending.draining,
    isStalled,
    isRefusing: intake.isRefusing,
    isMigrated: () => isMigrated(ground.pathPool),
    writeProbe,
  });
  const routes =
    options.role === "worker"
      ? health
      : await apiRoutes({
          ...ground,
          guard,
          live,
          recorded,
          access,
          mediaOrigins: await originsOf(store),
          health,
        });
  server?.answerWith(
    createApp({ pool: ground.pathPool, log, routes, bounds: createRequestBounds(ground.metrics), ...access }),
  );
  log.info({ event: "sendoff.started", version, role: options.role, address: ownUrl, pid: process.pid });
  return {
    start,
    routes,
    startPath: startPathOf(config),
    async stop() {
      log.info({ event: "sendoff.draining" });
      await started.end();
      log.info({ event: "sendoff.stopped" });
    },
  };
}

const standardPort = 4_600;

const starting: Answering = {
  admission: () => null,
  answer: () => new Response("Sendoff is starting.\n", { status: 503, headers: { "retry-after": "1" } }),
};

/** Opens the port, which links and the inspector's address need to know; answers 503 until there is what to answer with. */
async function openHttp(
  { config, metrics, started }: Ground,
  role: Role,
): Promise<{ http: Server; answerWith(answering: Answering): void } | null> {
  // A worker needs no port; with one it tells of its health and metrics.
  if (role === "worker" && config.port === null) return null;
  let answering = starting;
  const now: Answering = {
    admission: (request) => answering.admission(request),
    answer: (request, env) => answering.answer(request, env),
  };
  const http = await listenHttp(config.host, config.port ?? standardPort, now, {
    perAddressMax: config.addressConnectionsMax,
    isProxy: createAddresses(config.rateLimits.trustedProxies).isProxy,
    onCut: (reason) => metrics.connectionsCut.inc({ reason }),
  });
  started.add(() => closeHttp(http));
  return {
    http,
    answerWith(next) {
      answering = next;
    },
  };
}

/** Where others reach the API: as it is set, or where it listens. null: a worker alone, which asks the database. */
async function publicUrlOf(
  { config, pool }: Ground,
  role: Role,
  http: Server | null,
): Promise<string | null> {
  if (role === "worker" || http === null) return config.publicUrl;
  const url = config.publicUrl ?? localUrl(http);
  await storePublicUrl(pool, url);
  return url;
}

interface DispatchParts {
  readonly guard: Guard;
  readonly links: RecordingLinks;
  readonly intake: ReportIntake;
  readonly store: RecordingStore;
  readonly writeProbe: WriteProbe;
  readonly onStalled: () => void;
}

/** Deadlines, deliveries and retention: what a worker does. */
function startDispatch(ground: Ground, parts: DispatchParts): Dispatcher {
  const { guard, links, intake, writeProbe, onStalled } = parts;
  const { pathPool, log, metrics, sealer, config, started } = ground;
  const clients = createClients(guard, systemClock, (url, rule) =>
    log.warn({ event: "delivery.blocked", origin: url.origin, rule }),
  );
  const dispatcher = createDispatcher({
    pool: pathPool,
    log,
    metrics,
    clients,
    sealer,
    links,
    limits: config.limits,
    clock: systemClock,
    workerId: randomUUID(),
    userAgent: `Sendoff/${version}`,
    writeProbe,
    onStalled,
  });
  const listener = listen(
    ground.connection,
    dueChannel,
    (notice) => dispatcher.wake(noticedHints(notice, dispatcher.workerId)),
    log,
    shareDispatcherLock,
  );
  const deadlines = watchDeadlines(pathPool, intake, log);
  const retention = keepRetention({
    pool: ground.pool,
    log,
    metrics,
    retentionMs: config.retentionMs,
    recordings: parts.store,
  });
  const tallies = keepTallies(ground.pool, log);
  started.add(async () => {
    await Promise.all([deadlines.stop(), retention.stop(), tallies.stop()]);
    await dispatcher.drain();
    await Promise.all([listener.stop(), clients.close()]);
  });
  return dispatcher;
}

/** Loaded here, so that a worker starts without them. */
async function apiRoutes(parts: RouteParts): Promise<Route[]> {
  const { allRoutes } = await import("./http/routes/all.ts");
  return allRoutes(parts);
}
