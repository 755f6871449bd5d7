import { Webhook } from "standardwebhooks";
import { describe, expect, test } from "vitest";
import { Refused } from "../src/refused.ts";
import { createVerifier, verify } from "../src/verify.ts";
import { otherSecret, secret, signedHeaders } from "./requests.ts";

const body = '{"event":"call.ended","sessionId":"s"}';
const fine =
  (
    headers: Record<string, string>,
    options: Parameters<typeof verify>[0] = { secrets: secret },
    text = body,
  ) =>
  () =>
    verify(options, headers, text);
const code = (act: () => void): string => {
  try {
    act();
  } catch (error) {
    if (error instanceof Refused) return error.code;
    throw error;
  }
  return "taken";
};

describe("the published vectors of Standard Webhooks", () => {
  // Source: the specification's repository, its tests of signing and verifying.
  const vector = {
    secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
    timestamp: 1_614_265_330,
    body: '{"test": 2432232314}',
    signature: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
  };
  const headers: Record<string, string> = {
    "webhook-id": vector.id,
    "webhook-timestamp": String(vector.timestamp),
    "webhook-signature": vector.signature,
  };
  const check = (nowSeconds: number, secretText = vector.secret) =>
    code(() =>
      createVerifier({ secrets: secretText }, () => nowSeconds * 1_000)(
        (name) => headers[name] ?? null,
        new TextEncoder().encode(vector.body),
      ),
    );

  test("the vector verifies at its time, with and without the prefix of the secret", () => {
    expect(check(vector.timestamp)).toBe("taken");
    expect(check(vector.timestamp, vector.secret.slice("whsec_".length))).toBe("taken");
  });

  test("the header of the published documents with several signatures verifies", () => {
    headers["webhook-signature"] = [
      vector.signature,
      "v1,bm9ldHUjKzFob2VudXRob2VodWUzMjRvdWVvdW9ldQo=",
      "v2,MzJsNDk4MzI0K2VvdSMjMTEjQEBAQDEyMzMzMzEyMwo=",
    ].join(" ");
    expect(check(vector.timestamp)).toBe("taken");
  });

  test("it verifies up to 300 s before and after, and no longer", () => {
    expect([-301, -300, 300, 301].map((off) => check(vector.timestamp + off))).toEqual([
      ...["timestamp_in_future", "taken", "taken", "timestamp_too_old"],
    ]);
  });
});

describe("the library of Standard Webhooks agrees", () => {
  const oracle = new Webhook(secret);
  const oracleCode = (headers: Record<string, string>, text = body): string => {
    try {
      oracle.verify(text, headers);
      return "taken";
    } catch {
      return "refused";
    }
  };

  test("what it signs is taken", () => {
    const now = new Date();
    const headers = {
      "webhook-id": "msg_1",
      "webhook-timestamp": String(Math.floor(now.getTime() / 1_000)),
      "webhook-signature": oracle.sign("msg_1", now, body),
    };
    expect(code(fine(headers))).toBe("taken");
  });

  const signed = signedHeaders(body);
  const signature = signed["webhook-signature"] ?? "";
  const cases: Record<string, Record<string, string | null>> = {
    "as it was signed": {},
    "a signature of another": { "webhook-signature": signature.replace("v1,", "v1,A").slice(0, -1) },
    "v1, alone": { "webhook-signature": "v1," },
    "an unknown version first": { "webhook-signature": `v2,xyz v1a,xyz ${signature}` },
    "only unknown versions": { "webhook-signature": signature.replace("v1,", "v2,") },
    "another id": { "webhook-id": "msg_other" },
    "another timestamp": { "webhook-timestamp": String(Number(signed["webhook-timestamp"]) + 1) },
    "a timestamp that is no number": { "webhook-timestamp": "soon" },
  };
  test.each(Object.entries(cases))("%s", (_, further) => {
    const headers = signedHeaders(body, { headers: further });
    const both = further["webhook-signature"] === undefined ? { ...signed, ...further } : headers;
    const given = Object.fromEntries(
      Object.entries(both).filter((entry): entry is [string, string] => entry[1] !== null),
    );
    const isTaken = code(fine(given)) === "taken";
    expect(isTaken ? "taken" : "refused").toBe(oracleCode(given));
  });
});

describe("requests that are not to be believed", () => {
  const signature = signedHeaders(body)["webhook-signature"] ?? "";

  test.each([
    ["none", null, "headers_missing"],
    ["an empty one", "", "signature_wrong"],
    ["v1,", "v1,", "signature_wrong"],
    ["v1", "v1", "signature_wrong"],
    ["the right beginning", signature.slice(0, 20), "signature_wrong"],
    ["the right one and more", `${signature}A`, "signature_wrong"],
    ["the right one without padding", signature.replace("=", ""), "signature_wrong"],
    ["a thousand commas", ",".repeat(1_000), "signature_wrong"],
  ])("V1: a signature that is %s is refused with 401", (_, given, expected) => {
    const headers = signedHeaders(body, { headers: { "webhook-signature": given } });
    expect(code(fine(headers))).toBe(expected);
    expect(() => fine(headers)()).toThrow(expect.objectContaining({ status: 401 }));
  });

  test("V2: of many signatures 16 are looked at, and a header above 8 KiB is none", () => {
    const headers = signedHeaders(body);
    const own = headers["webhook-signature"] ?? "";
    const among = (before: number) =>
      code(fine({ ...headers, "webhook-signature": `${"v2,x ".repeat(before)}${own}` }));
    expect(among(15)).toBe("taken");
    expect(among(16)).toBe("signature_wrong");
    const began = performance.now();
    expect(code(fine({ ...headers, "webhook-signature": `${"v1,x ".repeat(1_000_000)}${own}` }))).toBe(
      "signature_wrong",
    );
    expect(performance.now() - began).toBeLessThan(1_000);
  });

  test("V3: unknown versions are passed over, a valid v1 beside them counts", () => {
    const headers = signedHeaders(body);
    const own = headers["webhook-signature"] ?? "";
    expect(code(fine({ ...headers, "webhook-signature": own.replace("v1,", "v1a,") }))).toBe(
      "signature_wrong",
    );
    expect(code(fine({ ...headers, "webhook-signature": own.replace("v1,", "v2,") }))).toBe(
      "signature_wrong",
    );
    expect(code(fine({ ...headers, "webhook-signature": `v9,abc ${own}` }))).toBe("taken");
  });

  test.each([
    ["written again with spaces", JSON.stringify(JSON.parse(body), null, 1)],
    ["with one space more", `${body} `],
    ["with a byte order mark", `\ufeff${body}`],
    ["with its keys in another order", '{"sessionId":"s","event":"call.ended"}'],
    ["with escaped letters", body.replace("call", "\\u0063all")],
  ])("V5: a body %s is another body", (_, text) => {
    expect(code(fine(signedHeaders(body), { secrets: secret }, text))).toBe("signature_wrong");
  });

  test("V7: an id with a full stop cannot shift the border to the timestamp", () => {
    const timestamp = Math.floor(Date.now() / 1_000);
    const headers = signedHeaders(body, { id: "msg", timestamp });
    // Signed was msg.<timestamp>.<body>; offered is the id "msg.<timestamp>" with the rest moved.
    expect(code(fine({ ...headers, "webhook-id": `msg.${timestamp}` }))).toBe("signature_wrong");
    expect(code(fine(signedHeaders(body, { id: "a.1" })))).toBe("signature_wrong");
  });

  test("V8: with the old and the new secret both are taken, and no third", () => {
    const options = { secrets: [otherSecret, secret] };
    const third = `whsec_${Buffer.alloc(32, 9).toString("base64")}`;
    expect(code(fine(signedHeaders(body), options))).toBe("taken");
    expect(code(fine(signedHeaders(body, { secret: otherSecret }), options))).toBe("taken");
    expect(code(fine(signedHeaders(body, { secret: third }), options))).toBe("signature_wrong");
  });

  test.each([
    ["too short", `whsec_${Buffer.alloc(23, 1).toString("base64")}`],
    ["too long", `whsec_${Buffer.alloc(65, 1).toString("base64")}`],
    ["empty", ""],
    ["the prefix alone", "whsec_"],
    ["not base64", "whsec_!!!!not base64!!!!not base64!!!!not base64"],
    ["of another scheme", `whsk_${Buffer.alloc(32, 1).toString("base64")}`],
  ])("V8: a secret that is %s is refused when the receiver is made, and not told", (_, wrong) => {
    expect(() => createVerifier({ secrets: wrong })).toThrow(TypeError);
    expect(() => createVerifier({ secrets: wrong })).toThrow(/signing secret has \d+ characters/);
  });

  test("late and early by more than five minutes are refused, and only who can sign learns it", () => {
    const now = Math.floor(Date.now() / 1_000);
    expect(code(fine(signedHeaders(body, { timestamp: now - 302 })))).toBe("timestamp_too_old");
    expect(code(fine(signedHeaders(body, { timestamp: now + 302 })))).toBe("timestamp_in_future");
    expect(code(fine(signedHeaders(body, { timestamp: now - 302, secret: otherSecret })))).toBe(
      "signature_wrong",
    );
    expect(
      code(fine(signedHeaders(body, { timestamp: now - 302 }), { secrets: secret, toleranceSeconds: 600 })),
    ).toBe("taken");
  });
});

describe("expected headers", () => {
  const options = { headers: { Authorization: ["Bearer old", "Bearer new"] } };

  test("one of the values must be there, whatever the case of the name", () => {
    expect(code(fine({ authorization: "Bearer new" }, options))).toBe("taken");
    expect(code(fine({ AUTHORIZATION: "Bearer old" }, options))).toBe("taken");
    expect(code(fine({ authorization: "Bearer" }, options))).toBe("header_wrong");
    expect(code(fine({ authorization: "bearer new" }, options))).toBe("header_wrong");
    expect(code(fine({}, options))).toBe("header_wrong");
  });

  test("with a secret too, both must hold", () => {
    const both = { secrets: secret, headers: { "x-route": "a" } };
    expect(code(fine(signedHeaders(body, { headers: { "x-route": "a" } }), both))).toBe("taken");
    expect(code(fine(signedHeaders(body), both))).toBe("header_wrong");
    expect(code(fine({ "x-route": "a" }, both))).toBe("headers_missing");
  });

  test("neither a secret nor a header, or an empty value, is refused at once", () => {
    expect(() => createVerifier({})).toThrow(/anybody could send/);
    expect(() => createVerifier({ secrets: [] })).toThrow(/anybody could send/);
    expect(() => createVerifier({ headers: { "x-token": "" } })).toThrow(/empty value/);
    expect(() => createVerifier({ headers: { "x-token": [] } })).toThrow(/empty value/);
    expect(() => createVerifier({ secrets: secret, toleranceSeconds: 0 })).toThrow(/toleranceSeconds/);
  });
});

test("verification answers nothing: there is no result that could be taken for true", () => {
  expect(verify({ secrets: secret }, new Headers(signedHeaders(body)), body)).toBeUndefined();
  expect(verify({ secrets: secret }, signedHeaders(body), new TextEncoder().encode(body))).toBeUndefined();
});
