import { errorCatalogue } from "@sendoff/contract";
import { html } from "hono/html";
import { fieldsOf, typeOf } from "./fields.ts";
import type { MediaType, OpenApiDocument, Operation, Parameter } from "./openapi.ts";
import { type JsonSchema, resolved } from "./schemas.ts";

/** What the html template makes; it escapes every value that it is not itself the maker of. */
type Html = ReturnType<typeof html>;
type Named = Record<string, JsonSchema>;

/** Names of the pages that are not a group of operations. */
const eventsPage = "webhook-events";
const errorsPage = "errors";

/** A link's end for a group's name: "Webhook logs" is webhook-logs. */
const slug = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]+/g, "-");

interface PlacedOperation {
  readonly method: string;
  readonly path: string;
  readonly operation: Operation;
}

/** Every page of the document, by the end of its address; the first one's is empty. */
export function documentPages(document: OpenApiDocument): Map<string, string> {
  const named = document.components.schemas;
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
  const groups = document.tags
    .map((tag) => ({ ...tag, own: operations.filter(({ operation }) => operation.tags.includes(tag.name)) }))
    .filter(({ own }) => own.length > 0);
  const links = [
    ...groups.map(({ name }) => ({ name, page: slug(name) })),
    { name: "Webhooks", page: eventsPage },
    { name: "Errors", page: errorsPage },
  ];
  const frame = (title: string, content: Html, up = ""): string => pageText(title, links, content, up);
  return new Map([
    ["", frame(`${document.info.title} ${document.info.version}`, overview(document, groups), "docs/")],
    ...groups.map(({ name, description, own }) => {
      const content = html`<p>${description}</p>${own.map((one) => operationSection(one, named))}`;
      return [slug(name), frame(name, content)] as const;
    }),
    [eventsPage, frame("Webhooks", eventSections(document, named))],
    [errorsPage, frame("Errors", errorTable())],
  ]);
}

/** @param up what leads from this page to its neighbours: links are relative, for an installation behind a path. */
function pageText(
  title: string,
  links: ReadonlyArray<{ name: string; page: string }>,
  content: Html,
  up: string,
): string {
  const home = up === "" ? "../docs" : "docs";
  const root = up === "" ? "../" : "";
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} - Sendoff API</title>
<link rel="stylesheet" href="${up}style.css">
</head>
<body>
<a class="skip" href="#content">To the content</a>
<header><nav aria-label="Pages"><ul>
<li>${pageLink(home, "Overview", up !== "")}</li>
${links.map(({ name, page }) => html`<li>${pageLink(up + page, name, name === title)}</li>\n`)}
</ul></nav></header>
<main id="content">
<h1>${title}</h1>
${content}
</main>
<footer>For programs: <a href="${root}openapi.json">OpenAPI</a>, <a href="${root}asyncapi.json">AsyncAPI</a>,
<a href="${root}schemas/">JSON Schemas</a>.</footer>
</body>
</html>
`.toString();
}

const pageLink = (href: string, name: string, isThis: boolean): Html =>
  isThis ? html`<a href="${href}" aria-current="page">${name}</a>` : html`<a href="${href}">${name}</a>`;

type Group = {
  readonly name: string;
  readonly description: string;
  readonly own: readonly PlacedOperation[];
};

function overview(document: OpenApiDocument, groups: readonly Group[]): Html {
  return html`<p>${document.info.summary}</p>
<p>${document.info.description}</p>
<h2>Keys</h2>
<p>Send <code>Authorization: Bearer</code> and a key: a developer key (<code>dk_...</code>) sees every project, a
project key (<code>sk_...</code>) sees one.</p>
${groups.map(
  ({ name, description, own }) => html`<h2>${name}</h2><p>${description}</p>
<ul>${own.map(
    ({
      method,
      path,
      operation,
    }) => html`<li><a href="docs/${slug(name)}#${operation.operationId}"><code><span
class="method">${method}</span> ${path}</code></a><br><span class="dim">${operation.summary}</span></li>`,
  )}</ul>`,
)}
<h2>Webhooks</h2>
<ul>${Object.entries(document.webhooks).map(
    ([name, { post }]) => html`<li><a href="docs/${eventsPage}#${name}"><code>${name}</code></a><br><span
class="dim">${post.summary}</span></li>`,
  )}</ul>`;
}

function operationSection({ method, path, operation }: PlacedOperation, named: Named): Html {
  const { operationId, summary, parameters = [], requestBody, responses } = operation;
  const good = Object.entries(responses).filter(([status]) => Number(status) < 400);
  const refusals = Object.entries(responses).filter(([status]) => Number(status) >= 400);
  return html`<section aria-labelledby="${operationId}">
<h2 id="${operationId}"><code><span class="method">${method}</span> ${path}</code></h2>
<p>${summary}</p>
<p class="dim">Key: ${keysOf(operation)}. Name: <code>${operationId}</code>.</p>
${parameters.length === 0 ? "" : html`<h3>Parameters</h3>${parameterTable(`Parameters of ${operationId}`, parameters, named)}`}
${
  requestBody === undefined
    ? ""
    : html`<h3>Body</h3>${Object.values(requestBody.content).map((media) => bodyPart(media, `the body of ${operationId}`, named))}`
}
${good.map(
  ([status, { description, content = {} }]) => html`<h3>${status}</h3><p>${description}</p>
${Object.entries(content).map(([type, media]) =>
  media.schema === undefined
    ? html`<p class="dim">${type}</p>`
    : html`<details><summary>${type}: fields and example</summary>${bodyPart(media, `${status} of ${operationId}`, named)}</details>`,
)}`,
)}
<h3>Refusals</h3>
<ul>${refusals.map(
    ([status, { description }]) => html`<li><strong>${status}</strong> ${withCode(description)}</li>`,
  )}</ul>
</section>`;
}

const keysOf = ({ security }: Operation): string => {
  if (security.length === 0) return "none";
  return security.length === 1 ? "a developer key" : "a developer key or a project's key";
};

/** A text in which \`code\` stands between backticks. */
const withCode = (text: string): Html[] =>
  text.split("`").map((part, index) => (index % 2 === 1 ? html`<code>${part}</code>` : html`${part}`));

function table(label: string, heads: readonly string[], rows: Html): Html {
  return html`<div class="wide" role="region" aria-label="${label}" tabindex="0"><table>
<thead><tr>${heads.map((head) => html`<th scope="col">${head}</th>`)}</tr></thead>
<tbody>${rows}</tbody></table></div>`;
}

function parameterTable(label: string, parameters: readonly Parameter[], named: Named): Html {
  const rows = parameters.map(
    ({ name, in: place, required, description = "", schema }) => html`<tr><td><code>${name}</code></td>
<td>${place}${required ? "" : ", optional"}</td><td>${typeOf(schema, named)}</td><td>${description || String(resolved(schema, named).description ?? "")}</td></tr>`,
  );
  return table(label, ["name", "where", "type", "what"], html`${rows}`);
}

function bodyPart({ schema, example, examples }: MediaType, label: string, named: Named): Html {
  const fields = schema === undefined ? [] : fieldsOf(schema, named);
  const rows = fields.map(
    ({ path, type, required, description, deprecated }) => html`<tr><td><code>${path}</code></td>
<td>${type}${required ? "" : ", optional"}</td><td>${deprecated ? "Deprecated. " : ""}${description}</td></tr>`,
  );
  const shown = examples ?? (example === undefined ? {} : { Example: { value: example } });
  return html`${fields.length === 0 ? "" : table(`Fields of ${label}`, ["field", "type", "what"], html`${rows}`)}
${Object.entries(shown).map(
  ([name, { value }]) => html`<p>${name}</p>
<pre tabindex="0" role="region" aria-label="${name} (${label})"><code>${JSON.stringify(value, null, 2)}</code></pre>`,
)}`;
}

function eventSections(document: OpenApiDocument, named: Named): Html {
  const events = Object.entries(document.webhooks);
  const headers = events[0]?.[1].post.parameters ?? [];
  return html`<p>One POST for each event that an endpoint has subscribed to. Of one session to one endpoint
<code>session.finalized</code> comes last; <code>recording.ready</code> comes at any time. Branch on <code>event</code>,
ignore events that you do not know, and deduplicate on <code>sessionId</code> and <code>event</code>.</p>
<h2>Headers</h2>
${parameterTable("Headers", headers, named)}
${events.map(
  ([name, { post }]) => html`<section aria-labelledby="${name}"><h2 id="${name}"><code>${name}</code></h2>
<p>${post.summary}</p><p>${post.description ?? ""}</p>
${Object.values(post.requestBody?.content ?? {}).map((media) => bodyPart(media, name, named))}
<h3>Your answer</h3>
<ul>${Object.entries(post.responses).map(
    ([status, { description }]) => html`<li><strong>${status}</strong> ${description}</li>`,
  )}</ul></section>`,
)}`;
}

function errorTable(): Html {
  const rows = Object.entries(errorCatalogue).map(
    ([code, { status, when }]) =>
      html`<tr id="${code}"><td><code>${code}</code></td><td>${String(status)}</td><td>${when}</td></tr>`,
  );
  return html`<p>The body of every refusal is <code>{"error": {"code", "message", "details"}}</code>. The message says
what was given, what was expected and what to do; <code>details</code> names fields. A 503 comes with
<code>Retry-After</code>: send the same request again.</p>
${table("Errors", ["code", "status", "when"], html`${rows}`)}`;
}
