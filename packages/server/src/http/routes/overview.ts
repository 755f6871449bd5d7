import {
  Endpoint,
  Overview,
  OverviewQuery,
  ProjectInspectedRequest,
  ProjectInspectorQuery,
  UnsentEvent,
  UnsentEventsQuery,
} from "@sendoff/contract";
import type pg from "pg";
import { z } from "zod";
import { inspectedOfProject } from "../../inspector/of-project.ts";
import { listUnsent } from "../../lifecycle/unsent.ts";
import { readOverview } from "../../overview/read.ts";
import { windowOf } from "../../overview/window.ts";
import type { Sealer } from "../../secrets/seal.ts";
import { listEndpoints } from "../../tenancy/endpoint-list.ts";
import { signingSecretsOf } from "../../tenancy/signing-secrets.ts";
import { kindOfPage, type RequestPlaces } from "../request-places.ts";
import { type Route, route } from "../route.ts";

/** What the dashboard shows beside sessions and attempts. */
export function overviewRoutes(pool: pg.Pool, sealer: Sealer, places: RequestPlaces): Route[] {
  const project = "/v1/projects/{projectId}";
  return [
    route({
      method: "GET",
      path: `${project}/overview`,
      access: "project",
      summary: "The numbers of a project over a span of time: reports, events, attempts, latency, failures.",
      query: OverviewQuery,
      answers: [{ status: 200, when: "The numbers.", data: Overview }],
      errors: ["overloaded"],
      placesItself: true,
      async handle({ path: { projectId = "" }, query, caller }) {
        const window = windowOf(query.from, query.to, Date.now());
        const overview = await places.run("expensive", caller, (ofKind) =>
          readOverview(ofKind, projectId, window),
        );
        return { status: 200, data: overview };
      },
    }),
    route({
      method: "GET",
      path: `${project}/endpoints`,
      access: "project",
      summary: "The endpoints of a project, also removed ones: what endpointId of a log row names.",
      answers: [
        { status: 200, when: "Those that are there first, each part newest first.", data: z.array(Endpoint) },
      ],
      async handle({ path: { projectId = "" } }) {
        return { status: 200, data: await listEndpoints(pool, projectId) };
      },
    }),
    route({
      method: "GET",
      path: `${project}/unsent-events`,
      access: "project",
      summary: "Events that went to no endpoint, newest first, and why.",
      query: UnsentEventsQuery,
      answers: [{ status: 200, when: "A page.", data: UnsentEvent, list: true }],
      errors: ["overloaded"],
      placesItself: true,
      async handle({ path: { projectId = "" }, query, caller }) {
        const { events, nextCursor } = await places.run(kindOfPage(query.limit), caller, (ofKind) =>
          listUnsent(ofKind, projectId, query),
        );
        return { status: 200, data: events, nextCursor };
      },
    }),
    route({
      method: "GET",
      path: `${project}/inspector-requests`,
      access: "project",
      summary: "What arrived at the project's built-in endpoint, and whether its signature is right.",
      query: ProjectInspectorQuery,
      answers: [{ status: 200, when: "A page.", data: ProjectInspectedRequest, list: true }],
      async handle({ path: { projectId = "" }, query }) {
        const secrets = await signingSecretsOf(pool, sealer, projectId);
        const { requests, nextCursor } = await inspectedOfProject(pool, projectId, query, secrets);
        return { status: 200, data: requests, nextCursor };
      },
    }),
  ];
}
