import type { Project } from "./api/types.ts";

const place = "sendoff.project";

/** The project that was looked at last in this browser, or the oldest. */
export function firstProject(projects: readonly Project[]): Project | null {
  const last = localStorage.getItem(place);
  return projects.find(({ id }) => id === last) ?? projects[0] ?? null;
}

export function rememberProject(projectId: string): void {
  localStorage.setItem(place, projectId);
}
