// "Ingest from a queue you control" (seed): each hands an event to a queue by the user's own client, and resolves when the
// queue has acknowledged it, so that 2xx means that the queue has it. Where a queue can drop what it has already, it is
// given the event's key; what works on the other side must be ready for a duplicate all the same.
import type { Forwarded, Sink } from "./receiver.ts";

/** What a queue of JSON gets. */
export interface SinkMessage {
  readonly event: string;
  readonly sessionId: string;
  /** The same for every delivery of the event. */
  readonly key: string;
  readonly webhookId: string;
  /** The body, parsed. */
  readonly payload: unknown;
}

const messageOf = ({ event, sessionId, key, webhookId, body }: Forwarded): SinkMessage => ({
  ...{ event, sessionId, key, webhookId },
  payload: JSON.parse(body),
});

/** What is used of pg-boss 10. */
export interface PgBossLike {
  send(queue: string, data: object, options: { id: string }): Promise<string | null>;
  getJobById(queue: string, id: string, options: { includeArchive: true }): Promise<object | null>;
}

/** To pg-boss. The job's id is made of the event's key: an event that the queue still has is not added again. */
export const pgBossSink =
  (boss: PgBossLike, queue: string): Sink =>
  async (event) => {
    const id = uuidOf(event.key);
    if ((await boss.send(queue, messageOf(event), { id })) !== null) return;
    // It answers null for a job that is there, and also for a queue that is not.
    if ((await boss.getJobById(queue, id, { includeArchive: true })) === null) {
      throw new Error(`pg-boss has not taken the job; is there a queue ${queue}?`);
    }
  };

/** The key as a UUID of version 8, which is for digests of one's own. */
const uuidOf = (key: string): string =>
  [
    key.slice(0, 8),
    key.slice(8, 12),
    `8${key.slice(13, 16)}`,
    `8${key.slice(17, 20)}`,
    key.slice(20, 32),
  ].join("-");

/** What is used of BullMQ 5. */
export interface BullMqLike {
  add(name: string, data: SinkMessage, options: { jobId: string }): Promise<unknown>;
}

/** To BullMQ; the job has the event's name. An event whose job is still kept is not added again. */
export const bullMqSink =
  (queue: BullMqLike): Sink =>
  (event) =>
    queue.add(event.event, messageOf(event), { jobId: event.key });

/** What is used of JetStream, of `nats` and of `@nats-io/jetstream`. */
export interface JetStreamLike {
  publish(subject: string, payload: string, options: { msgID: string }): Promise<unknown>;
}

/** To NATS JetStream, the body as it came. A stream drops what it has got within its `duplicate_window`. */
export const jetStreamSink =
  (stream: JetStreamLike, subject: string | ((event: Forwarded) => string)): Sink =>
  (event) =>
    stream.publish(typeof subject === "string" ? subject : subject(event), event.body, { msgID: event.key });

/** What is used of a confirm channel of amqplib: `connection.createConfirmChannel()`. */
export interface ConfirmChannelLike {
  publish(
    exchange: string,
    routingKey: string,
    content: Buffer,
    options: {
      persistent: true;
      mandatory: true;
      contentType: string;
      messageId: string;
      type: string;
      headers: Record<string, string>;
    },
    confirmed: (error: unknown) => void,
  ): boolean;
  on(event: "return", listener: (message: { properties: { messageId?: unknown } }) => void): unknown;
  on(event: "close", listener: () => void): unknown;
}

export interface RabbitMqPlace {
  /** The default exchange, which leads to the queue of the routing key's name, when it is not given. */
  readonly exchange?: string;
  readonly routingKey: string;
}

/**
 * To RabbitMQ, persistent, the body as it came. A message that leads to no queue is confirmed by RabbitMQ and thrown away:
 * here it counts as refused.
 */
export function rabbitMqSink(
  channel: ConfirmChannelLike,
  { exchange = "", routingKey }: RabbitMqPlace,
): Sink {
  const returned = new Set<string>();
  const waiting = new Set<(error: Error) => void>();
  // What is returned is told before its confirmation.
  channel.on("return", ({ properties }) => returned.add(String(properties.messageId)));
  channel.on("close", () => {
    for (const reject of waiting) reject(new Error("the channel was closed before RabbitMQ confirmed"));
  });
  return ({ body, key, event, sessionId, webhookId }) =>
    new Promise<void>((resolve, reject) => {
      waiting.add(reject);
      const confirmed = (error: unknown): void => {
        waiting.delete(reject);
        if (error) reject(error instanceof Error ? error : new Error("RabbitMQ did not take the message"));
        else if (returned.delete(key)) reject(new Error(`no queue is bound to ${routingKey}`));
        else resolve();
      };
      channel.publish(
        exchange,
        routingKey,
        Buffer.from(body),
        {
          ...{ persistent: true, mandatory: true, contentType: "application/json" },
          ...{ messageId: key, type: event, headers: { sessionId, webhookId } },
        },
        confirmed,
      );
    });
}

/** The input of SQS' `SendMessageCommand`. */
export interface SqsInput {
  readonly QueueUrl: string;
  readonly MessageBody: string;
  readonly MessageAttributes: Record<string, { DataType: "String"; StringValue: string }>;
  readonly MessageGroupId?: string;
  readonly MessageDeduplicationId?: string;
}

/**
 * To Amazon SQS, the body as it came. For a queue whose URL ends with `.fifo` the session is the group, and what came
 * within 5 minutes is dropped.
 *
 * @param send sends a message: `(input) => client.send(new SendMessageCommand(input))`.
 */
export const sqsSink =
  (send: (input: SqsInput) => Promise<unknown>, queueUrl: string): Sink =>
  ({ body, key, event, sessionId }) =>
    send({
      QueueUrl: queueUrl,
      MessageBody: body,
      MessageAttributes: { event: { DataType: "String", StringValue: event } },
      // A group's id has at most 128 characters of a certain set; not every session's id does.
      ...(queueUrl.endsWith(".fifo")
        ? {
            MessageGroupId: /^[\w.:-]{1,128}$/.test(sessionId) ? sessionId : key,
            MessageDeduplicationId: key,
          }
        : {}),
    });

/** What is used of a producer of kafkajs. */
export interface KafkaProducerLike {
  send(record: {
    topic: string;
    acks: -1;
    messages: { key: string; value: string; headers: Record<string, string> }[];
  }): Promise<unknown>;
}

/** To Kafka, the body as it came, acknowledged by all replicas in sync. A session's events are in one partition, in order. */
export const kafkaSink =
  (producer: KafkaProducerLike, topic: string): Sink =>
  ({ body, key, event, sessionId, webhookId }) =>
    producer.send({
      topic,
      acks: -1,
      messages: [{ key: sessionId, value: body, headers: { event, key, webhookId } }],
    });
