/**
 * HTTP/1.1 by hand, just enough of it: node:http would take four times the processor time, on the cores that Sendoff is
 * measured on. Messages are never pipelined.
 */

/** A message that is whole. */
export interface HttpMessage {
  /** The first line and the headers. */
  readonly head: string;
  readonly body: string;
}

const headEndMark = "\r\n\r\n";

/** @returns null while the message is not whole. */
export function readMessage(message: Buffer): HttpMessage | null {
  const headEnd = message.indexOf(headEndMark);
  if (headEnd < 0) return null;
  const head = message.toString("latin1", 0, headEnd);
  const bodyBegin = headEnd + headEndMark.length;
  if (/\r\ntransfer-encoding: *chunked/i.test(head)) {
    // Nobody here reads such a body: that it is whole is enough.
    return message.subarray(-5).toString("latin1") === "0\r\n\r\n" ? { head, body: "" } : null;
  }
  const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
  if (message.length < bodyBegin + length) return null;
  return { head, body: message.toString("utf8", bodyBegin, bodyBegin + length) };
}

/** A POST as it goes over the wire. */
export function writePost(host: string, path: string, headers: readonly string[], body: string): string {
  const lines = [`POST ${path} HTTP/1.1`, `host: ${host}`];
  for (let index = 0; index + 1 < headers.length; index += 2) {
    lines.push(`${headers[index]}: ${headers[index + 1]}`);
  }
  lines.push(`content-length: ${Buffer.byteLength(body)}`);
  return `${lines.join("\r\n")}${headEndMark}${body}`;
}
