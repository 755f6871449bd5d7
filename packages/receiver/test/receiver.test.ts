import { afterEach, describe, expect, test } from "vitest";
import { until } from "../../../test/until.ts";
import {
  createReceiver,
  memoryStore,
  type Notice,
  type Receiver,
  type Session,
  type Store,
  type StoreReceiverOptions,
} from "../src/index.ts";
import { bodies, secret, signedHeaders, signedRequest, textFinalized } from "./requests.ts";

const open: Receiver[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((receiver) => receiver.close({ withinMs: 100 })));
});

interface Made {
  readonly receiver: Receiver;
  readonly store: Store<undefined>;
  readonly notices: Notice[];
  /** The kinds of all notices with the event they are about. */
  kinds(): string[];
}

function make(options: Partial<StoreReceiverOptions<undefined>> = {}): Made {
  const notices: Notice[] = [];
  const store = options.store ?? memoryStore();
  const receiver = createReceiver({
    verify: { secrets: secret },
    store,
    pollMs: 20,
    retry: { firstMs: 1, mostMs: 5 },
    notify: (notice) => void notices.push(notice),
    ...options,
  });
  open.push(receiver);
  return { receiver, store, notices, kinds: () => notices.map(({ kind }) => kind) };
}

const send = async (receiver: Receiver, body: string, signing = {}): Promise<[number, unknown]> => {
  const response = await receiver.handle(signedRequest(body, signing));
  return [response.status, await response.json()];
};
const refusedWith = (status: number, code: string) => [
  status,
  { error: { code, message: expect.stringMatching(/\w{3}/) } },
];

describe("what is taken", () => {
  test("an event is answered 200 when it is stored, and its handler gets the payload", async () => {
    const seen: unknown[] = [];
    const { receiver } = make({
      on: {
        "call.ended": ({ callStatus, callDuration }, { attempt }) =>
          void seen.push([callStatus, callDuration, attempt]),
      },
    });
    expect(await send(receiver, bodies["call.ended"]("s"))).toEqual([200, { status: "accepted" }]);
    await until("the handler has run", () => seen.length === 1);
    expect(seen).toEqual([["userHangup", 78, 1]]);
  });

  test("the answer does not wait for the handler", async () => {
    let finish: (() => void) | null = null;
    const { receiver, kinds } = make({
      on: {
        "call.ended": () =>
          new Promise<void>((resolve) => {
            finish = resolve;
          }),
      },
    });
    expect((await send(receiver, bodies["call.ended"]("s")))[0]).toBe(200);
    expect(kinds()).not.toContain("handled");
    await until("the handler runs", () => finish !== null);
    (finish as unknown as () => void)();
    await until("it is done", () => kinds().includes("handled"));
  });

  test("a status that nobody knows, fields that nobody knows and hostile keys pass", async () => {
    const seen: unknown[] = [];
    const { receiver } = make({ on: { "session.finalized": (payload) => void seen.push(payload) } });
    const body =
      '{"event":"session.finalized","sessionId":"s","callStatus":"eatenByDog","new":[1],"extractedVariables":{"__proto__":{"admin":true},"toString":1,"then":2}}';
    expect((await send(receiver, body))[0]).toBe(200);
    await until("the handler has run", () => seen.length === 1);
    expect(JSON.stringify(seen[0])).toBe(body);
    expect(({} as { admin?: boolean }).admin).toBeUndefined();
  });

  test("an unknown event is acknowledged and offered to on.unknown", async () => {
    const seen: unknown[] = [];
    const { receiver } = make({ on: { unknown: (payload) => void seen.push(payload.event) } });
    expect((await send(receiver, '{"event":"session.transcribed","sessionId":"s"}'))[0]).toBe(200);
    expect((await send(receiver, '{"event":"constructor"}'))[0]).toBe(200);
    await until("the handler has run", () => seen.length === 2);
    expect(seen.sort()).toEqual(["constructor", "session.transcribed"]);
    const without = make();
    expect((await send(without.receiver, '{"event":"session.transcribed","sessionId":"s"}'))[0]).toBe(200);
  });

  test("the same event again, also at the same moment, is acknowledged and runs nothing", async () => {
    let runs = 0;
    const { receiver, kinds } = make({ on: { "call.ended": () => void runs++ } });
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => send(receiver, bodies["call.ended"]("s"))),
    );
    expect(answers.every(([status]) => status === 200)).toBe(true);
    expect(answers.filter(([, body]) => (body as { status: string }).status === "accepted")).toHaveLength(1);
    await until("the handler has run", () => kinds().includes("handled"));
    await send(receiver, bodies["call.ended"]("s"));
    expect(runs).toBe(1);
  });

  test("V12: the same event with another signed body is acknowledged, and the first one stands", async () => {
    const seen: number[] = [];
    const { receiver, notices } = make({
      on: { "call.ended": ({ callDuration }) => void seen.push(callDuration) },
    });
    await send(receiver, bodies["call.ended"]("s"));
    const second = await send(receiver, bodies["call.ended"]("s").replace("78", "99"));
    expect(second).toEqual([200, { status: "duplicate" }]);
    expect(notices).toContainEqual({ kind: "conflict", session: "s", event: "call.ended" });
    await until("the handler has run", () => seen.length > 0);
    expect(seen).toEqual([78]);
  });

  test("a recording that is sent again with a fresh link is the same event, and the fresh link is the one to use", async () => {
    const { receiver, store, kinds } = make({ work: "manual", on: { "recording.ready": () => {} } });
    await send(receiver, bodies["recording.ready"]("s", "https://r.example.com/a?expires=1"));
    await send(receiver, bodies["recording.ready"]("s", "https://r.example.com/a?expires=2"));
    expect(kinds()).toEqual(["forgets", "accepted", "duplicate"]);
    expect((await store.session("s"))[0]?.body).toContain("expires=2");
  });

  test("V17: a captured request that is sent again within its time runs nothing", async () => {
    let runs = 0;
    const { receiver, kinds } = make({ on: { "session.ended": () => void runs++ } });
    const body = bodies["session.ended"]("s");
    const headers = signedHeaders(body);
    for (let times = 0; times < 3; times += 1) {
      const response = await receiver.handle(new Request("http://r.test", { method: "POST", headers, body }));
      expect(response.status).toBe(200);
    }
    await until("the handler has run", () => kinds().includes("handled"));
    expect([runs, kinds().filter((kind) => kind === "duplicate")]).toEqual([1, ["duplicate", "duplicate"]]);
  });

  test("V22: two recordings of a session are one event, unless each says its recordingId", async () => {
    const { receiver, kinds } = make();
    await send(receiver, bodies["recording.ready"]("s"));
    await send(receiver, bodies["recording.ready"]("s", "https://recordings.example.com/b.ogg?expires=1"));
    const leg = (recordingId: string): string =>
      JSON.stringify({ ...JSON.parse(bodies["recording.ready"]("t")), recordingId });
    await send(receiver, leg("1"));
    await send(receiver, leg("2"));
    await send(receiver, leg("2"));
    expect(kinds().slice(1)).toEqual(["accepted", "duplicate", "accepted", "accepted", "duplicate"]);
  });

  test("V20: session ids that no database or file would take are kept by their digest", async () => {
    const seen: string[] = [];
    const { receiver, notices } = make({
      on: { "call.ended": ({ sessionId }) => void seen.push(sessionId) },
    });
    const ids = ["../../x", "a\u0000b", "x".repeat(300), "@session", "#", "Zoë", "\ud800"];
    for (const id of ids) expect((await send(receiver, bodies["call.ended"](id)))[0]).toBe(200);
    await until("all have run", () => seen.length === ids.length);
    expect(seen.sort()).toEqual([...ids].sort());
    const kept = notices.flatMap((notice) => (notice.kind === "accepted" ? [notice.session] : []));
    expect(kept[0]).toBe("../../x");
    for (const key of kept.slice(1)) expect(key).toMatch(/^#[0-9a-f]{64}$/);
  });
});

describe("what is refused, before any work", () => {
  const neverStored = (): Store<undefined> => ({
    ...memoryStore(),
    accept: () => Promise.reject(new Error("something was stored")),
  });
  const body = bodies["call.ended"]("s");

  const refuse = async (request: Request, options: Partial<StoreReceiverOptions<undefined>> = {}) => {
    const { receiver } = make({ store: neverStored(), ...options });
    const response = await receiver.handle(request);
    return [response.status, await response.json()];
  };

  test("V13: a forged request leaves nothing in the store, so the true event is new afterwards", async () => {
    const { receiver, store, kinds } = make();
    const forged = { headers: { "webhook-signature": `v1,${"A".repeat(43)}=` } };
    expect(await send(receiver, body, forged)).toEqual(refusedWith(401, "signature_wrong"));
    expect(await store.session("s")).toEqual([]);
    expect(await send(receiver, body)).toEqual([200, { status: "accepted" }]);
    expect(kinds()).toEqual(["refused", "forgets", "accepted"]);
  });

  test("unsigned, late and re-serialised requests", async () => {
    const unsigned = { "webhook-id": null, "webhook-timestamp": null, "webhook-signature": null };
    expect(await refuse(signedRequest(body, { headers: unsigned }))).toEqual(
      refusedWith(401, "headers_missing"),
    );
    const late = { timestamp: Math.floor(Date.now() / 1_000) - 301 };
    expect(await refuse(signedRequest(body, late))).toEqual(refusedWith(401, "timestamp_too_old"));
    const again = JSON.stringify(JSON.parse(body), null, 1);
    expect(
      await refuse(
        new Request("http://r.test", { method: "POST", headers: signedHeaders(body), body: again }),
      ),
    ).toEqual(refusedWith(401, "signature_wrong"));
  });

  test("other methods, types and encodings", async () => {
    const get = await make({ store: neverStored() }).receiver.handle(new Request("http://r.test"));
    expect([get.status, get.headers.get("allow")]).toEqual([405, "POST"]);
    const withHeader = (name: string, value: string) =>
      refuse(signedRequest(body, { headers: { [name]: value } }));
    expect(await withHeader("content-type", "text/plain")).toEqual(refusedWith(415, "content_type_not_json"));
    expect(await withHeader("content-encoding", "gzip")).toEqual(
      refusedWith(415, "content_encoding_not_supported"),
    );
    const { receiver } = make();
    expect(
      (await send(receiver, body, { headers: { "content-type": "application/json; charset=utf-8" } }))[0],
    ).toBe(200);
  });

  test("a body beyond the limit, announced or not, is not read to its end", async () => {
    expect(await refuse(signedRequest(body, { headers: { "content-length": "2000000" } }))).toEqual(
      refusedWith(413, "body_too_large"),
    );
    let pulled = 0;
    let isCancelled = false;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulled += 1;
        controller.enqueue(new Uint8Array(65_536));
      },
      cancel() {
        isCancelled = true;
      },
    });
    const request = new Request("http://r.test", {
      ...{ method: "POST", headers: signedHeaders(body), body: endless },
      ...({ duplex: "half" } as RequestInit),
    });
    expect(await refuse(request)).toEqual(refusedWith(413, "body_too_large"));
    expect(pulled).toBeLessThan(20);
    await until("it was told to stop", () => isCancelled);
  });

  test("a body that does not come is given up", async () => {
    const never = new ReadableStream<Uint8Array>({ pull: () => new Promise(() => {}) });
    const request = new Request("http://r.test", {
      ...{ method: "POST", headers: signedHeaders(body), body: never },
      ...({ duplex: "half" } as RequestInit),
    });
    expect(await refuse(request, { limits: { bodyTimeMs: 30 } })).toEqual(refusedWith(408, "body_too_slow"));
  });

  test("a body that breaks off", async () => {
    const broken = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.error(new Error("reset")),
    });
    const request = new Request("http://r.test", {
      ...{ method: "POST", headers: signedHeaders(body), body: broken },
      ...({ duplex: "half" } as RequestInit),
    });
    expect(await refuse(request)).toEqual(refusedWith(400, "body_incomplete"));
  });

  test("V6: a body that is signed but not UTF-8, not JSON or no event", async () => {
    const bytes = Uint8Array.from([...Buffer.from('{"event":"'), 0xff, 0xc0, ...Buffer.from('"}')]);
    expect(await refuse(signedRequest(bytes))).toEqual(refusedWith(400, "body_not_utf8"));
    for (const text of ["", "{", "null", "[]", '"x"', `\ufeff${body}`]) {
      expect(await refuse(signedRequest(text)), text).toEqual(refusedWith(400, "body_not_json"));
    }
    const wrong = [
      "{}",
      '{"event":1}',
      '{"event":""}',
      '{"event":"call.ended"}',
      '{"event":"call.ended","sessionId":7,"callStatus":"busy"}',
      '{"event":"recording.ready","sessionId":"s","success":"yes"}',
    ];
    for (const text of wrong) {
      expect(await refuse(signedRequest(text)), text).toEqual(refusedWith(400, "payload_wrong"));
    }
  });

  test("a body of a million brackets costs no stack", async () => {
    const deep = `{"event":"x","sessionId":"s","v":${"[".repeat(500_000)}${"]".repeat(500_000)}}`;
    expect((await send(make().receiver, deep))[0]).toBe(200);
  });

  test("neither verify nor unverified, and both, is refused when the receiver is made", () => {
    expect(() => createReceiver({ store: memoryStore() })).toThrow(/anybody could send/);
    expect(() =>
      createReceiver({ store: memoryStore(), verify: { secrets: secret }, unverified: true }),
    ).toThrow(/contradict/);
    expect(() => createReceiver({ store: memoryStore(), unverified: true })).not.toThrow();
  });

  test("a store that fails or hangs is answered 503 with Retry-After, never 2xx", async () => {
    const failing = make({
      store: { ...memoryStore(), accept: () => Promise.reject(new Error("disk full")) },
    });
    const response = await failing.receiver.handle(signedRequest(body));
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(JSON.stringify(await response.json())).not.toContain("disk full");
    const hanging = make({
      store: { ...memoryStore(), accept: () => new Promise(() => {}) },
      storeTimeMs: 20,
    });
    expect(await send(hanging.receiver, body)).toEqual(refusedWith(503, "not_stored"));
    let isUp = false;
    const late = make({
      store: { ...memoryStore(), setUp: async () => void (isUp || Promise.reject(new Error("down"))) },
    });
    isUp = true;
    expect((await send(late.receiver, body))[0]).toBe(200);
  });

  test("beyond 5,000 events that wait for the store 503 is answered at once", async () => {
    const { receiver } = make({
      store: { ...memoryStore(), accept: () => new Promise(() => {}) },
      storeTimeMs: 500,
    });
    const answers = await Promise.all(
      Array.from({ length: 5_200 }, async (_, index) => {
        const text = bodies["call.ended"](`s${index}`);
        const headers = new Map(Object.entries(signedHeaders(text)));
        const answer = await receiver.take({
          method: "POST",
          header: (name) => headers.get(name) ?? null,
          body: (async function* () {
            yield Buffer.from(text);
          })(),
        });
        return JSON.parse(answer.body).error.code as string;
      }),
    );
    expect(answers.filter((code) => code === "overloaded")).toHaveLength(199);
    // One is under way, 5,000 wait.
    expect(answers.filter((code) => code === "not_stored")).toHaveLength(5_001);
  });

  test("one event that cannot be stored does not take those with it that wait beside it", async () => {
    const inner = memoryStore();
    const { receiver } = make({
      store: {
        ...inner,
        accept: async (events) => {
          if (events.some(({ session }) => session === "bad")) throw new Error("cannot be stored");
          return inner.accept(events);
        },
      },
    });
    const answers = await Promise.all(
      ["a", "b", "bad", "c"].map(async (id) => (await send(receiver, bodies["call.ended"](id)))[0]),
    );
    expect(answers).toEqual([200, 200, 503, 200]);
  });

  test("after close it answers 503", async () => {
    const { receiver } = make();
    await receiver.close();
    expect(await send(receiver, body)).toEqual(refusedWith(503, "closed"));
  });
});

describe("handlers", () => {
  test("one that throws runs again after a pause, with the same idempotency key", async () => {
    const keys: string[] = [];
    const { receiver, kinds, notices } = make({
      on: {
        "call.ended": (_, { idempotencyKey, attempt }) => {
          keys.push(idempotencyKey);
          if (attempt < 3) throw new Error("not yet");
        },
      },
    });
    await send(receiver, bodies["call.ended"]("s"));
    await until("it is done", () => kinds().includes("handled"));
    expect(keys).toHaveLength(3);
    expect(new Set(keys).size).toBe(1);
    expect(keys[0]).toMatch(/^[0-9a-f]{32}$/);
    expect(notices.at(-1)).toMatchObject({ kind: "handled", attempt: 3 });
  });

  test("one that fails for the last time puts the event on the list of the dead, from where it can be run again", async () => {
    let isWell = false;
    const { receiver, kinds } = make({
      retry: { attempts: 2, firstMs: 1, mostMs: 1 },
      on: {
        "call.ended": () => {
          if (!isWell) throw new Error("no such customer");
        },
      },
    });
    await send(receiver, bodies["call.ended"]("s"));
    await until("it is dead", () => kinds().includes("dead"));
    const [dead] = await receiver.dead();
    expect(dead).toMatchObject({ session: "s", event: "call.ended", attempts: 2 });
    expect(dead?.error).toContain("no such customer");
    isWell = true;
    expect(await receiver.revive(dead?.id ?? "")).toBe(true);
    await until("it is done", () => kinds().includes("handled"));
    expect(await receiver.dead()).toEqual([]);
  });

  test("GiveUp makes it dead at once", async () => {
    const { GiveUp } = await import("../src/index.ts");
    const { receiver, kinds } = make({
      on: { "call.ended": () => Promise.reject(new GiveUp("it will never work")) },
    });
    await send(receiver, bodies["call.ended"]("s"));
    await until("it is dead", () => kinds().includes("dead"));
    expect((await receiver.dead())[0]?.attempts).toBe(1);
  });

  test("an event whose process died as often as it may be tried is dead without running", async () => {
    let runs = 0;
    const store = memoryStore();
    const first = make({ store, work: "manual", on: { "call.ended": () => {} } });
    await send(first.receiver, bodies["call.ended"]("s"));
    for (let times = 0; times < 2; times += 1) {
      await until("it is due", async () => (await store.claim(1, 1)).length === 1);
    }
    const second = make({
      store,
      retry: { attempts: 2, firstMs: 1, mostMs: 1 },
      on: { "call.ended": () => void runs++ },
    });
    await second.receiver.start();
    await until("it is dead", () => second.kinds().includes("dead"));
    expect(runs).toBe(0);
  });

  test("no more than the concurrency run at a time, and one that hangs keeps nobody else waiting", async () => {
    let running = 0;
    let most = 0;
    const done: string[] = [];
    const { receiver } = make({
      concurrency: 3,
      on: {
        "call.ended": async ({ sessionId }, { signal }) => {
          running += 1;
          most = Math.max(most, running);
          if (sessionId === "hangs") {
            await new Promise((resolve) => signal.addEventListener("abort", resolve));
          } else {
            await new Promise((resolve) => setImmediate(resolve));
            done.push(sessionId);
          }
          running -= 1;
        },
      },
    });
    await send(receiver, bodies["call.ended"]("hangs"));
    await Promise.all(
      Array.from({ length: 40 }, (_, index) => send(receiver, bodies["call.ended"](`s${index}`))),
    );
    await until("all others are done", () => done.length === 40);
    expect(most).toBe(3);
  });

  test("one that takes longer than its lease keeps it", async () => {
    let runs = 0;
    let finish = (): void => {};
    const { receiver, kinds } = make({
      leaseMs: 60,
      on: {
        "call.ended": async () => {
          runs += 1;
          await new Promise<void>((resolve) => {
            finish = resolve;
          });
        },
      },
    });
    await send(receiver, bodies["call.ended"]("s"));
    await until("it runs", () => runs === 1);
    const began = performance.now();
    await until("three leases are over", () => performance.now() - began > 200);
    expect(runs).toBe(1);
    finish();
    await until("it is done", () => kinds().includes("handled"));
  });

  test("one that takes longer than handlerTimeMs is aborted and counts as failed", async () => {
    const { receiver, notices } = make({
      handlerTimeMs: 20,
      on: { "call.ended": (_, { attempt }) => (attempt === 1 ? new Promise(() => {}) : undefined) },
    });
    await send(receiver, bodies["call.ended"]("s"));
    await until("the second one is done", () => notices.some(({ kind }) => kind === "handled"));
    expect(notices.find(({ kind }) => kind === "handler_failed")).toMatchObject({
      error: expect.objectContaining({ message: expect.stringContaining("20 ms") }),
    });
  });

  test("V16: session.finalized that comes first runs, and sees what has arrived before it", async () => {
    const seen: unknown[] = [];
    const { receiver } = make({
      on: {
        "session.finalized": async (_, { session }) => {
          const { arrived, missing } = await session();
          seen.push(arrived, missing);
        },
      },
    });
    await send(receiver, bodies["session.finalized"]("s"));
    await until("it has run", () => seen.length === 2);
    expect(seen).toEqual([["session.finalized"], ["session.ended", "call.ended", "recording.ready"]]);
  });

  test("close waits for what runs, and gives back what does not end", async () => {
    const store = memoryStore();
    let isAborted = false;
    const { receiver } = make({
      store,
      on: {
        "call.ended": (_, { signal }) =>
          new Promise((resolve) => {
            signal.addEventListener("abort", () => {
              isAborted = true;
              resolve(undefined);
            });
          }),
      },
    });
    await send(receiver, bodies["call.ended"]("s"));
    await until("it runs", async () => (await store.claim(1, 0)).length === 0);
    await receiver.close({ withinMs: 10 });
    expect(isAborted).toBe(true);
    const [claim] = await store.claim(1, 1_000);
    expect(claim).toMatchObject({ session: "s", attempt: 1 });
  });

  test("a notify that throws breaks nothing", async () => {
    const { receiver } = make({
      notify: () => {
        throw new Error("the log is full");
      },
    });
    expect((await send(receiver, bodies["call.ended"]("s")))[0]).toBe(200);
  });

  test("with work: manual handlers run in runDue alone", async () => {
    let runs = 0;
    const { receiver } = make({ work: "manual", on: { "call.ended": () => void runs++ } });
    for (const id of ["a", "b", "c"]) await send(receiver, bodies["call.ended"](id));
    expect(runs).toBe(0);
    expect(await receiver.runDue()).toBe(3);
    expect([runs, await receiver.runDue()]).toEqual([3, 0]);
  });
});

describe("onSession", () => {
  const joined = (options: Partial<StoreReceiverOptions<undefined>> = {}) => {
    const sessions: Session[] = [];
    const made = make({ onSession: (session) => void sessions.push(session), ...options });
    return { ...made, sessions };
  };
  const permutations = <Item>(items: readonly Item[]): Item[][] =>
    items.length < 2
      ? [[...items]]
      : items.flatMap((item, index) =>
          permutations(items.filter((_, place) => place !== index)).map((rest) => [item, ...rest]),
        );

  test("joins a call's four events once, in each of the 24 orders", async () => {
    const { receiver, sessions } = joined();
    const orders = permutations(Object.keys(bodies) as (keyof typeof bodies)[]);
    for (const [index, order] of orders.entries()) {
      for (const event of order) await send(receiver, bodies[event](`s${index}`));
    }
    await until("all are joined", () => sessions.length >= orders.length);
    expect(sessions).toHaveLength(24);
    for (const session of sessions) {
      expect(session).toMatchObject({
        ...{ channel: "call", missing: [], ended: { event: "session.ended" }, call: { callDuration: 78 } },
        ...{ finalized: { event: "session.finalized" }, recording: { success: true } },
      });
      expect(session.arrived).toEqual(orders[Number(session.sessionId.slice(1))]);
    }
  });

  test("a text session is complete without call and recording, and nothing of them is waited for", async () => {
    const { receiver, sessions } = joined();
    await send(receiver, bodies["session.ended"]("t"));
    await send(receiver, textFinalized("t"));
    await until("it is joined", () => sessions.length === 1);
    expect(sessions[0]).toMatchObject({ channel: "text", missing: [], call: null, recording: null });
  });

  test("a recording that does not come in time is missing, and one that comes late joins nothing again", async () => {
    const late: string[] = [];
    const { receiver, sessions } = joined({
      session: { recordingWithinMs: 60 },
      on: { "recording.ready": ({ sessionId }) => void late.push(sessionId) },
    });
    for (const event of ["session.ended", "call.ended", "session.finalized"] as const) {
      await send(receiver, bodies[event]("s"));
    }
    await until("it is joined", () => sessions.length === 1);
    expect(sessions[0]).toMatchObject({ missing: ["recording.ready"], recording: null });
    await send(receiver, bodies["recording.ready"]("s"));
    await until("its own handler has run", () => late.length === 1);
    await receiver.runDue();
    expect(sessions).toHaveLength(1);
  });

  test("only what is expected is waited for", async () => {
    const { receiver, sessions } = joined({ session: { expect: ["session.finalized"] } });
    await send(receiver, bodies["session.finalized"]("s"));
    await until("it is joined", () => sessions.length === 1);
    expect(sessions[0]?.missing).toEqual([]);
  });

  test("a session whose finalized never comes is told after its time", async () => {
    const { receiver, sessions } = joined({ session: { finalizedWithinMs: 50 } });
    await send(receiver, bodies["session.ended"]("s"));
    await until("it is joined", () => sessions.length === 1);
    expect(sessions[0]).toMatchObject({
      finalized: null,
      missing: expect.arrayContaining(["session.finalized"]),
    });
  });

  test("one that throws runs again", async () => {
    let runs = 0;
    const { receiver, kinds } = make({
      onSession: () => {
        runs += 1;
        if (runs === 1) throw new Error("not yet");
      },
    });
    await send(receiver, bodies["session.ended"]("t"));
    await send(receiver, textFinalized("t"));
    await until("it is done", () => kinds().includes("handled"));
    expect(runs).toBe(2);
  });

  test("a sender cannot send the event that stands for a joined session", async () => {
    const { receiver, sessions, store } = joined();
    await send(receiver, '{"event":"@session","sessionId":"s"}');
    expect((await store.session("s"))[0]?.event).toMatch(/^#/);
    await send(receiver, textFinalized("s"));
    await send(receiver, bodies["session.ended"]("s"));
    await until("it is joined", () => sessions.length === 1);
  });
});
