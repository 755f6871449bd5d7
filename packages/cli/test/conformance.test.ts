// `sendoff check` against receivers over real sockets: one that is right, many that are wrong in one way each, and the
// one of the platform's own documents.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Report } from "../src/conformance/report.ts";
import { newSecret } from "../src/send/signature.ts";
import { run } from "./command.ts";
import { startReceiver, type TestReceiver, type Way } from "./receivers.ts";

const secret = newSecret();
const authorization = "Bearer my-own-token";
const known = { secret, authorization };
const slowAt = ["--answer-within", "400ms"];
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sendoff-check-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Checks a receiver with all that it expects and tells. */
async function check(receiver: TestReceiver, ...further: string[]): Promise<Report & { status: number }> {
  const header = ["--header", `Authorization: ${authorization}`];
  const args = [
    "check",
    receiver.url,
    "--json",
    "--effects",
    receiver.url,
    "--settle",
    "1s",
    ...header,
    ...slowAt,
  ];
  const { status, out, err } = await run([...args, ...further], { SENDOFF_SIGNING_SECRET: secret });
  expect(out, err).not.toBe("");
  return { ...JSON.parse(out), status };
}

const named = (report: Report, verdict: string): string[] =>
  report.rules.filter((rule) => rule.verdict === verdict).map(({ id }) => id);

test("a receiver that does all that is asked holds every rule", async () => {
  const receiver = await startReceiver(null, known);
  const report = await check(receiver, "--strict");
  await receiver.close();
  expect(report.rules.filter(({ verdict }) => verdict !== "held")).toEqual([]);
  expect(report).toMatchObject({ ok: true, status: 0 });
  expect(report.posts).toBeGreaterThan(250);
});

test.each<[Way, string, "broken" | "lacks", RegExp]>([
  ["refuses unknown events", "unknown-event", "broken", /^session\.escalated got 400/],
  ["refuses unknown fields", "unknown-field", "broken", /with an unknown field\) got 422/],
  ["needs the field reason", "without-reason", "broken", /^session\.ended \(without reason\)/],
  ["takes 0 seconds for no duration", "no-traffic", "broken", /^call\.ended \(busy, 0 s\)/],
  ["knows half of the statuses", "call-statuses", "broken", /\(sipTrunkFailure\) got 422/],
  [
    "needs call fields on every finalized",
    "text-session",
    "broken",
    /^session\.finalized \(a text session\)/,
  ],
  ["needs a link on every recording", "recording-failed", "broken", /^recording\.ready \(success false\)/],
  [
    "needs session.ended before call.ended",
    "orders",
    "broken",
    /^call\.ended \(in the order .*call\.ended, session\.ended/,
  ],
  ["refuses what comes again", "duplicates", "broken", /\(sent again\) got 409/],
  ["refuses more than 12 at once", "burst", "broken", /\(32 at once\) got 503/],
  ["works before it answers", "fast", "broken", /^session\.finalized.* took [5-9]\d\d ms/],
  ["cannot store a NUL", "odd-variables", "broken", /\(a NUL character\) got 422/],
  ["reads 20 KiB", "large", "broken", /\(64 KiB\) got 413/],
  ["reads 100 KiB", "huge", "lacks", /\(256 KiB\) got 413/],
  ["checks no signature", "signature", "broken", /\(without a signature\) got 200; expected 401/],
  ["checks no age", "signature-age", "broken", /\(signed 10 minutes ago\) got 200/],
  ["looks at the first signature", "signature-rotation", "broken", /got 401/],
  ["signs parsed JSON", "raw-bytes", "broken", /\(written in an unusual way\) got 401/],
  ["checks no header", "source", "lacks", /\(without the header\) got 200/],
  [
    "loses session.finalized",
    "processed",
    "broken",
    /^session\.finalized was answered with 2xx and not processed/,
  ],
  ["knows a session once", "processed", "broken", /^call\.ended was answered/],
  ["processes what comes again", "dedupe", "lacks", /\(sent again\) was processed 2 times/],
  [
    "knows a webhook-id, not an event",
    "dedupe",
    "lacks",
    /another webhook-id and timestamp\) was processed 2 times/,
  ],
  ["looks, then remembers", "dedupe", "lacks", /\(sent three times at once\) was processed [23] times/],
])(
  "a receiver that %s: the report names %s, and nothing else",
  async (way, rule, verdict, finding) => {
    const receiver = await startReceiver(way, known);
    const report = await check(receiver);
    await receiver.close();
    expect({ broken: named(report, "broken"), lacks: named(report, "lacks") }).toEqual({
      broken: [],
      lacks: [],
      [verdict]: [rule],
    });
    const result = report.rules.find(({ id }) => id === rule);
    expect(
      result?.findings.some((text) => finding.test(text)),
      result?.findings.join("\n"),
    ).toBe(true);
    expect(report.status).toBe(verdict === "broken" ? 1 : 0);
  },
  60_000,
);

test("what is refused and processed all the same is named", async () => {
  const receiver = await startReceiver("processes what it refuses", known);
  const report = await check(receiver);
  await receiver.close();
  expect(named(report, "broken")).toEqual(["signature"]);
  expect(report.rules.find(({ id }) => id === "signature")?.findings[0]).toMatch(
    /got 401, and was processed all the same/,
  );
});

test("a redirect is named with where it leads, and that none is followed", async () => {
  const receiver = await startReceiver("answers with a redirect", known);
  const { out, status } = await run(["check", receiver.url]);
  await receiver.close();
  expect(status).toBe(1);
  expect(out).toContain("session.ended got 302 to /elsewhere.");
  expect(out).toContain("A redirect is not followed");
});

test("the receiver of the platform's documents holds where its guarantees reach, and lacks dedupe", async () => {
  const effects = join(folder, "seed.jsonl");
  const child = spawn(process.execPath, [join(import.meta.dirname, "seed-express/receiver.mjs")], {
    env: { ...process.env, EFFECTS: effects },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [url] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  const asked = await run(["check", url, "--effects", effects, "--settle", "1s", "--json"]);
  const told = await run(["check", url, "--effects", effects, "--settle", "1s"]);
  const strict = await run(["check", url, "--effects", effects, "--settle", "1s", "--strict"]);
  const blind = await run(["check", url]);
  child.kill();
  const report = JSON.parse(asked.out) as Report;
  expect(named(report, "broken")).toEqual([]);
  expect(named(report, "lacks")).toEqual(["huge", "source", "dedupe"]);
  expect(asked.status).toBe(0);
  expect(report.rules.find(({ id }) => id === "dedupe")).toMatchObject({
    asks: "if you need exactly-once handling, dedupe on (sessionId, event).",
  });
  expect(told.out).toContain("Nothing that must hold is broken. It lacks: huge, source, dedupe.");
  expect(strict.status).toBe(1);
  expect(blind.out).toContain(
    "Not seen: signature, signature-age, signature-rotation, raw-bytes, processed, dedupe.",
  );
  expect(blind.out).toContain("It could not be seen: the receiver does not tell what it processed.");
});

test("effects are read from a command, from lines and from an array; a wrong one says what is expected", async () => {
  const receiver = await startReceiver(null, {});
  const command = `node -e "fetch('${receiver.url}').then((answer) => answer.json()).then((all) => all.map((pair) => console.log(JSON.stringify(pair))))"`;
  const { out } = await run(["check", receiver.url, "--effects-command", command, "--json"]);
  const wrong = join(folder, "wrong.jsonl");
  await writeFile(wrong, '{"session":"x"}\n');
  const refused = await run(["check", receiver.url, "--effects", wrong]);
  const both = await run(["check", receiver.url, "--effects", wrong, "--effects-command", "true"]);
  const failing = await run(["check", receiver.url, "--effects-command", "exit 3"]);
  await receiver.close();
  expect(named(JSON.parse(out), "held")).toEqual(expect.arrayContaining(["processed", "dedupe"]));
  expect(refused).toMatchObject({
    status: 2,
    err: expect.stringContaining('Expected is one ["sessionId","event"]'),
  });
  expect(both).toMatchObject({ status: 2, err: "Give either --effects or --effects-command.\n" });
  expect(failing).toMatchObject({
    status: 2,
    err: expect.stringContaining("cannot be read from the command exit 3"),
  });
});

test("no receiver, a wrong path and a wrong secret are told in one sentence", async () => {
  const receiver = await startReceiver(null, known);
  const closed = await run(["check", "http://127.0.0.1:9/hook"]);
  const unsigned = await run(["check", receiver.url]);
  const other = await run(["check", receiver.url, "--secret", newSecret()]);
  const malformed = await run(["check", receiver.url], { SENDOFF_SIGNING_SECRET: "whsec_x" });
  const noUrl = await run(["check", "localhost:3000"]);
  await receiver.close();
  expect(closed).toMatchObject({
    status: 2,
    err: expect.stringContaining("ECONNREFUSED). Start the receiver first."),
  });
  expect(unsigned).toMatchObject({
    status: 2,
    err: expect.stringContaining("Give what it expects: --secret"),
  });
  expect(other).toMatchObject({ status: 2, err: expect.stringContaining("Is the secret or header the one") });
  expect(malformed).toMatchObject({
    status: 2,
    err: expect.stringMatching(/^SENDOFF_SIGNING_SECRET is wrong\./),
  });
  expect(malformed.err).not.toContain("whsec_x");
  expect(noUrl).toMatchObject({ status: 2, err: expect.stringContaining("Expected an http or https URL") });
});

test("a receiver that ends in the middle is told with what came before, and its answers are shown as text", async () => {
  let count = 0;
  const server = createServer((request, response) => {
    count += 1;
    request.resume().on("end", () => {
      response.writeHead(count > 4 ? 500 : 200).end(count > 4 ? "\u001b[31m\u009b2J\u202eno" : "ok");
      if (count > 40) server.close(() => {});
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { out, status } = await run(["check", `http://127.0.0.1:${(server.address() as AddressInfo).port}/`]);
  server.closeAllConnections();
  expect(status).toBe(1);
  expect(out).toContain("It did not take connections any more. The last answer was to");
  expect(out).toContain("500: \\u{1b}[31m\\u{9b}2J\\u{202e}no");
  expect(out.replaceAll("\n", "")).toMatch(/^[^\p{Cc}\p{Cf}]+$/u);
});
