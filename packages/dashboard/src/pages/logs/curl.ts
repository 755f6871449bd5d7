import type { WebhookLogDetail } from "../../api/types.ts";

/** For a POSIX shell: nothing in it is read as anything but text. */
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** The attempt's request as a curl command. Masked values and the signature are placeholders, which a comment says. */
export function curlOf({ url, requestHeaders, requestBody }: WebhookLogDetail): string {
  return [
    "# Header values with dots are masked, and the signature is not kept: put in your own.",
    `curl -sS -X POST ${quoted(url)} \\`,
    ...requestHeaders.map(({ name, value }) => `  -H ${quoted(`${name}: ${value}`)} \\`),
    `  --data-binary ${quoted(requestBody ?? "")}`,
  ].join("\n");
}
