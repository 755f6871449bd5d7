/**
 * JSON as text. JavaScript's values cannot carry all that a runtime may send (2^53+1, 1e400, a `__proto__` key, the
 * order of integer-like keys), so variables are cut out of the request's own text and go into the payload as they
 * came; only white space between tokens is dropped. Every function but {@link boundJson} takes text that JSON.parse
 * accepted.
 */

/** Bounds of one JSON text. */
export interface JsonBounds {
  /** Deepest nesting of objects and arrays. */
  readonly depthMax: number;
  /** Most members of all objects together. */
  readonly keysMax: number;
  /** Most values of all objects and arrays together, an empty object or array counted twice: it costs the most to parse. */
  readonly valuesMax: number;
  /** Longest name of a member, in characters as it is written. */
  readonly nameMax: number;
}

/** Which of {@link JsonBounds} a text breaks. */
export type BrokenBound = "depthMax" | "keysMax" | "valuesMax" | "nameMax";

const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const colon = 0x3a;
const openArray = 0x5b;
const isOpen = (code: number): boolean => code === 0x7b || code === 0x5b;
const isClose = (code: number): boolean => code === 0x7d || code === 0x5d;
const isSpace = (code: number): boolean => code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;

/** Index behind the string that starts at `start`; the text's length when it is not closed. */
function stringEnd(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === quote) return at + 1;
    at += code === backslash ? 2 : 1;
  }
  return text.length;
}

/**
 * Says which bound a text breaks, or null. It runs before JSON.parse and without recursion: a body of 100,000 open
 * brackets costs one pass over it.
 */
export function boundJson(text: string, bounds: JsonBounds): BrokenBound | null {
  let depth = 0;
  let keys = 0;
  let values = 0;
  let lastStringLength = 0;
  let at = 0;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === quote) {
      const end = stringEnd(text, at);
      lastStringLength = end - at - 2;
      at = end;
      continue;
    }
    if (isOpen(code) && ++depth > bounds.depthMax) return "depthMax";
    if (isClose(code)) depth--;
    // The first value of an object or an array comes behind its bracket, each further one behind a comma.
    if ((isOpen(code) || code === comma) && ++values > bounds.valuesMax) return "valuesMax";
    if (code === colon) {
      if (++keys > bounds.keysMax) return "keysMax";
      if (lastStringLength > bounds.nameMax) return "nameMax";
    }
    at++;
  }
  return null;
}

/** The same JSON without white space between its tokens. */
export function compactJson(text: string): string {
  // What lies between two spaces is taken at once: a text that grows by a token at a time costs a tree of all tokens.
  const parts: string[] = [];
  let from = 0;
  let at = 0;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (isSpace(code)) {
      if (at > from) parts.push(text.slice(from, at));
      from = at + 1;
    }
    at = code === quote ? stringEnd(text, at) : at + 1;
  }
  if (from === 0) return text;
  parts.push(text.slice(from));
  return parts.join("");
}

/** Index of the next comma or closing bracket of the value that starts at `start` in compact text. */
function valueEnd(text: string, start: number): number {
  let depth = 0;
  let at = start;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === quote) {
      at = stringEnd(text, at);
      continue;
    }
    if (depth === 0 && (code === comma || isClose(code))) return at;
    if (isOpen(code)) depth++;
    if (isClose(code)) depth--;
    at++;
  }
  return at;
}

/** The elements of a compact array, each as text. */
export function elementsOf(array: string): string[] {
  const elements: string[] = [];
  let at = 1;
  while (at < array.length - 1) {
    const end = valueEnd(array, at);
    elements.push(array.slice(at, end));
    at = end + 1;
  }
  return elements;
}

/** The members of a compact object, each value as text. Of a key that stands twice the last value counts. */
export function membersOf(object: string): Map<string, string> {
  const members = new Map<string, string>();
  let at = 1;
  while (at < object.length - 1) {
    const nameEnd = stringEnd(object, at);
    const end = valueEnd(object, nameEnd + 1);
    members.set(JSON.parse(object.slice(at, nameEnd)) as string, object.slice(nameEnd + 1, end));
    at = end + 1;
  }
  return members;
}

/** An object's text from its members. */
export function objectText(members: Iterable<readonly [name: string, text: string]>): string {
  const parts: string[] = [];
  for (const [name, text] of members) parts.push(`${JSON.stringify(name)}:${text}`);
  return `{${parts.join(",")}}`;
}

/** Two compact objects, merged by key: the second one's values count. */
export function mergeMembers(base: string, changes: string): string {
  const members = membersOf(base);
  for (const [name, text] of membersOf(changes)) members.set(name, text);
  return objectText(members);
}

/** Whether two compact texts say the same, whatever the order of their keys. */
export function sameJson(left: string, right: string): boolean {
  if (left === right) return true;
  return left.length === right.length && left[0] === right[0] && sameTree(treeOf(left), treeOf(right));
}

/** A value of compact text: a scalar as its text, so that numbers and texts are compared as they were written. */
type Tree = string | Tree[] | Map<string, Tree>;

/** Reads the whole text once: going through each member's text anew, level by level, takes its depth times as long. */
function treeOf(text: string): Tree {
  let at = 0;
  const read = (): Tree => {
    const first = text.charCodeAt(at);
    if (!isOpen(first)) {
      const from = at;
      at = first === quote ? stringEnd(text, at) : scalarEnd(text, at);
      return text.slice(from, at);
    }
    const elements: Tree[] = [];
    const members = new Map<string, Tree>();
    const isArray = first === openArray;
    at++;
    while (!isClose(text.charCodeAt(at))) {
      if (text.charCodeAt(at) === comma) at++;
      if (isArray) {
        elements.push(read());
        continue;
      }
      const nameEnd = stringEnd(text, at);
      const name = JSON.parse(text.slice(at, nameEnd)) as string;
      at = nameEnd + 1;
      members.set(name, read());
    }
    at++;
    return isArray ? elements : members;
  };
  return read();
}

/** Index behind the number or the word that starts at `start`. */
function scalarEnd(text: string, start: number): number {
  let at = start;
  while (at < text.length && text.charCodeAt(at) !== comma && !isClose(text.charCodeAt(at))) at++;
  return at;
}

function sameTree(left: Tree, right: Tree): boolean {
  if (typeof left === "string" || typeof right === "string") return left === right;
  if (Array.isArray(left) || Array.isArray(right)) {
    if (!Array.isArray(left) || !Array.isArray(right) || left.length !== right.length) return false;
    return left.every((element, index) => sameTree(element, right[index] ?? ""));
  }
  if (left.size !== right.size) return false;
  for (const [name, value] of left) {
    const other = right.get(name);
    if (other === undefined || !sameTree(value, other)) return false;
  }
  return true;
}

/** Texts of the {@link stringify} that is running, and the mark that stands for each; null while none is. */
let embedded: { readonly mark: string; readonly texts: string[] } | null = null;

/** A value of an answer that is JSON text already. */
export class JsonText {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }

  toJSON(): string {
    if (embedded === null) throw new Error("JSON text goes into an answer by stringify() of json-text.ts");
    embedded.texts.push(this.text);
    return `${embedded.mark}${embedded.texts.length - 1}`;
  }
}

/** JSON.stringify that puts each {@link JsonText} in as it is. */
export function stringify(value: unknown): string {
  // Unguessable, so that no string of a stranger can stand for one of the texts.
  const { mark, texts } = { mark: `text-${crypto.randomUUID()}-`, texts: [] as string[] };
  embedded = { mark, texts };
  let outer: string;
  try {
    outer = JSON.stringify(value);
  } finally {
    embedded = null;
  }
  if (texts.length === 0) return outer;
  return outer.replace(
    new RegExp(`"${mark}(\\d+)"`, "g"),
    (_all, index: string) => texts[Number(index)] ?? "",
  );
}
