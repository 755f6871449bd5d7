import { useNavigate } from "@tanstack/react-router";
import { lazy, type ReactNode, Suspense, useState } from "react";
import type { DashboardSession } from "../api/types.ts";
import { ChevronIcon } from "../ui/icons.tsx";

const NewProjectDialog = lazy(() => import("./new-project.tsx"));

/** Stands for "make another one" among the projects; no id can be this. */
const another = "+";

/** The browser's own list: it opens as people know it on each machine, and costs the first page no script. */
export function ProjectSwitcher({ who, projectId }: { who: DashboardSession; projectId: string }): ReactNode {
  const navigate = useNavigate();
  const [making, setMaking] = useState(false);
  const choose = (id: string) => {
    if (id === another) setMaking(true);
    else void navigate({ to: "/p/$projectId", params: { projectId: id } });
  };
  return (
    <>
      <div className="relative min-w-0 flex-1 md:flex-none">
        <select
          aria-label="Project"
          value={projectId}
          onChange={(event) => choose(event.target.value)}
          className="h-9 w-full appearance-none truncate rounded-md border border-line-strong bg-surface pr-8 pl-2.5 font-medium shadow-card hover:bg-sunken"
        >
          {who.projects.some(({ id }) => id === projectId) || (
            <option value={projectId}>Unknown project</option>
          )}
          {who.projects.map(({ id, name }) => (
            <option key={id} value={id}>
              {name}
            </option>
          ))}
          {who.kind === "developer" && <option value={another}>New project ...</option>}
        </select>
        <ChevronIcon className="pointer-events-none absolute top-2.5 right-2.5 size-4 text-ink-3" />
      </div>
      {making && (
        <Suspense fallback={null}>
          <NewProjectDialog
            close={(id) => {
              setMaking(false);
              if (id !== null) choose(id);
            }}
          />
        </Suspense>
      )}
    </>
  );
}
