// Queues as they are: pg-boss on PostgreSQL, BullMQ on Redis, NATS JetStream and RabbitMQ as servers of the test's own. SQS
// and Kafka have no server that runs here without more than the test; what is handed to their clients is looked at.
import { readdirSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect as connectNats } from "@nats-io/transport-node";
import { connect as connectRabbit } from "amqplib";
import { Queue } from "bullmq";
import PgBoss from "pg-boss";
import { afterAll, describe, expect, test } from "vitest";
import { debianPackages } from "../../../scripts/debian.mjs";
import { createTestDatabase } from "../../../test/database.ts";
import { until } from "../../../test/until.ts";
import { createReceiver, type Sink } from "../src/index.ts";
import {
  bullMqSink,
  jetStreamSink,
  kafkaSink,
  pgBossSink,
  rabbitMqSink,
  type SqsInput,
  sqsSink,
} from "../src/sinks.ts";
import { freePort, startProgram, startRedis } from "./redis.ts";
import { bodies, secret, signedRequest } from "./requests.ts";

const ends: (() => unknown)[] = [];
afterAll(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** Sends an event through a receiver with this sink; answers the status. */
const through = (sink: Sink, storeTimeMs = 8_000) => {
  const receiver = createReceiver({
    ...{ verify: { secrets: secret }, sink, storeTimeMs, notify: () => {} },
  });
  return async (id: string): Promise<number> =>
    (await receiver.handle(signedRequest(bodies["call.ended"](id)))).status;
};
const payload = (id: string) => JSON.parse(bodies["call.ended"](id));

test("pg-boss: an event is a job, once; 503 when it is not added", async () => {
  const database = await createTestDatabase();
  ends.push(() => database.drop());
  const boss = new PgBoss({ connectionString: database.url, supervise: false, schedule: false });
  boss.on("error", () => {});
  await boss.start();
  ends.push(() => boss.stop({ graceful: false, wait: true }));
  await boss.createQueue("events");
  const send = through(pgBossSink(boss, "events"));
  expect([await send("a"), await send("a"), await send("b")]).toEqual([200, 200, 200]);
  const jobs = await boss.fetch<{ sessionId: string; payload: unknown }>("events", { batchSize: 10 });
  expect(jobs.map(({ data }) => data.sessionId).sort()).toEqual(["a", "b"]);
  expect(jobs.find(({ data }) => data.sessionId === "a")?.data.payload).toEqual(payload("a"));
  expect(await through(pgBossSink(boss, "no-such-queue"))("c")).toBe(503);
});

test("BullMQ: an event is a job, once; 503 when Redis is gone", async () => {
  const redis = await startRedis();
  const queue = new Queue("events", {
    connection: { host: "127.0.0.1", port: redis.port, maxRetriesPerRequest: 1, enableOfflineQueue: false },
  });
  queue.on("error", () => {});
  // Its Redis is gone by then, and it would wait for it.
  ends.push(() => void queue.close().catch(() => {}));
  await queue.waitUntilReady();
  const send = through(bullMqSink(queue), 1_000);
  expect([await send("a"), await send("a"), await send("b")]).toEqual([200, 200, 200]);
  const jobs = await queue.getJobs();
  expect(jobs.map(({ name, data }) => [name, data.sessionId]).sort()).toEqual([
    ["call.ended", "a"],
    ["call.ended", "b"],
  ]);
  expect(jobs.find(({ data }) => data.sessionId === "a")?.data.payload).toEqual(payload("a"));
  await redis.stop();
  expect(await send("c")).toBe(503);
});

test("NATS JetStream: an event is a message of the stream, once; 503 when no stream takes it", async () => {
  const { env } = debianPackages(["nats-server"]);
  const folder = await mkdtemp(join(tmpdir(), "sendoff-test-nats-"));
  const port = await freePort();
  const server = await startProgram(
    "nats-server",
    ["-a", "127.0.0.1", "-p", String(port), "-js", "-sd", folder],
    env,
    (output) => output.includes("Server is ready"),
  );
  ends.push(async () => {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  });
  const connection = await connectNats({ servers: `127.0.0.1:${port}` });
  ends.push(() => connection.close());
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name: "EVENTS", subjects: ["events.>"] });
  const stream = jetstream(connection, { timeout: 1_000 });
  const send = through(jetStreamSink(stream, ({ event }) => `events.${event}`));
  expect([await send("a"), await send("a"), await send("b")]).toEqual([200, 200, 200]);
  expect((await manager.streams.info("EVENTS")).state.messages).toBe(2);
  const first = await manager.streams.getMessage("EVENTS", { seq: 1 });
  expect([first?.subject, first?.string()]).toEqual(["events.call.ended", bodies["call.ended"]("a")]);
  expect(await through(jetStreamSink(stream, "elsewhere"))("c")).toBe(503);
});

test("RabbitMQ: an event is a persistent message, confirmed; 503 when no queue gets it or the channel is closed", async () => {
  const port = await startRabbit();
  const connection = await connectRabbit(`amqp://127.0.0.1:${port}`);
  ends.push(() => connection.close().catch(() => {}));
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue("events", { durable: true });
  const send = through(rabbitMqSink(channel, { routingKey: "events" }));
  expect(await Promise.all(["a", "b", "c"].map(send))).toEqual([200, 200, 200]);
  const message = await channel.get("events", { noAck: true });
  if (message === false) throw new Error("the queue is empty");
  expect(message.content.toString()).toBe(bodies["call.ended"]("a"));
  expect(message.properties).toMatchObject({
    ...{ deliveryMode: 2, type: "call.ended", contentType: "application/json" },
    messageId: expect.stringMatching(/^[0-9a-f]{32}$/),
  });
  expect(await through(rabbitMqSink(channel, { routingKey: "no-such-queue" }))("d")).toBe(503);
  // RabbitMQ closes a channel that publishes to an exchange that is not there; nothing may hang on it.
  channel.on("error", () => {});
  const nowhere = through(rabbitMqSink(channel, { exchange: "no-such-exchange", routingKey: "x" }));
  expect(await nowhere("e")).toBe(503);
  await until("the channel is closed", async () => (await send("f")) === 503);
});

describe("what is handed to clients that have no server here", () => {
  test("SQS: the body, and for a FIFO queue the session as group and the key against duplicates", async () => {
    const sent: SqsInput[] = [];
    const send = async (input: SqsInput): Promise<void> => void sent.push(input);
    expect(await through(sqsSink(send, "https://sqs.example.com/1/events"))("a")).toBe(200);
    expect(await through(sqsSink(send, "https://sqs.example.com/1/events.fifo"))("a")).toBe(200);
    expect(await through(sqsSink(send, "https://sqs.example.com/1/events.fifo"))("../ä")).toBe(200);
    const attributes = { event: { DataType: "String", StringValue: "call.ended" } };
    expect(sent[0]).toEqual({
      ...{ QueueUrl: "https://sqs.example.com/1/events", MessageBody: bodies["call.ended"]("a") },
      MessageAttributes: attributes,
    });
    expect(sent[1]).toMatchObject({
      MessageGroupId: "a",
      MessageDeduplicationId: expect.stringMatching(/^\w{32}$/),
    });
    expect(sent[2]?.MessageGroupId).toBe(sent[2]?.MessageDeduplicationId);
    expect(await through(sqsSink(() => Promise.reject(new Error("throttled")), "x"))("a")).toBe(503);
  });

  test("Kafka: the body under the session's key, acknowledged by all replicas", async () => {
    const sent: unknown[] = [];
    const producer = { send: async (record: unknown) => void sent.push(record) };
    expect(await through(kafkaSink(producer, "events"))("a")).toBe(200);
    expect(sent).toEqual([
      {
        ...{ topic: "events", acks: -1 },
        messages: [
          {
            ...{ key: "a", value: bodies["call.ended"]("a") },
            headers: {
              event: "call.ended",
              key: expect.stringMatching(/^\w{32}$/),
              webhookId: expect.stringMatching(/^msg_/),
            },
          },
        ],
      },
    ]);
  });

  test("a queue that acknowledges nothing is answered 503 in time", async () => {
    expect(await through(() => new Promise(() => {}), 30)("a")).toBe(503);
  });
});

/**
 * A RabbitMQ from where its packages were unpacked. Its scripts look for Erlang in /usr/lib, so they are given an `erl` that
 * knows better; and an epmd of the test's own, or it would leave one running.
 */
async function startRabbit(): Promise<number> {
  const { env, root } = debianPackages(["rabbitmq-server"]);
  const folder = await mkdtemp(join(tmpdir(), "sendoff-test-rabbitmq-"));
  ends.push(() => rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));
  const [port, distPort, epmdPort] = [await freePort(), await freePort(), await freePort()];
  const erlang = join(root, "usr/lib/erlang");
  const runtime = join(erlang, readdirSync(erlang).find((name) => name.startsWith("erts-")) ?? "", "bin");
  await writeFile(
    join(folder, "erl"),
    `#!/bin/sh\nexport EMU=beam PROGNAME=erl ROOTDIR="${erlang}" BINDIR="${runtime}"\nexec "$BINDIR/erlexec" "$@"\n`,
    { mode: 0o755 },
  );
  await writeFile(join(folder, "rabbitmq.conf"), `listeners.tcp.1 = 127.0.0.1:${port}\n`);
  await writeFile(join(folder, "enabled_plugins"), "[].\n");
  const all = {
    ...env,
    PATH: `${folder}:${runtime}:${env.PATH}`,
    HOME: folder,
    ERL_EPMD_PORT: String(epmdPort),
    ERL_EPMD_ADDRESS: "127.0.0.1",
    RABBITMQ_NODENAME: `test${port}@localhost`,
    RABBITMQ_DIST_PORT: String(distPort),
    RABBITMQ_CONFIG_FILE: join(folder, "rabbitmq"),
    RABBITMQ_CONF_ENV_FILE: join(folder, "none"),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, "enabled_plugins"),
    RABBITMQ_MNESIA_BASE: join(folder, "mnesia"),
    RABBITMQ_LOG_BASE: folder,
    RABBITMQ_LOGS: "-",
    RABBITMQ_PID_FILE: join(folder, "pid"),
    // Makes the script become the server, instead of a shell that waits for it.
    NOTIFY_SOCKET: join(folder, "nobody"),
  };
  const epmd = await startProgram(join(runtime, "epmd"), [], all, () => true);
  ends.push(() => epmd.stop());
  const rabbit = join(root, "usr/lib/rabbitmq/lib");
  const server = await startProgram(
    join(rabbit, readdirSync(rabbit)[0] ?? "", "sbin/rabbitmq-server"),
    [],
    all,
    (output) => output.includes("Server startup complete") || output.includes("Starting broker... completed"),
  );
  ends.push(() => server.stop());
  return port;
}
