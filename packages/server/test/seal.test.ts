// Secrets at rest, and the change of the key that seals them: SENDOFF_SECRET_KEY and SENDOFF_SECRET_KEYS_OLD.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { placeAudio } from "../../../test/audio.ts";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";
import { openSealer, resealWithLatest } from "../src/installation.ts";
import { createLog } from "../src/log.ts";
import { keysInUse } from "../src/secrets/reseal.ts";
import { createSealer, createSecretKey, keyIdOf, parseSecretKey, sealedWith } from "../src/secrets/seal.ts";

const keyOf = (text: string): Buffer => parseSecretKey(text) as Buffer;

describe("a sealer", () => {
  const [first, second] = [keyOf(createSecretKey()), keyOf(createSecretKey())];

  test("opens what it sealed, for its place alone, and nothing that was changed", async () => {
    const sealer = createSealer(first);
    const sealed = await sealer.seal("endpoint:1:secret", "whsec_x");
    expect(sealed).not.toContain("whsec_x");
    expect(await sealer.open("endpoint:1:secret", sealed)).toBe("whsec_x");
    await expect(sealer.open("endpoint:2:secret", sealed)).rejects.toThrow("another place");
    const parts = sealed.split(".");
    const turned = parts[3]?.startsWith("A") ? "B" : "A";
    const changed = [...parts.slice(0, 3), turned + parts[3]?.slice(1), parts[4]].join(".");
    await expect(sealer.open("endpoint:1:secret", changed)).rejects.toThrow();
  });

  test("opens with every key at hand, seals with the first, and names the key that it lacks", async () => {
    const old = await createSealer(first).seal("p", "text");
    const sealer = createSealer(second, [first]);
    expect(await sealer.open("p", old)).toBe("text");
    expect(sealedWith(await sealer.seal("p", "text"))).toEqual({ keyId: keyIdOf(second), place: "p" });
    await expect(createSealer(second).open("p", old)).rejects.toThrow(keyIdOf(first));
    await expect(createSealer(second).open("p", old)).rejects.toThrow("SENDOFF_SECRET_KEYS_OLD");
  });
});

describe("a change of SENDOFF_SECRET_KEY", () => {
  let server: TestServer;
  let sink: Sink;
  let oldKey: string;
  const newKey = createSecretKey();
  const others: TestServer[] = [];
  const beside = async (env: Record<string, string>): Promise<TestServer> => {
    const started = await startTestServer(env, server);
    others.push(started);
    return started;
  };
  const agent = (): string => `/v1/projects/${server.projectId}/agent`;

  beforeEach(async () => {
    server = await startTestServer();
    sink = await startSink();
    oldKey = (await readFile(join(server.dataFolder, "secret.key"), "utf8")).trim();
    const postSessionWebhook = {
      url: sink.url,
      events: ["recording.ready", "session.ended"],
      headers: [{ key: "X-Token", value: "sealed-token-1" }],
    };
    const set = await server.api("PATCH", agent(), { postSessionWebhook });
    expect(set.status, set.text).toBe(200);
  });
  afterEach(async () => {
    for (const other of others.splice(0)) await other.stop();
    await server.stop();
    await sink.close();
  });

  const keyIds = async (): Promise<string[]> => [...(await keysInUse(server.pool))];
  test("without the old key the start is refused, and names the key that is needed and the setting", async () => {
    const refused = startTestServer({ SENDOFF_SECRET_KEY: newKey }, server);
    await expect(refused).rejects.toThrow(keyIdOf(keyOf(oldKey)));
    await expect(startTestServer({ SENDOFF_SECRET_KEY: newKey }, server)).rejects.toThrow(
      "SENDOFF_SECRET_KEYS_OLD",
    );
    expect(await keyIds()).toEqual([keyIdOf(keyOf(oldKey))]);
  });

  test("a signing secret of before, which still signs along, is sealed anew too", async () => {
    const rotated = await server.api("POST", `${agent()}/webhook/secret`);
    expect(rotated.status, rotated.text).toBe(200);
    const column =
      "SELECT endpoint_id AS id, old_secrets_sealed AS old FROM endpoints WHERE removed_at IS NULL";
    const [before] = (await server.pool.query(column)).rows;
    expect(before.old.length).toBe(1);
    await beside({ SENDOFF_SECRET_KEY: newKey, SENDOFF_SECRET_KEYS_OLD: oldKey });
    const [after] = (await server.pool.query(column)).rows;
    expect(sealedWith(after.old[0]).keyId).toBe(keyIdOf(keyOf(newKey)));
    const place = `endpoint:${after.id}:secret`;
    expect(await createSealer(keyOf(newKey)).open(place, after.old[0])).toBe(
      await createSealer(keyOf(oldKey)).open(place, before.old[0]),
    );
    expect(await keyIds()).toEqual([keyIdOf(keyOf(newKey))]);
  });

  test("with the old key every value is sealed anew at the start, and then the old key may be dropped", async () => {
    const rotated = await beside({ SENDOFF_SECRET_KEY: newKey, SENDOFF_SECRET_KEYS_OLD: oldKey });
    expect(await keyIds()).toEqual([keyIdOf(keyOf(newKey))]);
    await rotated.stop();
    others.length = 0;
    const alone = await beside({ SENDOFF_SECRET_KEY: newKey });
    expect((await alone.api("GET", agent())).body.data.postSessionWebhook.headers).toEqual([
      { key: "X-Token", value: "••••en-1" },
    ]);
    const sealer = await openSealer(server.pool, keyOf(newKey));
    const { rows } = await server.pool.query(
      "SELECT endpoint_id AS id, secret_sealed AS sealed FROM endpoints WHERE removed_at IS NULL",
    );
    expect(await sealer.open(`endpoint:${rows[0].id}:secret`, rows[0].sealed)).toMatch(/^whsec_/);
  });

  test("a process that still seals with the old key does not undo it, and what it seals is found", async () => {
    await beside({ SENDOFF_SECRET_KEY: newKey, SENDOFF_SECRET_KEYS_OLD: oldKey });
    const log = createLog("silent");
    const behind = await openSealer(server.pool, keyOf(oldKey), [keyOf(newKey)]);
    await resealWithLatest(server.pool, behind, log);
    expect(await keyIds()).toEqual([keyIdOf(keyOf(newKey))]);
    const { rows } = await server.pool.query(
      "SELECT endpoint_id AS id FROM endpoints WHERE removed_at IS NULL",
    );
    const place = `endpoint:${rows[0].id}:headers`;
    await server.pool.query("UPDATE endpoints SET headers_sealed = $1 WHERE endpoint_id = $2", [
      await behind.seal(place, "[]"),
      rows[0].id,
    ]);
    expect((await keyIds()).length).toBe(2);
    const ahead = await openSealer(server.pool, keyOf(newKey), [keyOf(oldKey)]);
    await resealWithLatest(server.pool, ahead, log);
    expect(await keyIds()).toEqual([keyIdOf(keyOf(newKey))]);
  });

  test("a link to a recording that was signed with the old key works on", async () => {
    const objectKey = `projects/${server.projectId}/sessions/rec-1/audio.ogg`;
    const path = `/v1/projects/${server.projectId}/sessions/rec-1/recording-processed`;
    await placeAudio(server.dataFolder, objectKey);
    expect((await server.api("POST", path, { success: true, objectKey })).status).toBe(200);
    await sink.arrived(1);
    const link = new URL(sink.received[0]?.json.recordingUrl);
    const rotated = await beside({ SENDOFF_SECRET_KEY: newKey, SENDOFF_SECRET_KEYS_OLD: oldKey });
    const file = join(rotated.dataFolder, "recordings", objectKey);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, "audio");
    const answer = await fetch(rotated.apiUrl + link.pathname + link.search);
    expect([answer.status, await answer.text()]).toEqual([200, "audio"]);
    link.searchParams.set("expires", String(Number(link.searchParams.get("expires")) + 1));
    expect((await fetch(rotated.apiUrl + link.pathname + link.search)).status).toBe(403);
  });

  test("hundreds of endpoints are sealed anew in pages, while one of them changes", async () => {
    const sealer = await openSealer(server.pool, keyOf(oldKey));
    const sealed = await sealer.seal("endpoint:many:secret", "whsec_many");
    await server.pool.query(
      `INSERT INTO endpoints (endpoint_id, project_id, kind, url, secret_sealed, timeout_ms)
       SELECT gen_random_uuid(), $1, 'project', 'https://ok.example.com/' || n, $2, 1000 FROM generate_series(1, 1200) n`,
      [server.projectId, sealed],
    );
    const ahead = await openSealer(server.pool, keyOf(newKey), [keyOf(oldKey)]);
    const changing = resealWithLatest(server.pool, ahead, createLog("silent"));
    await server.pool.query("UPDATE endpoints SET updated_at = now() WHERE kind = 'project'");
    await changing;
    await until("no value needs the old key", async () => {
      await resealWithLatest(server.pool, ahead, createLog("silent"));
      return (await keyIds()).length === 1;
    });
    expect(await keyIds()).toEqual([keyIdOf(keyOf(newKey))]);
  });
});
