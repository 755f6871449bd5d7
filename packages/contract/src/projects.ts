import { z } from "zod";
import { isPlainText, ProjectId, plainTextError, Timestamp } from "./ids.ts";

/** Body of POST `/v1/projects`. Developer keys only. */
export const CreateProject = z
  .strictObject({ name: z.string().trim().min(1).max(200).refine(isPlainText, plainTextError) })
  .meta({ id: "CreateProject" });
export type CreateProject = z.infer<typeof CreateProject>;

/** A project: the tenant. */
export const Project = z
  .object({ id: ProjectId, name: z.string(), createdAt: Timestamp })
  .meta({ id: "Project" });
export type Project = z.infer<typeof Project>;

/** The answer to POST `/v1/projects`: the only time that the project's key is shown. */
export const CreatedProject = Project.extend({
  key: z.string().meta({ description: "The new sk_ key. Shown once." }),
}).meta({ id: "CreatedProject" });
export type CreatedProject = z.infer<typeof CreatedProject>;
