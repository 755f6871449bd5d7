import { existsSync, readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import ajvFormats from "ajv-formats";
import { describe, expect, test } from "vitest";
import { callStatuses, type EventName, eventNames, payloadSchemas } from "../src/events.ts";
import { generatedFiles } from "../src/generated-files.ts";
import { goldenExamples } from "../src/golden.ts";
import { type PayloadFacts, payloadText, withRecordingUrl } from "../src/payloads.ts";
import { publishedSchemas } from "../src/schemas.ts";

const packageRoot = resolve(import.meta.dirname, "..");
const seedsFolder = resolve(packageRoot, "../../../shared/seeds");

const read = (path: string): string => readFileSync(resolve(packageRoot, path), "utf8");
const goldenNames = readdirSync(resolve(packageRoot, "golden")).map((file) => file.replace(/\.json$/, ""));
const golden = (name: string): Record<string, unknown> => JSON.parse(read(`golden/${name}.json`));
const eventOf = (name: string): EventName => golden(name).event as EventName;

/** Names of schemas/, by event. */
const schemaFiles: Record<EventName, string> = {
  "session.started": "session-started",
  "session.ended": "session-ended",
  "call.ended": "call-ended",
  "session.finalized": "session-finalized",
  "recording.ready": "recording-ready",
};

const ajv = new Ajv2020({ strict: true, allErrors: true });
ajvFormats.default(ajv);
const validators = new Map<string, ValidateFunction>();
function ajvOf(schema: string): ValidateFunction {
  const known = validators.get(schema);
  if (known !== undefined) return known;
  const compiled = ajv.compile(JSON.parse(read(`schemas/${schema}.json`)));
  validators.set(schema, compiled);
  return compiled;
}

/** What zod and what the published JSON Schema say of a body; they must agree. */
function verdict(event: EventName, body: unknown): boolean {
  const byZod = payloadSchemas[event].safeParse(body).success;
  const byAjv = ajvOf(schemaFiles[event])(body);
  const byUnion = publishedSchemas["event-payload"]?.safeParse(body).success;
  const byAjvUnion = ajvOf("event-payload")(body);
  expect({ byAjv, byUnion, byAjvUnion }).toEqual({ byAjv: byZod, byUnion: byZod, byAjvUnion: byZod });
  return byZod;
}

describe("the generated files", () => {
  test("in schemas/ and golden/ lies what the sources make now, byte for byte, and nothing else", () => {
    const stored = ["schemas", "golden"].flatMap((folder) =>
      readdirSync(resolve(packageRoot, folder)).map((file) => `${folder}/${file}`),
    );
    const made = generatedFiles();
    expect(stored.sort()).toEqual(Object.keys(made).sort());
    for (const [path, content] of Object.entries(made)) {
      expect(readFileSync(resolve(packageRoot, path)).equals(Buffer.from(content)), path).toBe(true);
    }
  });

  test("there is a golden body of each event and of each of the 14 call statuses", () => {
    expect(new Set(goldenNames.map(eventOf))).toEqual(new Set(eventNames));
    expect(goldenNames).toEqual(expect.arrayContaining(Object.keys(goldenExamples())));
    const statuses = goldenNames
      .filter((name) => eventOf(name) === "call.ended")
      .map((name) => golden(name).callStatus);
    expect(statuses.length).toBe(14);
    expect(new Set(statuses)).toEqual(new Set(callStatuses));
  });

  test.each(Object.keys(publishedSchemas))("schemas/%s.json is a valid JSON Schema 2020-12", (name) => {
    const schema = JSON.parse(read(`schemas/${name}.json`));
    expect(schema.$schema).toBe("https://json-schema.org/draft/2020-12/schema");
    expect(ajv.validateSchema(schema)).toBe(true);
    expect(typeof ajvOf(name)).toBe("function");
  });

  test.each(goldenNames)("golden/%s.json fits its schema by zod and by Ajv", (name) => {
    expect(verdict(eventOf(name), golden(name)), JSON.stringify(ajv.errors)).toBe(true);
  });

  test.each(goldenNames)("golden/%s.json fits no other event's schema", (name) => {
    const others = eventNames.filter((event) => event !== eventOf(name));
    for (const other of others) expect(payloadSchemas[other].safeParse(golden(name)).success).toBe(false);
  });

  test.each(goldenNames)("an unknown further field of %s passes: a receiver must not break on it", (name) => {
    expect(verdict(eventOf(name), { ...golden(name), addedIn2031: { any: [1] } })).toBe(true);
  });

  test.each(goldenNames)("%s with any one field missing is refused", (name) => {
    const body = golden(name);
    // Without both call fields it is a text session's body; one alone cannot be left out.
    for (const field of Object.keys(body)) {
      const { [field]: _left, ...rest } = body;
      expect(verdict(eventOf(name), rest), `without ${field}`).toBe(false);
    }
  });

  test.each(goldenNames)("%s with a field of another type is refused", (name) => {
    const body = golden(name);
    for (const [field, value] of Object.entries(body)) {
      for (const wrong of [null, [value], typeof value === "string" ? 1 : "1"]) {
        expect(verdict(eventOf(name), { ...body, [field]: wrong }), `${field}: ${wrong}`).toBe(false);
      }
    }
  });
});

describe("wrong bodies", () => {
  const call = golden("call.ended.userHangup");
  const finalized = golden("session.finalized.call");
  const text = golden("session.finalized.text");
  const ready = golden("recording.ready.success");
  const failed = golden("recording.ready.failure");

  test.each<[string, EventName, object]>([
    ["a 15th callStatus", "call.ended", { ...call, callStatus: "hungUp" }],
    ["a callStatus in another case", "call.ended", { ...call, callStatus: "ended" }],
    ["a 15th callStatus in the summary", "session.finalized", { ...finalized, callStatus: "hungUp" }],
    ["a negative duration", "call.ended", { ...call, callDuration: -1 }],
    ["a negative duration in the summary", "session.finalized", { ...finalized, callDuration: -0.5 }],
    ["call fields that are null", "session.finalized", { ...text, callStatus: null, callDuration: null }],
    ["a callStatus without its duration", "session.finalized", { ...text, callStatus: "busy" }],
    ["a duration without its callStatus", "session.finalized", { ...text, callDuration: 0 }],
    ["a recordingUrl without success", "recording.ready", { ...failed, recordingUrl: ready.recordingUrl }],
    ["a recordingUrl that is null", "recording.ready", { ...failed, recordingUrl: null }],
    ["success without a recordingUrl", "recording.ready", { ...failed, success: true }],
    ["half a message", "session.finalized", { ...text, messagesCount: 1.5 }],
    ["fewer than no messages", "session.finalized", { ...text, messagesCount: -1 }],
    ["variables in an array", "session.finalized", { ...text, extractedVariables: [] }],
    ["another reason", "session.ended", { ...golden("session.ended"), reason: "timeout" }],
    ["a projectId that is no UUID", "call.ended", { ...call, projectId: "first" }],
    ["a timestamp without time", "call.ended", { ...call, timestamp: "2026-05-03" }],
    ["a session id with a space", "call.ended", { ...call, sessionId: "a b" }],
    ["a channel of another kind", "session.started", { ...golden("session.started"), channel: "sms" }],
  ])("%s is refused in %s", (_what, event, body) => {
    expect(verdict(event, body)).toBe(false);
  });
});

/** The seeds' field lists, for a checkout without the seeds beside it. */
const writtenOrders: Record<string, readonly string[]> = {
  "session.ended": "event sessionId timestamp currentNodeId messagesCount extractedVariables reason".split(
    " ",
  ),
  "call.ended.userHangup": "event sessionId projectId timestamp callStatus callDuration".split(" "),
  "session.finalized.call": (
    "event sessionId projectId timestamp currentNodeId messagesCount extractedVariables " +
    "callStatus callDuration"
  ).split(" "),
  "session.finalized.text":
    "event sessionId projectId timestamp currentNodeId messagesCount extractedVariables".split(" "),
  "recording.ready.success": "event sessionId projectId timestamp success recordingUrl".split(" "),
  "recording.ready.failure": "event sessionId projectId timestamp success".split(" "),
};

/** Which golden file shows what an example of the seeds shows. */
function goldenNameOf(example: Record<string, unknown>): string {
  if (example.event === "call.ended") return `call.ended.${example.callStatus}`;
  if (example.event === "session.finalized") {
    return `session.finalized.${"callStatus" in example ? "call" : "text"}`;
  }
  if (example.event === "recording.ready")
    return `recording.ready.${example.success === true ? "success" : "failure"}`;
  return String(example.event);
}

/** Every JSON object with an `event` that stands in the seeds, by the golden file that shows the same. */
function seedExamples(): Map<string, Record<string, unknown>> {
  const examples = new Map<string, Record<string, unknown>>();
  for (const file of readdirSync(seedsFolder)) {
    const seed = readFileSync(resolve(seedsFolder, file), "utf8");
    for (const [json] of seed.matchAll(/^\{\n {2}"event":[\s\S]*?^\}$/gm)) {
      const example = JSON.parse(json) as Record<string, unknown>;
      examples.set(goldenNameOf(example), example);
    }
  }
  return examples;
}

describe("the seeds' own examples", () => {
  const seedsAreHere = existsSync(seedsFolder);

  test("have their fields in the order of the golden bodies", () => {
    if (!seedsAreHere && process.env.CI) throw new Error(`the seeds are missing at ${seedsFolder}`);
    const orders = seedsAreHere
      ? new Map([...seedExamples()].map(([name, example]) => [name, Object.keys(example)]))
      : new Map(Object.entries(writtenOrders));
    expect([...orders.keys()].sort()).toEqual(Object.keys(writtenOrders).sort());
    for (const [name, fields] of orders) expect(Object.keys(golden(name)), name).toEqual(fields);
    // The list in this test is not allowed to go its own way.
    expect(Object.fromEntries(orders)).toEqual(writtenOrders);
  });

  test.runIf(seedsAreHere)("are the golden bodies themselves, but for the link and what it stands on", () => {
    for (const [name, example] of seedExamples()) {
      const { recordingUrl, ...rest } = example;
      expect(golden(name), name).toMatchObject(rest);
      expect("recordingUrl" in golden(name)).toBe(recordingUrl !== undefined);
      expect(verdict(eventOf(name), example)).toBe(true);
    }
  });
});

describe("strange values in a body", () => {
  const facts: PayloadFacts = {
    projectId: "8f3e2c91-4a7b-4d6e-a23c-9b1f5e8d4c20",
    sessionId: "a.b_c:d-1",
    channel: "call",
    currentNodeId: "start",
    messagesCount: 0,
    variables: "{}",
    callStatus: "busy",
    callDuration: 0,
    recordingSuccess: true,
  };
  const at = new Date("2026-05-03T08:42:14.300Z");

  test.each([
    ["quotes and backslashes", 'say "hi" \\ and \\"'],
    ["line breaks of every kind", "a\nb\rc\u2028d\u2029e\u0085f"],
    ["NUL and control characters", "\0\u0001\u001f\u007f"],
    ["halves of surrogate pairs", "\ud800 \udc00 \udc00\ud800"],
    ["characters beyond the 16-bit plane", "\u{1f600}\u{10ffff}"],
    ["what looks like the next field", '","reason":"x'],
  ])("%s in currentNodeId come out as they went in", (_what, currentNodeId) => {
    for (const event of ["session.ended", "session.finalized"] as const) {
      const body = payloadText(event, { ...facts, currentNodeId }, at);
      expect(JSON.parse(body).currentNodeId).toBe(currentNodeId);
      expect(Object.keys(JSON.parse(body)).length).toBe(event === "session.ended" ? 7 : 9);
      // Over the wire it goes as UTF-8: nothing may be lost there either.
      expect(JSON.parse(Buffer.from(body).toString("utf8")).currentNodeId).toBe(currentNodeId);
    }
  });

  test("variables stand in the body character for character", () => {
    const variables =
      '{"2":1,"1":2,"big":9007199254740993,"huge":1e400,"fine":0.10,"__proto__":{"admin":true},' +
      '"constructor":{"prototype":{}},"nul":"\\u0000","half":"\\ud800","toJSON":"no","a\\/b":"\\/"}';
    for (const event of ["session.ended", "session.finalized"] as const) {
      expect(payloadText(event, { ...facts, variables }, at)).toContain(`"extractedVariables":${variables},`);
    }
    expect(({} as Record<string, unknown>).admin).toBeUndefined();
  });

  test("a text session's summary has no call fields at all, whatever else is known", () => {
    const text = { ...facts, channel: "text" as const, callStatus: null, callDuration: null };
    expect(Object.keys(JSON.parse(payloadText("session.finalized", text, at)))).toEqual(
      writtenOrders["session.finalized.text"],
    );
  });

  test("a link goes in as the last field, with its own quotes written so that they do no harm", () => {
    const body = payloadText("recording.ready", facts, at);
    expect(JSON.parse(body)).not.toHaveProperty("recordingUrl");
    const linked = withRecordingUrl(body, 'https://x.example/?a="}&b=\\');
    expect(JSON.parse(linked)).toEqual({ ...JSON.parse(body), recordingUrl: 'https://x.example/?a="}&b=\\' });
    expect(Object.keys(JSON.parse(linked)).at(-1)).toBe("recordingUrl");
  });

  test("the timestamp has milliseconds and Z, also at a full second", () => {
    const body = payloadText("call.ended", facts, new Date("2026-05-03T08:42:14Z"));
    expect(JSON.parse(body).timestamp).toBe("2026-05-03T08:42:14.000Z");
  });
});
