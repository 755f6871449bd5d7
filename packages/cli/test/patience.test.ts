import { expect, test } from "vitest";
import { type Answer, NoAnswer } from "../src/api.ts";
import { patiently } from "../src/patience.ts";

const answer = (status: number, retryAfterMs: number | null = null): Answer => ({
  status,
  body: undefined,
  retryAfterMs,
  sentAtMs: 0,
});

/** Gives one after the other; an error is thrown. */
function inTurn(...turns: (Answer | Error)[]): () => Promise<Answer> {
  return async () => {
    const turn = turns.shift();
    if (turn === undefined) throw new RangeError("sent more often than expected");
    if (turn instanceof Error) throw turn;
    return turn;
  };
}

test("429, 5xx and no answer are sent again until an answer comes", async () => {
  const away = new NoAnswer("http://127.0.0.1:9", new Error("ECONNRESET"));
  let retries = 0;
  const send = inTurn(answer(503, 0), answer(429, 0), away, answer(500, 0), answer(201));
  const result = await patiently(send, 10_000, () => {
    retries += 1;
  });
  expect(result).toMatchObject({ kind: "answered", answer: { status: 201 }, retries: 4 });
  expect(retries).toBe(4);
});

test("a refusal is an answer: it is not sent again", async () => {
  expect(await patiently(inTurn(answer(409)), 10_000)).toMatchObject({ kind: "answered", retries: 0 });
});

test("Retry-After beyond the patience ends it at once, with the reason", async () => {
  const result = await patiently(inTurn(answer(503, 60_000)), 1_000);
  expect(result).toEqual({ kind: "gave-up", reason: "HTTP 503", retries: 0 });
});

test("any other error is a mistake of ours and is thrown", async () => {
  await expect(patiently(inTurn(new TypeError("wrong")), 1_000)).rejects.toThrow("wrong");
});
