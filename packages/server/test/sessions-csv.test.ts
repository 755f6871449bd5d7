import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { csvCell } from "../src/http/csv.ts";
import { expectRefused } from "./refused.ts";

let server: TestServer;
const project = (): string => `/v1/projects/${server.projectId}`;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

describe("a cell", () => {
  test.each<[value: string | number | boolean | null, cell: string]>([
    ["plain", "plain"],
    [null, ""],
    [-5, "-5"],
    [true, "true"],
    ['a "quoted", one', '"a ""quoted"", one"'],
    ["two\nlines", '"two\nlines"'],
    ["=HYPERLINK(1)", "'=HYPERLINK(1)"],
    ["+1+1", "'+1+1"],
    ["-1+1", "'-1+1"],
    ["@SUM(A1)", "'@SUM(A1)"],
    ["\t=1", "\"'\t'=1\""],
    ["\r=1", "\"'\r'=1\""],
    ["\n=1", "\"'\n'=1\""],
    ["\r\n=1", "\"'\r\n'=1\""],
    [" =1", "' =1"],
    ["\u00a0\ufeff@SUM(A1)", "'\u00a0\ufeff@SUM(A1)"],
    ['"=1"', '"\'""=1"""'],
    ["＝1", "'＝1"],
    ["＋1", "'＋1"],
    ["－1", "'－1"],
    ["＠SUM(A1)", "'＠SUM(A1)"],
    ["a;=1", '"a;\'=1"'],
    ['a;"=1"', '"a;""\'=1"""'],
    ["a; ＝1", '"a; \'＝1"'],
    ["a\n-1", '"a\n\'-1"'],
    ["a\r\n+1;@1", "\"a\r\n'+1;'@1\""],
    ["a\t=1", '"a\t\'=1"'],
    ["a;b", '"a;b"'],
    ['{"a":[1,-2]}', '"{""a"":[1,-2]}"'],
    ['=cmd|"/c calc"!A1,2', '"\'=cmd|""/c calc""!A1,2"'],
    ["a=1", "a=1"],
  ])("of %j is %j", (value, cell) => {
    expect(csvCell(value)).toBe(cell);
  });
});

test("a cell of half a million separators, quotes or spaces is made in one pass", () => {
  for (const part of [";", "\n", "\t ", '"', " ", ';"', "=", "; ="]) {
    const begunMs = performance.now();
    csvCell(part.repeat(500_000 / part.length));
    expect(performance.now() - begunMs, JSON.stringify(part)).toBeLessThan(500);
  }
});

/** Rows of a CSV file, taken apart by RFC 4180. */
function parse(text: string): string[][] {
  const rows: string[][] = [];
  const row: string[] = [];
  for (const [, quoted, plain = "", end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/g)) {
    row.push(quoted?.replaceAll('""', '"') ?? plain);
    if (end !== ",") rows.push(row.splice(0));
  }
  return rows;
}

const file = (query = "", key?: string) =>
  server.api("GET", `${project()}/sessions.csv${query}`, undefined, key);

describe("GET .../sessions.csv", () => {
  test("has every session of the filters in order, over many pages, with nothing that runs in a spreadsheet", async () => {
    await server.pool.query(
      `INSERT INTO sessions (project_id, session_id, version, channel, created_at, current_node_id, messages_count,
         extracted_variables, deadline_at)
       SELECT $1, 'call-' || number, 1, CASE WHEN number % 2 = 0 THEN 'call' ELSE 'text' END,
         now() - number * interval '1 minute', '=1+1', number, '{"a":"x,\\"y"}', now() + interval '1 hour'
       FROM generate_series(1, 1203) AS number`,
      [server.projectId],
    );
    const answer = await file();
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toBe("text/csv; charset=utf-8");
    expect(answer.headers.get("content-disposition")).toBe('attachment; filename="sessions.csv"');
    const [head = [], ...rows] = parse(answer.text);
    expect(head.slice(0, 3)).toEqual(["sessionId", "channel", "state"]);
    expect(rows.map(([id]) => id)).toEqual(Array.from({ length: 1_203 }, (_, n) => `call-${n + 1}`));
    for (const row of rows) expect(row).toHaveLength(head.length);
    expect(rows[0]?.[head.indexOf("currentNodeId")]).toBe("'=1+1");
    expect(rows[0]?.[head.indexOf("extractedVariables")]).toBe('{"a":"x,\\"y"}');
    const text = parse((await file("?channel=text&text=call-1")).text);
    expect(text.length).toBe(
      1 +
        Array.from({ length: 1_203 }, (_, n) => n + 1).filter((n) => n % 2 === 1 && `${n}`.startsWith("1"))
          .length,
    );
  });

  test("of none has the line of names alone", async () => {
    expect(parse((await file("?callStatus=busy")).text)).toHaveLength(1);
  });

  test("refuses what the list refuses, and another project's key", async () => {
    expectRefused(await file("?state=over"), "invalid_query");
    expectRefused(await file("?limit=3"), "invalid_query");
    const { body } = await server.api("POST", "/v1/projects", { name: "Other" }, server.developerKey);
    expectRefused(await file("", body.data.key), "project_not_found");
  });

  test("one who goes away in the midst of it leaves nothing behind", async () => {
    const gone = new AbortController();
    const response = await fetch(`${server.apiUrl}${project()}/sessions.csv`, {
      headers: { authorization: `Bearer ${server.projectKey}` },
      signal: gone.signal,
    });
    await response.body?.getReader().read();
    gone.abort();
    expect((await file("?callStatus=busy")).status).toBe(200);
  });
});
