import { RotatedSecret } from "@sendoff/contract";
import { Webhook } from "standardwebhooks";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type Received, type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";

let server: TestServer;
let sink: Sink;
const url = (path: string): string => `/v1/projects/${server.projectId}${path}`;
const rotate = (body?: unknown) => server.api("POST", url("/agent/webhook/secret"), body);
const dayMs = 86_400_000;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  sink = await startSink();
  await server.api("PATCH", url("/agent"), { postSessionWebhook: null });
});
afterEach(() => sink.close());

async function makeWebhook(): Promise<string> {
  const answer = await server.api("PATCH", url("/agent"), { postSessionWebhook: { url: sink.url } });
  expect(answer.body.data.signingSecret, answer.text).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
  return answer.body.data.signingSecret;
}

const verifies = (secret: string, { body, headers }: Received): boolean => {
  try {
    new Webhook(secret).verify(body, headers as Record<string, string>);
    return true;
  } catch {
    return false;
  }
};

/** Sends a test event and tells which of the secrets signed it. */
async function signedBy(secrets: readonly string[]): Promise<boolean[]> {
  const { status, text } = await server.api("POST", url("/agent/webhook/test"), { event: "session.ended" });
  expect(status, text).toBe(200);
  return secrets.map((secret) => verifies(secret, sink.received.at(-1) as Received));
}

/** Moves the ends of all old secrets by so many milliseconds, as if that time had passed. */
const pass = (ms: number): Promise<unknown> =>
  server.pool.query(
    `UPDATE endpoints SET old_secrets_until = ARRAY(
       SELECT until - $1 * interval '1 millisecond' FROM unnest(old_secrets_until) WITH ORDINALITY AS old (until, place)
       ORDER BY place) WHERE removed_at IS NULL`,
    [ms],
  );

describe("the signing secret", () => {
  test("is answered once, by the request that makes the webhook, and never by another", async () => {
    const secret = await makeWebhook();
    expect(await signedBy([secret])).toEqual([true]);
    const again = await server.api("PATCH", url("/agent"), { postSessionWebhook: { url: sink.url } });
    const read = await server.api("GET", url("/agent"));
    for (const { body, text } of [again, read]) {
      expect(body.data.signingSecret).toBeUndefined();
      expect(text).not.toContain("whsec_");
    }
    const { rows } = await server.pool.query("SELECT * FROM endpoints");
    expect(JSON.stringify(rows)).not.toContain("whsec_");
  });

  test("is rotated by a POST without a body, and the old one signs along for 24 h", async () => {
    const first = await makeWebhook();
    const answer = await rotate();
    expect(answer.status, answer.text).toBe(200);
    expect(RotatedSecret.safeParse(answer.body.data).error).toBeUndefined();
    const { signingSecret: second, oldSecretEndsAt } = answer.body.data;
    expect(Math.abs(Date.parse(oldSecretEndsAt) - Date.now() - dayMs)).toBeLessThan(10_000);
    expect(await signedBy([first, second])).toEqual([true, true]);
    const signatures = String(sink.received.at(-1)?.headers["webhook-signature"]).split(" ");
    expect(signatures.length).toBe(2);
    // Newest first.
    const onlyFirst = { ...sink.received.at(-1), headers: { ...sink.received.at(-1)?.headers } } as Received;
    onlyFirst.headers["webhook-signature"] = signatures[0];
    expect([verifies(first, onlyFirst), verifies(second, onlyFirst)]).toEqual([false, true]);
    await pass(dayMs - 5_000);
    expect(await signedBy([first, second])).toEqual([true, true]);
    await pass(10_000);
    expect(await signedBy([first, second])).toEqual([false, true]);
  });

  test("rotated again within the overlap: two old ones sign along, a third rotation is refused", async () => {
    const secrets = [await makeWebhook()];
    for (let round = 0; round < 2; round++) secrets.push((await rotate({})).body.data.signingSecret);
    expect(await signedBy(secrets)).toEqual([true, true, true]);
    const refused = await rotate();
    expect([refused.status, refused.body.error.code]).toEqual([409, "too_many_secrets"]);
    expect(await signedBy(secrets)).toEqual([true, true, true]);
    await pass(dayMs + 1_000);
    expect(await signedBy(secrets)).toEqual([false, false, true]);
    expect((await rotate()).status).toBe(200);
  });

  test('rotated with "overlap": "0s", as after a leak, ends every old one at once', async () => {
    const secrets = [await makeWebhook()];
    for (let round = 0; round < 2; round++) secrets.push((await rotate()).body.data.signingSecret);
    const answer = await rotate({ overlap: "0s" });
    expect(answer.status, answer.text).toBe(200);
    expect(answer.body.data.oldSecretEndsAt).toBeNull();
    expect(await signedBy([...secrets, answer.body.data.signingSecret])).toEqual([false, false, false, true]);
  });

  test("a later rotation never lengthens the time of an older one", async () => {
    const first = await makeWebhook();
    const second = (await rotate({ overlap: "1h" })).body.data.signingSecret;
    const third = (await rotate({ overlap: "2h" })).body.data.signingSecret;
    await pass(3_700_000);
    expect(await signedBy([first, second, third])).toEqual([false, true, true]);
  });

  test("cannot be rotated without a webhook, nor with a wrong overlap", async () => {
    expect((await rotate()).body.error.code).toBe("no_webhook");
    await makeWebhook();
    for (const overlap of ["8d", "-1s", 24, "soon"]) {
      const answer = await rotate({ overlap });
      expect([answer.status, answer.body.error.details[0].path]).toEqual([422, "overlap"]);
    }
    expect((await rotate("nonsense")).status).toBe(400);
  });

  test("M5: rotated under traffic, every POST verifies with old and new in the overlap, and with the old one never after", async () => {
    const first = await makeWebhook();
    let sessions = 0;
    let running = true;
    const traffic = async (): Promise<void> => {
      while (running) {
        const number = ++sessions;
        await server.api("POST", url(`/sessions/m5-${number}/conversation-ended`), {
          channel: "text",
          currentNodeId: "a",
          messagesCount: 1,
          extractedVariables: { number },
        });
      }
    };
    const drivers = [traffic(), traffic(), traffic()];
    const more = (): Promise<void> => sink.arrived(sink.received.length + 60);
    await more();
    const rotatedAtMs = Date.now();
    const rotated = await rotate({ overlap: "3s" });
    const answeredAtMs = Date.now();
    const { signingSecret: second, oldSecretEndsAt } = rotated.body.data;
    const endsMs = Date.parse(oldSecretEndsAt);
    await until("the overlap is over", () => Date.now() > endsMs);
    const since = (): number => sink.received.filter(({ atMs }) => atMs > endsMs).length;
    await until("more came after it", () => since() > 120);
    running = false;
    await Promise.all(drivers);
    await until("all is settled", async () => {
      const { rowCount } = await server.pool.query("SELECT FROM deliveries");
      return rowCount === 0;
    });
    const { rows } = await server.pool.query<{ id: string; claimedAt: Date }>(
      `SELECT webhook_id AS id, attempted_at AS "claimedAt" FROM webhook_logs WHERE session_id LIKE 'm5-%'`,
    );
    const claimedAt = new Map(rows.map((row) => [row.id, row.claimedAt.getTime()]));
    const seen = { before: 0, overlap: 0, after: 0 };
    for (const received of sink.received) {
      const claimedAtMs = claimedAt.get(String(received.headers["webhook-id"])) ?? Number.NaN;
      // A POST is signed after its claim and before it arrives. One that spans a border may be signed as on either side.
      const phase =
        claimedAtMs > endsMs
          ? "after"
          : claimedAtMs > answeredAtMs && received.atMs < endsMs
            ? "overlap"
            : received.atMs < rotatedAtMs
              ? "before"
              : null;
      if (phase === null) continue;
      seen[phase] += 1;
      expect([verifies(first, received), verifies(second, received)], phase).toEqual(
        { before: [true, false], overlap: [true, true], after: [false, true] }[phase],
      );
    }
    expect(Math.min(...Object.values(seen)), JSON.stringify(seen)).toBeGreaterThan(20);
  });
});
