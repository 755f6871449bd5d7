import type { IncomingMessage } from "node:http";

/**
 * A header of a request, from the list as it came: Node.js makes an object of all of them to look one up, which costs a
 * report as much as reading its body.
 *
 * @param name in lower case.
 * @returns the values joined by ", " where it stands more than once; undefined where it does not stand.
 */
export function headerOf({ rawHeaders }: IncomingMessage, name: string): string | undefined {
  let value: string | undefined;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const given = rawHeaders[at] as string;
    if (given.length !== name.length || given.toLowerCase() !== name) continue;
    value = value === undefined ? rawHeaders[at + 1] : `${value}, ${rawHeaders[at + 1]}`;
  }
  return value;
}
