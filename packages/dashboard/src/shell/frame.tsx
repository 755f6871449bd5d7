import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useNavigate, useParams, useRouter } from "@tanstack/react-router";
import { type ReactNode, useEffect, useState } from "react";
import { isSignedOut, whoQuery } from "../api/queries.ts";
import type { DashboardSession } from "../api/types.ts";
import { rememberProject } from "../last-project.ts";
import { InspectorIcon, LogsIcon, Mark, OverviewIcon, SessionsIcon, SettingsIcon } from "../ui/icons.tsx";
import { Empty, ErrorNotice, Loading } from "../ui/notice.tsx";
import { AccountMenu } from "./account-menu.tsx";
import { ProjectSwitcher } from "./project-switcher.tsx";

const places = [
  { to: "/p/$projectId", label: "Overview", short: "Overview", Icon: OverviewIcon },
  { to: "/p/$projectId/sessions", label: "Sessions", short: "Sessions", Icon: SessionsIcon },
  { to: "/p/$projectId/logs", label: "Webhook logs", short: "Logs", Icon: LogsIcon },
  { to: "/p/$projectId/inspector", label: "Inspector", short: "Inspector", Icon: InspectorIcon },
  { to: "/p/$projectId/settings", label: "Settings", short: "Settings", Icon: SettingsIcon },
] as const;

/** The frame of every page of a project: where one is, and where one can go. */
export function Frame(): ReactNode {
  const { projectId } = useParams({ from: "/p/$projectId" });
  const who = useQuery(whoQuery);
  useEffect(() => rememberProject(projectId), [projectId]);
  if (isSignedOut(who.error)) return <ToSignIn />;
  if (who.data === undefined) {
    return (
      <div className="mx-auto max-w-2xl p-6">
        {who.error === null ? (
          <Loading what="your projects" />
        ) : (
          <ErrorNotice error={who.error} retry={() => void who.refetch()} />
        )}
      </div>
    );
  }
  return <FrameOf who={who.data} projectId={projectId} />;
}

/** Leads to the sign-in, once, and from there back to where one was. */
function ToSignIn(): ReactNode {
  const navigate = useNavigate();
  const router = useRouter();
  // Where one was when it began: the address changes while the other page loads.
  const [next] = useState(() => router.state.location.href);
  useEffect(() => {
    void navigate({ to: "/sign-in", search: { next }, replace: true });
  }, [navigate, next]);
  return <Loading what="the sign-in" />;
}

function FrameOf({ who, projectId }: { who: DashboardSession; projectId: string }): ReactNode {
  const known = who.projects.some(({ id }) => id === projectId);
  return (
    <div className="md:grid md:min-h-dvh md:grid-cols-[14.5rem_minmax(0,1fr)]">
      <a
        href="#page"
        className="sr-only z-50 rounded-md bg-accent-fill px-3 py-2 text-accent-ink focus:not-sr-only focus:fixed focus:top-2 focus:left-2"
      >
        Skip to the page
      </a>
      <header className="sticky top-0 z-30 flex items-center gap-2 border-b border-line bg-surface px-3 py-2 md:h-dvh md:flex-col md:items-stretch md:gap-0 md:border-r md:border-b-0 md:px-3 md:py-4">
        <div className="flex min-w-0 flex-1 items-center gap-2 md:flex-none md:flex-col md:items-stretch md:gap-4">
          <span className="flex items-center gap-2 md:px-2">
            <Mark />
            <span className="hidden text-[15px] font-semibold tracking-[-0.01em] md:inline">Sendoff</span>
          </span>
          <ProjectSwitcher who={who} projectId={projectId} />
        </div>
        <nav aria-label="Pages" className="hidden flex-1 flex-col gap-0.5 pt-4 md:flex">
          {places.map(({ to, label, Icon }) => (
            <Link
              key={to}
              to={to}
              params={{ projectId }}
              activeOptions={{ exact: to === "/p/$projectId", includeSearch: false }}
              className="flex h-9 items-center gap-2.5 rounded-md px-2.5 font-medium text-ink-2 hover:bg-sunken hover:text-ink"
              activeProps={{ className: "bg-accent-soft !text-accent" }}
            >
              <Icon className="size-[18px]" />
              {label}
            </Link>
          ))}
        </nav>
        <AccountMenu who={who} />
      </header>
      <main
        id="page"
        tabIndex={-1}
        className="min-w-0 px-4 pt-5 pb-28 outline-none sm:px-6 md:px-8 md:pt-7 md:pb-12"
      >
        <div className="mx-auto max-w-[76rem]">
          {known ? (
            <Outlet />
          ) : (
            <Empty title="There is no such project">
              It may belong to another installation, or your key does not open it. Choose another project
              above.
            </Empty>
          )}
        </div>
      </main>
      <nav
        aria-label="Pages"
        className="fixed inset-x-0 bottom-0 z-30 grid grid-cols-5 border-t border-line bg-surface pb-[env(safe-area-inset-bottom)] md:hidden"
      >
        {places.map(({ to, short, Icon }) => (
          <Link
            key={to}
            to={to}
            params={{ projectId }}
            activeOptions={{ exact: to === "/p/$projectId", includeSearch: false }}
            className="flex flex-col items-center gap-0.5 py-2 text-[11px] font-medium text-ink-2"
            activeProps={{ className: "!text-accent" }}
          >
            <Icon className="size-5" />
            {short}
          </Link>
        ))}
      </nav>
    </div>
  );
}
