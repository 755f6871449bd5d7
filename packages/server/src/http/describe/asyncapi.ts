import { describedEvents, eventHeaders } from "./events.ts";
import { collectSchemas, type JsonSchema } from "./schemas.ts";

/** An AsyncAPI 3.0 document of the webhooks, as the one who receives them sees it: the channel is their own URL. */
export function asyncApiDocument(version: string): JsonSchema {
  const schemas = collectSchemas();
  const events = describedEvents();
  const headers = {
    type: "object",
    properties: Object.fromEntries(
      eventHeaders.map(({ name, description, schema, example }) => [
        name,
        { ...schemas.refer(schema), description, examples: [example] },
      ]),
    ),
    required: eventHeaders.map(({ name }) => name),
  };
  const messages = Object.fromEntries(
    events.map(({ name, trigger, payload, examples }) => [
      name,
      {
        name,
        title: name,
        summary: trigger,
        contentType: "application/json",
        headers: { $ref: "#/components/schemas/WebhookHeaders" },
        payload: schemas.refer(payload),
        examples: Object.entries(examples).map(([example, value]) => ({ name: example, payload: value })),
      },
    ]),
  );
  return {
    asyncapi: "3.0.0",
    info: {
      title: "Sendoff's webhooks",
      version,
      description:
        "One POST for each event that an endpoint has subscribed to. Of one session to one endpoint session.finalized comes last; recording.ready comes at any time. Branch on event, ignore events that you do not know, and deduplicate on sessionId and event. The same for people: /docs/webhook-events of the server.",
      license: { name: "Apache-2.0", url: "https://www.apache.org/licenses/LICENSE-2.0" },
    },
    defaultContentType: "application/json",
    channels: {
      endpoint: {
        address: null,
        title: "The endpoint's URL",
        description: "postSessionWebhook.url of an agent, or the URL of a project webhook.",
        messages: Object.fromEntries(
          events.map(({ name }) => [name, { $ref: `#/components/messages/${name}` }]),
        ),
        bindings: { http: {} },
      },
    },
    operations: {
      receiveEvent: {
        action: "receive",
        channel: { $ref: "#/channels/endpoint" },
        summary: "Answer 2xx within the endpoint's timeout.",
        bindings: { http: { method: "POST", bindingVersion: "0.3.0" } },
        messages: events.map(({ name }) => ({ $ref: `#/channels/endpoint/messages/${name}` })),
      },
    },
    components: { messages, schemas: { ...schemas.named(), WebhookHeaders: headers } },
  };
}
