import { expect, test } from "vitest";
import { main } from "../src/main.ts";

/** Runs the command line and keeps what it wrote. */
async function run(args: string[], env: Record<string, string> = {}) {
  const written = { out: "", err: "" };
  const status = await main(args, {
    stdout: { write: (text) => (written.out += text) },
    stderr: { write: (text) => (written.err += text) },
    env: { SENDOFF_DATA: "/nonexistent", ...env },
  });
  return { status, ...written };
}

test("--help shows the commands with examples, --version the version", async () => {
  const help = await run(["--help"]);
  expect(help.status).toBe(0);
  expect(help.out).toMatch(/tail[\s\S]*simulate[\s\S]*Examples:/);
  expect(await run(["--version"])).toMatchObject({ status: 0, out: "0.1.0\n" });
  expect((await run(["simulate", "--help"])).out).toContain("--patience <duration>");
});

test("an unknown command, an unknown option and a wrong value are wrong usage", async () => {
  expect(await run(["simulat"])).toMatchObject({
    status: 2,
    err: expect.stringContaining("Did you mean simulate?"),
  });
  expect(await run(["tail", "--jsn"])).toMatchObject({
    status: 2,
    err: expect.stringContaining("unknown option"),
  });
  expect(await run(["simulate", "extra"])).toMatchObject({ status: 2 });
  const wrong = [
    ["--rate", "0"],
    ["--rate", "-5"],
    ["--sessions", "1.5"],
    ["--seed", "4294967296"],
    ["--patience", "60"],
    ["--speed", "fast"],
  ];
  for (const pair of wrong) expect((await run(["simulate", ...pair])).status, pair.join(" ")).toBe(2);
});

test("no server, or one that does not answer, is told in one sentence", async () => {
  const nothing = await run(["simulate"]);
  expect(nothing).toMatchObject({
    status: 2,
    out: "",
    err: expect.stringMatching(/^No server found: .*npm start\.\n$/),
  });
  const away = { SENDOFF_API_URL: "http://127.0.0.1:9", SENDOFF_KEY: "sk_x", SENDOFF_PROJECT: "p" };
  const closed = await run(["simulate"], away);
  expect(closed).toMatchObject({
    status: 2,
    err: "http://127.0.0.1:9 does not answer (ECONNREFUSED). Start it with npm start.\n",
  });
  expect(await run(["tail"], { SENDOFF_INSPECTOR_URL: "http://127.0.0.1:9/inspect/x" })).toMatchObject({
    status: 2,
  });
  expect(await run(["simulate", "--file", "/nonexistent.jsonl"])).toMatchObject({ status: 2 });
});
