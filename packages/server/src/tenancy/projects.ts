import { randomUUID } from "node:crypto";
import type { CreatedProject, Project } from "@sendoff/contract";
import type pg from "pg";
import { inTransaction } from "../database/transaction.ts";
import { createKey } from "./keys.ts";

const projectColumns = `project_id AS id, name, created_at AS "createdAt"`;

interface ProjectRow {
  readonly id: string;
  readonly name: string;
  readonly createdAt: Date;
}

const view = (row: ProjectRow): Project => ({ ...row, createdAt: row.createdAt.toISOString() });

/** Every project, or the one that a project key may see. Oldest first. */
export async function listProjects(
  db: pg.Pool | pg.PoolClient,
  onlyProjectId: string | null,
): Promise<Project[]> {
  const { rows } = await db.query<ProjectRow>(
    `SELECT ${projectColumns} FROM projects WHERE $1::uuid IS NULL OR project_id = $1 ORDER BY created_at, project_id`,
    [onlyProjectId],
  );
  return rows.map(view);
}

export async function projectExists(pool: pg.Pool, projectId: string): Promise<boolean> {
  const { rowCount } = await pool.query({
    name: "project-exists",
    text: "SELECT FROM projects WHERE project_id = $1",
    values: [projectId],
  });
  return rowCount === 1;
}

/** Makes a project with its agent and its first key, all or nothing. */
export const createProject = (pool: pg.Pool, name: string): Promise<CreatedProject> =>
  inTransaction(pool, (client) => createProjectIn(client, name));

/** The same within a transaction of the caller's. */
export async function createProjectIn(client: pg.PoolClient, name: string): Promise<CreatedProject> {
  const { rows } = await client.query<ProjectRow>(
    `INSERT INTO projects (project_id, name) VALUES ($1, $2) RETURNING ${projectColumns}`,
    [randomUUID(), name],
  );
  const project = rows[0] as ProjectRow;
  await client.query("INSERT INTO agents (project_id) VALUES ($1)", [project.id]);
  const { key } = await createKey(client, { kind: "project", projectId: project.id });
  return { ...view(project), key };
}
