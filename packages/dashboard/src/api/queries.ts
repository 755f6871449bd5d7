import {
  type InfiniteData,
  infiniteQueryOptions,
  keepPreviousData,
  QueryCache,
  QueryClient,
  queryOptions,
} from "@tanstack/react-query";
import { ApiError, call, projectPath, read, sessionPath } from "./http.ts";
import type {
  Agent,
  DashboardSession,
  Endpoint,
  ListedSession,
  Overview,
  ProjectInspectedRequest,
  ProjectWebhooks,
  RecordingPeaks,
  SessionDetail,
  UnsentEvent,
  WebhookLog,
  WebhookLogDetail,
} from "./types.ts";

export const whoKey = ["who"] as const;

export const queryClient: QueryClient = new QueryClient({
  queryCache: new QueryCache({
    onError: (error, query) => {
      // The session has ended elsewhere or by time: ask who is signed in, and the frame leads to the sign-in.
      if (isSignedOut(error) && query.queryKey[0] !== whoKey[0]) {
        void queryClient.invalidateQueries({ queryKey: whoKey });
      }
    },
  }),
  defaultOptions: {
    queries: {
      staleTime: 2_000,
      // What the server has understood and refused, it refuses again.
      retry: (times, error) =>
        times < 2 && error instanceof ApiError && (error.status === 0 || error.status >= 500),
    },
  },
});

export const isSignedOut = (error: unknown): boolean => error instanceof ApiError && error.status === 401;

export const whoQuery = queryOptions({
  queryKey: whoKey,
  queryFn: ({ signal }) => read<DashboardSession>("/dashboard/session", undefined, signal),
  staleTime: 60_000,
});

/** A page of a list and where the next one begins. */
export interface Page<Item> {
  readonly data: readonly Item[];
  readonly nextCursor: string | null;
}

const pageSize = 50;

/** A list by cursor, page after page as they are asked for. */
function listQuery<Item, Whole extends Page<Item> = Page<Item>>(
  key: readonly unknown[],
  path: string,
  filters: object,
) {
  return infiniteQueryOptions({
    queryKey: [...key, filters],
    queryFn: ({ pageParam, signal }) =>
      call<Whole>("GET", path, {
        query: { ...filters, limit: pageSize, cursor: pageParam ?? undefined },
        signal,
      }),
    initialPageParam: null as string | null,
    getNextPageParam: (page: Whole) => page.nextCursor,
    placeholderData: keepPreviousData as <Data>(previous: Data | undefined) => Data | undefined,
  });
}

export const flat = <Item>(data: InfiniteData<Page<Item>, unknown> | undefined): Item[] =>
  data?.pages.flatMap((page) => [...page.data]) ?? [];

export interface SessionFilters {
  readonly channel?: string | undefined;
  readonly callStatus?: string | undefined;
  readonly state?: string | undefined;
  readonly text?: string | undefined;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

interface SessionsList extends Page<ListedSession> {
  readonly searchedBackTo?: string | null;
}

export const sessionsQuery = (projectId: string, filters: SessionFilters) =>
  listQuery<ListedSession, SessionsList>(
    ["sessions", projectId],
    projectPath(projectId, "/sessions"),
    filters,
  );

export const sessionQuery = (projectId: string, sessionId: string) =>
  queryOptions({
    queryKey: ["session", projectId, sessionId],
    queryFn: ({ signal }) => read<SessionDetail>(sessionPath(projectId, sessionId), undefined, signal),
  });

export const peaksQuery = (projectId: string, sessionId: string, recordedAt: string) =>
  queryOptions({
    queryKey: ["peaks", projectId, sessionId, recordedAt],
    queryFn: ({ signal }) =>
      read<RecordingPeaks>(sessionPath(projectId, sessionId, "/recording/peaks"), undefined, signal),
    staleTime: Number.POSITIVE_INFINITY,
    // They are made after the upload; a moment later they are there.
    retry: (times, error) => times < 20 && error instanceof ApiError && error.code === "peaks_pending",
    retryDelay: 1_000,
  });

export interface LogFilters {
  readonly sessionId?: string | undefined;
  readonly event?: string | undefined;
  readonly outcome?: string | undefined;
  readonly endpointId?: string | undefined;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

export const logsPath = (projectId: string): string => projectPath(projectId, "/webhook-logs");

export const logsQuery = (projectId: string, filters: LogFilters) =>
  listQuery<WebhookLog>(["logs", projectId], logsPath(projectId), filters);

export const logQuery = (projectId: string, logId: string) =>
  queryOptions({
    queryKey: ["log", projectId, logId],
    queryFn: ({ signal }) =>
      read<WebhookLogDetail>(`${logsPath(projectId)}/${encodeURIComponent(logId)}`, undefined, signal),
    staleTime: 60_000,
  });

export const unsentQuery = (projectId: string) =>
  listQuery<UnsentEvent>(["unsent", projectId], projectPath(projectId, "/unsent-events"), {});

export const endpointsQuery = (projectId: string) =>
  queryOptions({
    queryKey: ["endpoints", projectId],
    queryFn: ({ signal }) => read<Endpoint[]>(projectPath(projectId, "/endpoints"), undefined, signal),
    staleTime: 30_000,
  });

export const overviewQuery = (projectId: string, spanMs: number) =>
  queryOptions({
    queryKey: ["overview", projectId, spanMs],
    queryFn: ({ signal }) =>
      read<Overview>(
        projectPath(projectId, "/overview"),
        { from: new Date(Date.now() - spanMs).toISOString() },
        signal,
      ),
    placeholderData: keepPreviousData,
    refetchInterval: spanMs <= 6 * 3_600_000 ? 5_000 : 30_000,
  });

export const agentQuery = (projectId: string) =>
  queryOptions({
    queryKey: ["agent", projectId],
    queryFn: ({ signal }) => read<Agent>(projectPath(projectId, "/agent"), undefined, signal),
  });

export const projectWebhooksPath = (projectId: string): string =>
  `/project/${encodeURIComponent(projectId)}/webhooks`;

export const projectWebhooksQuery = (projectId: string) =>
  queryOptions({
    queryKey: ["project-webhooks", projectId],
    queryFn: async ({ signal }) =>
      (await call<ProjectWebhooks>("GET", projectWebhooksPath(projectId), { signal })).webhooks,
  });

export const inspectorPath = (projectId: string): string => projectPath(projectId, "/inspector-requests");

export const inspectorQuery = (projectId: string) =>
  listQuery<ProjectInspectedRequest>(["inspector", projectId], inspectorPath(projectId), {});
