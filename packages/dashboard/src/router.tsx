import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  redirect,
} from "@tanstack/react-router";
import { queryClient, whoQuery } from "./api/queries.ts";
import { firstProject } from "./last-project.ts";
import { only, parseSearch, stringifySearch } from "./search.ts";
import { Failed, Loading as LoadingPage, NotFound } from "./shell/fallbacks.tsx";
import { Frame } from "./shell/frame.tsx";

const rootRoute = createRootRoute({ notFoundComponent: NotFound, errorComponent: Failed });

const signInRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/sign-in",
  validateSearch: only("next"),
  component: lazyRouteComponent(() => import("./pages/sign-in.tsx")),
});

const homeRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/",
  beforeLoad: async () => {
    const who = await queryClient.ensureQueryData(whoQuery).catch(() => null);
    const project = who === null ? null : firstProject(who.projects);
    if (project === null) throw redirect({ to: "/sign-in" });
    throw redirect({ to: "/p/$projectId", params: { projectId: project.id } });
  },
});

const projectRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/p/$projectId",
  component: Frame,
});

const overviewRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/",
  validateSearch: only("span"),
  component: lazyRouteComponent(() => import("./pages/overview.tsx")),
});

const sessionsRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/sessions",
  validateSearch: only("channel", "callStatus", "state", "text", "span"),
  component: lazyRouteComponent(() => import("./pages/sessions.tsx")),
});

const sessionRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/sessions/$sessionId",
  validateSearch: only("log"),
  component: lazyRouteComponent(() => import("./pages/session.tsx")),
});

const logsRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/logs",
  validateSearch: only("outcome", "event", "endpointId", "sessionId", "span", "log", "view"),
  component: lazyRouteComponent(() => import("./pages/logs.tsx")),
});

const inspectorRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/inspector",
  validateSearch: only("request"),
  component: lazyRouteComponent(() => import("./pages/inspector.tsx")),
});

const settingsRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/settings",
  component: lazyRouteComponent(() => import("./pages/settings.tsx")),
});

export const router = createRouter({
  basepath: "/dashboard",
  routeTree: rootRoute.addChildren([
    signInRoute,
    homeRoute,
    projectRoute.addChildren([
      overviewRoute,
      sessionsRoute,
      sessionRoute,
      logsRoute,
      inspectorRoute,
      settingsRoute,
    ]),
  ]),
  parseSearch,
  stringifySearch,
  defaultPreload: "intent",
  defaultPendingComponent: LoadingPage,
  defaultErrorComponent: Failed,
  scrollRestoration: true,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
