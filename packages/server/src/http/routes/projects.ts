import { CreatedProject, CreateProject, Project } from "@sendoff/contract";
import type pg from "pg";
import { z } from "zod";
import { createProject, listProjects } from "../../tenancy/projects.ts";
import { type Route, route } from "../route.ts";

export function projectRoutes(pool: pg.Pool): Route[] {
  return [
    route({
      method: "GET",
      path: "/v1/projects",
      access: "any_key",
      summary: "Lists the projects that the key may see.",
      answers: [{ status: 200, when: "All of them, oldest first.", data: z.array(Project) }],
      async handle({ caller }) {
        const only = caller?.kind === "project" ? caller.projectId : null;
        return { status: 200, data: await listProjects(pool, only) };
      },
    }),
    route({
      method: "POST",
      path: "/v1/projects",
      access: "developer",
      summary: "Makes a project. Its key is answered once.",
      body: CreateProject,
      answers: [{ status: 201, when: "The project with its key.", data: CreatedProject }],
      async handle({ body }) {
        return { status: 201, data: await createProject(pool, body.value.name) };
      },
    }),
  ];
}
