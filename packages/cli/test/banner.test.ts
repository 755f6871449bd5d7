import { expect, test } from "vitest";
import { banner } from "../src/banner.ts";

const start = {
  apiUrl: "http://127.0.0.1:4600",
  dashboardUrl: "http://127.0.0.1:4600/dashboard/",
  signInUrl: "http://127.0.0.1:4600/dashboard/sign-in#token=sign-in-token",
  inspectorUrl: "http://127.0.0.1:4600/inspect/inspector-token",
  projectId: "8f3e2c91-4a7b-4d6e-a23c-9b1f5e8d4c20",
  projectKey: "sk_project",
  developerKey: "dk_developer",
  pid: 4711,
};
const opening = [start.signInUrl, start.inspectorUrl, start.projectKey, start.developerKey];
const startPath = "/data/start.json";

test("a terminal is shown everything that opens something", () => {
  const text = banner({ start, startPath, toTerminal: true });
  for (const value of [...opening, start.apiUrl, start.projectId, startPath]) expect(text).toContain(value);
  expect(text).not.toContain("keys create");
});

test("elsewhere nothing that opens something is shown, but where it stands", () => {
  const text = banner({ start, startPath, toTerminal: false });
  for (const value of opening) expect(text).not.toContain(value);
  expect(text).not.toMatch(/token|[sd]k_/);
  expect(text).toContain(
    `The keys and a sign-in link stand in that file, which its owner alone may read: cat ${startPath}`,
  );
});

test("a start that does not know the keys says so, and how to make one", () => {
  const further = { ...start, inspectorUrl: null, projectKey: null, developerKey: null };
  for (const toTerminal of [true, false]) {
    const text = banner({ start: further, startPath, toTerminal });
    expect(text).toContain("This database has keys already");
    expect(text).toContain("sendoff keys create");
    expect(text).not.toContain("null");
  }
  const one = banner({ start: { ...start, developerKey: null }, startPath, toTerminal: true });
  expect(one).toContain(start.projectKey);
  expect(one).toContain("This database has keys already");
});
