import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { findConnection, findInspector, findInstallation } from "../src/connection.ts";

const start = {
  apiUrl: "http://127.0.0.1:4600",
  dashboardUrl: null,
  signInUrl: null,
  inspectorUrl: "http://127.0.0.1:4600/inspect/token",
  projectId: "8f3e2c91-4a7b-4d6e-a23c-9b1f5e8d4c20",
  projectKey: "sk_start",
  developerKey: "dk_start",
  pid: 4711,
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sendoff-connection-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function writeStart(name: string, content: unknown = start): string {
  mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(
    join(folder, name, "start.json"),
    typeof content === "string" ? content : JSON.stringify(content),
  );
  return join(folder, name);
}

const fromStart = {
  apiUrl: start.apiUrl,
  key: start.projectKey,
  projectId: start.projectId,
  inspectorUrl: start.inspectorUrl,
};

test("start.json is found in .sendoff, or where SENDOFF_DATA says", () => {
  writeStart(".sendoff");
  expect(findConnection({}, {}, folder)).toEqual(fromStart);
  const elsewhere = writeStart("elsewhere", { ...start, projectKey: "sk_other" });
  expect(findConnection({}, { SENDOFF_DATA: elsewhere }, folder)).toEqual({ ...fromStart, key: "sk_other" });
});

test("a flag wins over the environment, and the environment over start.json", () => {
  writeStart(".sendoff");
  const env = { SENDOFF_KEY: "sk_env", SENDOFF_PROJECT: "project-env" };
  expect(findConnection({ key: "sk_flag" }, env, folder)).toMatchObject({
    key: "sk_flag",
    projectId: "project-env",
  });
});

test("the key of start.json never goes to another server", () => {
  writeStart(".sendoff");
  const other = { api: "https://sendoff.example.com/" };
  expect(() => findConnection(other, {}, folder)).toThrow("No key is known for https://sendoff.example.com");
  expect(() => findConnection({ ...other, key: "sk_x" }, {}, folder)).toThrow(/No project is known/);
  expect(findConnection({ ...other, key: "sk_x", project: "p" }, {}, folder)).toEqual({
    apiUrl: "https://sendoff.example.com",
    key: "sk_x",
    projectId: "p",
    inspectorUrl: null,
  });
});

test("the same server by its own URL still takes the rest from start.json", () => {
  writeStart(".sendoff");
  expect(findConnection({ api: "http://127.0.0.1:4600/" }, {}, folder)).toEqual(fromStart);
});

test("nothing found, a broken start.json and a wrong URL are told in a sentence", () => {
  expect(() => findConnection({}, {}, folder)).toThrow(
    /No server found: .*start\.json.*Start it with npm start\./,
  );
  expect(() => findInspector({}, {}, folder)).toThrow(/No server found/);
  writeStart(".sendoff", "{");
  expect(() => findConnection({}, {}, folder)).toThrow(/is not what sendoff start writes/);
  writeStart(".sendoff", { ...start, inspectorUrl: "x" });
  expect(() => findConnection({}, {}, folder)).toThrow(/see inspectorUrl/);
  expect(() => findConnection({ api: "localhost:4600", key: "k", project: "p" }, {}, "/")).toThrow(
    /no http or https URL/,
  );
});

test("the inspector is found by flag, environment or start.json, and not for another server", () => {
  writeStart(".sendoff");
  expect(findInspector({}, {}, folder)).toBe(start.inspectorUrl);
  expect(findInspector({ inspector: "http://a/b" }, {}, folder)).toBe("http://a/b");
  expect(findInspector({}, { SENDOFF_INSPECTOR_URL: "http://c/d" }, folder)).toBe("http://c/d");
  expect(() => findInspector({ api: "http://e" }, {}, folder)).toThrow(
    /No inspector is known for http:\/\/e/,
  );
});

test("a start.json without keys or inspector is told in a sentence that says how to make a key", () => {
  writeStart(".sendoff", { ...start, inspectorUrl: null, projectKey: null, developerKey: null });
  const noKey =
    /^No key is known for http:\/\/127.0.0.1:4600: give --key or SENDOFF_KEY\. .*start\.json has none.*keys create/;
  expect(() => findConnection({}, {}, folder)).toThrow(noKey);
  expect(() => findInstallation({}, {}, folder)).toThrow(noKey);
  expect(findConnection({}, { SENDOFF_KEY: "sk_env" }, folder)).toEqual({
    ...fromStart,
    key: "sk_env",
    inspectorUrl: null,
  });
  expect(() => findInspector({}, {}, folder)).toThrow("No inspector is known for http://127.0.0.1:4600");
  writeStart(".sendoff", { ...start, developerKey: null });
  expect(findInstallation({}, {}, folder).keys.map(({ key }) => key)).toEqual([start.projectKey]);
});
