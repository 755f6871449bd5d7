import type { IncomingMessage } from "node:http";
import type { Refusal } from "../refusal.ts";
import type { Route } from "./route.ts";

/** Whether a request is refused for want of time: by its first line alone, before its key or its body is looked at. */
export type Admission = (request: IncomingMessage) => Refusal | null;

/** The admission of those routes that have a word in it (route.ts, `admit`). */
export function createAdmission(routes: readonly Route[]): Admission {
  const guarded = routes.flatMap(({ method, path, admit }) =>
    admit === undefined ? [] : [{ method, pattern: patternOf(path), admit }],
  );
  return ({ method, url = "" }) => {
    for (const { method: guardedMethod, pattern, admit } of guarded) {
      const projectId = method === guardedMethod ? pattern.exec(url)?.groups?.projectId : undefined;
      if (projectId !== undefined) return admit(projectId);
    }
    return null;
  };
}

/** A route's path with whatever stands for its parts. What somebody writes in another way is refused by the intake itself. */
const patternOf = (path: string): RegExp =>
  new RegExp(`^${path.replace(/[.]/g, "\\.").replace(/\{(\w+)\}/g, "(?<$1>[^/?]+)")}(?:\\?|$)`);
