import { SessionErasure } from "@sendoff/contract";
import { Refusal } from "../../refusal.ts";
import { type ErasureParts, erase } from "../../retention/erase.ts";
import { type Route, route } from "../route.ts";

export function eraseRoutes(parts: ErasureParts): Route[] {
  return [
    route({
      method: "DELETE",
      path: "/v1/projects/{projectId}/sessions/{sessionId}",
      access: "project",
      summary:
        "Erases the session's variables, bodies, responses and audio; keeps counts, outcomes and hashes.",
      answers: [
        {
          status: 200,
          when: "It is erased; the answer says what was there. The same call again changes nothing.",
          data: SessionErasure,
        },
      ],
      errors: ["session_not_found", "recording_store_unavailable"],
      async handle({ path: { projectId = "", sessionId = "" } }) {
        const erased = await erase(parts, projectId, sessionId);
        if (erased === null) {
          throw new Refusal("session_not_found", `This project has no session ${JSON.stringify(sessionId)}.`);
        }
        return { status: 200, data: erased };
      },
    }),
  ];
}
