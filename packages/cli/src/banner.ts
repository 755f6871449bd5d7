import type { StartFile } from "@sendoff/contract";

/** What people are told of a server that runs. */
interface BannerParts {
  readonly start: StartFile;
  /** Path of start.json. */
  readonly startPath: string;
  /** Whether it goes to a terminal. Elsewhere it is collected, and neither keys nor links that open something are shown. */
  readonly toTerminal: boolean;
}

/** What `start` and `api` print when they run. */
export function banner(parts: BannerParts): string {
  const lines = rowsOf(parts).map(([name, value]) => `  ${name.padEnd(14)} ${value}`);
  return [
    "",
    "Sendoff runs.",
    "",
    ...lines,
    "",
    ...keysNote(parts),
    "Next, in another terminal:",
    "  npx sendoff simulate    plays sessions through the API",
    "  npx sendoff tail        prints their webhooks as they arrive at the inspector",
    "",
    "Ctrl-C ends it.",
  ].join("\n");
}

function rowsOf({ start, startPath, toTerminal }: BannerParts): Array<[string, string]> {
  const { signInUrl, dashboardUrl, inspectorUrl, projectKey, developerKey } = start;
  const rows: Array<[string, string | null]> = toTerminal
    ? [
        ["Dashboard", signInUrl && `${signInUrl} (signs you in once, within an hour)`],
        ["API", start.apiUrl],
        ["Inspector", inspectorUrl && `${inspectorUrl} (open it in a browser)`],
        ["Project", start.projectId],
        ["Project key", projectKey],
        ["Developer key", developerKey],
        ["Written to", startPath],
      ]
    : [
        ["Dashboard", dashboardUrl],
        ["API", start.apiUrl],
        ["Project", start.projectId],
        ["Written to", startPath],
      ];
  return rows.filter((row): row is [string, string] => row[1] !== null);
}

function keysNote({ start, startPath, toTerminal }: BannerParts): string[] {
  const notes: string[] = [];
  if (!toTerminal) {
    const what =
      start.projectKey === null && start.developerKey === null
        ? "A sign-in link stands"
        : "The keys and a sign-in link stand";
    notes.push(`${what} in that file, which its owner alone may read: cat ${startPath}`, "");
  }
  if (start.projectKey === null || start.developerKey === null) {
    notes.push(
      "This database has keys already, of which this start does not know all; it made none.",
      "sendoff keys list shows them, and sendoff keys create makes a new one.",
      "",
    );
  }
  return notes;
}

export const workerBanner = `
The worker runs: it delivers what is due.

Ctrl-C ends it.`;
