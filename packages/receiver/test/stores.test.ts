// One suite for all stores, against real servers.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until } from "../../../test/until.ts";
import { type Claim, ClaimLost, type NewEvent, type Store } from "../src/store.ts";
import { kinds, newName, type StoreKind } from "./store-kinds.ts";

const event = (session: string, name = "call.ended", further: Partial<NewEvent> = {}): NewEvent => ({
  session,
  event: name,
  body: `{"event":"${name}"}`,
  digest: "d1",
  webhookId: "msg_1",
  work: ["event"],
  ...further,
});

describe.each(Object.keys(kinds))("the %s store", (kindName) => {
  let kind: StoreKind;
  beforeAll(async () => {
    kind = await (kinds[kindName] as () => Promise<StoreKind>)();
  });
  afterAll(async () => kind?.close());

  const opened = async (name = newName()): Promise<Store<unknown>> => {
    const store = kind.open(name);
    await store.setUp();
    return store;
  };
  const claimed = async (store: Store<unknown>, leaseMs = 60_000): Promise<Claim> => {
    const [claim] = await store.claim(1, leaseMs);
    if (claim === undefined) throw new Error("nothing is due");
    return claim;
  };

  test("setting up twice, and twice at once, changes nothing", async () => {
    const store = await opened();
    await store.accept([event("s")]);
    await Promise.all([store.setUp(), store.setUp(), store.setUp()]);
    expect(await store.session("s")).toHaveLength(1);
  });

  test("an event is new once; with another digest it is a conflict, and the first body stays", async () => {
    const store = await opened();
    expect(await store.accept([event("a"), event("b")])).toEqual(["new", "new"]);
    expect(
      await store.accept([event("b"), event("c"), event("a", "call.ended", { digest: "d2", body: "{}" })]),
    ).toEqual(["duplicate", "new", "conflict"]);
    expect((await store.session("a"))[0]?.body).toBe('{"event":"call.ended"}');
  });

  test("of the same event from two sides at once, one is new", async () => {
    const store = await opened();
    const all = await Promise.all(
      Array.from({ length: 8 }, () => store.accept([event("a"), event("b"), event("c")])),
    );
    for (const place of [0, 1, 2]) expect(all.filter((each) => each[place] === "new")).toHaveLength(1);
    expect(await store.claim(10, 60_000)).toHaveLength(3);
  });

  test("a store of another name knows nothing of it", async () => {
    const [one, other] = [await opened(), await opened()];
    await one.accept([event("a")]);
    expect(await other.session("a")).toEqual([]);
    expect(await other.claim(10, 60_000)).toEqual([]);
    expect(await other.accept([event("a")])).toEqual(["new"]);
  });

  test("a fresh link of an event that waits replaces the old one", async () => {
    const store = await opened();
    await store.accept([event("a", "recording.ready", { body: '{"recordingUrl":"old"}' })]);
    await store.accept([event("a", "recording.ready", { body: '{"recordingUrl":"new"}' })]);
    expect((await claimed(store)).body).toBe('{"recordingUrl":"new"}');
  });

  test("a claim carries what was stored, and nobody else gets it while its lease lasts", async () => {
    const store = await opened();
    const body = '{"event":"call.ended","name":"Zoë \\u0000 \\ud800 😀"}';
    await store.accept([event("a", "call.ended", { body, webhookId: "msg_9" })]);
    const claim = await claimed(store);
    expect(claim).toMatchObject({
      ...{ kind: "event", session: "a", event: "call.ended", body, webhookId: "msg_9", attempt: 1 },
    });
    expect(claim.ageMs).toBeGreaterThanOrEqual(0);
    expect(claim.ageMs).toBeLessThan(20_000);
    expect(await store.claim(10, 60_000)).toEqual([]);
  });

  test("an event without work is stored and due to nobody; one with both kinds is due twice", async () => {
    const store = await opened();
    await store.accept([event("a", "x", { work: [] }), event("b", "y", { work: ["event", "look"] })]);
    expect(
      (await store.claim(10, 60_000)).map(({ session, kind: work }) => `${session} ${work}`).sort(),
    ).toEqual(["b event", "b look"]);
    expect(await store.session("a")).toHaveLength(1);
  });

  test("many claimers share the work, and none of it goes to two", async () => {
    const store = await opened();
    const all = Array.from({ length: 60 }, (_, index) => event(`s${index}`));
    await store.accept(all);
    const claims = await Promise.all(Array.from({ length: 12 }, () => store.claim(7, 60_000)));
    const rest = await store.claim(100, 60_000);
    const ids = [...claims.flat(), ...rest].map(({ id }) => id);
    expect(ids).toHaveLength(60);
    expect(new Set(ids).size).toBe(60);
  });

  test("what is done is due no more, and a duplicate of it is none the less one", async () => {
    const store = await opened();
    await store.accept([event("a")]);
    const claim = await claimed(store, 1);
    expect(await store.done([claim])).toEqual([claim.id]);
    expect(await store.done([claim])).toEqual([]);
    expect(await store.accept([event("a")])).toEqual(["duplicate"]);
    expect(await store.claim(10, 60_000)).toEqual([]);
  });

  test("after its lease a piece of work goes to the next, and who held it before can do nothing with it", async () => {
    const store = await opened();
    await store.accept([event("a")]);
    const old = await claimed(store, 1);
    let next: Claim | undefined;
    await until("the lease is over", async () => {
      [next] = await store.claim(1, 60_000);
      return next !== undefined;
    });
    expect(next).toMatchObject({ id: old.id, attempt: 2 });
    expect((next as Claim).fence).toBeGreaterThan(old.fence);
    expect(await store.extend([old], 60_000)).toEqual([]);
    expect(await store.done([old])).toEqual([]);
    await store.again(old, 0, "late");
    await store.bury(old, "late");
    const prefix = newName();
    await expect(store.transact(old, (transaction) => kind.effect(transaction, prefix))).rejects.toThrow(
      ClaimLost,
    );
    if (store.durable) expect((await kind.effects(prefix)).size).toBe(0);
    expect(await store.extend([next as Claim], 60_000)).toEqual([old.id]);
    expect(await store.done([next as Claim])).toEqual([old.id]);
  });

  test("a renewed lease lasts longer", async () => {
    const store = await opened();
    await store.accept([event("a"), event("b")]);
    const claims = await store.claim(2, 300);
    const renewed = claims.filter(({ session }) => session === "a");
    expect(await store.extend(renewed, 60_000)).toEqual(renewed.map(({ id }) => id));
    let found: Claim[] = [];
    await until("the other is due again", async () => {
      found = await store.claim(5, 60_000);
      return found.length > 0;
    });
    expect(found.map(({ session }) => session)).toEqual(["b"]);
  });

  test("what failed is due again after its pause and counts; what is given back does not count", async () => {
    const store = await opened();
    await store.accept([event("a")]);
    await store.again(await claimed(store), 0, "failed");
    const second = await claimed(store);
    expect(second.attempt).toBe(2);
    await store.again(second, 0, null);
    const third = await claimed(store);
    expect(third.attempt).toBe(2);
    await store.again(third, 60_000, "failed");
    expect(await store.claim(1, 60_000)).toEqual([]);
  });

  test("the dead are listed with their error, and run again when they are revived", async () => {
    const store = await opened();
    await store.accept([event("a"), event("b", "call.ended", { body: '{"b":1}' })]);
    for (const claim of await store.claim(2, 60_000)) await store.bury(claim, `no ${claim.session}`);
    expect(await store.claim(5, 60_000)).toEqual([]);
    const dead = await store.dead(10);
    expect(dead.map(({ session, error, attempts }) => [session, error, attempts]).sort()).toEqual([
      ["a", "no a", 1],
      ["b", "no b", 1],
    ]);
    const b = dead.find(({ session }) => session === "b");
    expect(b?.body).toBe('{"b":1}');
    expect(await store.dead(1)).toHaveLength(1);
    expect(await store.accept([event("b", "call.ended")])).toEqual(["duplicate"]);
    expect(await store.revive(b?.id ?? "")).toBe(true);
    expect(await store.revive(b?.id ?? "")).toBe(false);
    expect(await store.revive("none")).toBe(false);
    expect(await claimed(store)).toMatchObject({ session: "b", attempt: 1 });
  });

  test("a transaction's effect and its mark happen together or not at all", async () => {
    const store = await opened();
    const prefix = newName();
    await store.accept([event("a"), event("b")]);
    const [a, b] = (await store.claim(2, 60_000)) as [Claim, Claim];
    expect(
      await store.transact(a, async (transaction) => {
        await kind.effect(transaction, `${prefix}a`);
        return 7;
      }),
    ).toBe(7);
    await expect(
      store.transact(b, async (transaction) => {
        if (store.durable) await kind.effect(transaction, `${prefix}b`);
        throw new Error("the handler failed");
      }),
    ).rejects.toThrow("the handler failed");
    expect(await kind.effects(prefix)).toEqual(new Map([[`${prefix}a`, 1]]));
    expect(await store.done([a, b])).toEqual([b.id]);
  });

  test("while a transaction is open, requests, claims and leases go on", async () => {
    const store = await opened();
    await store.accept([event("a", "recording.ready"), event("b")]);
    const claims = await store.claim(1, 60_000);
    const [claim] = claims as [Claim];
    await store.transact(claim, async () => {
      expect(await store.accept([event("a", "recording.ready", { body: '{"u":2}' }), event("c")])).toEqual([
        "duplicate",
        "new",
      ]);
      expect(await store.extend(claims, 60_000)).toEqual([claim.id]);
      expect((await store.claim(5, 60_000)).map(({ session }) => session).sort()).toEqual(["b", "c"]);
    });
  });

  test("a session's events are listed in the order of their arrival, and it is joined once", async () => {
    const store = await opened();
    await store.accept([event("s", "x", { work: ["look"] })]);
    await store.accept([event("s", "b", { work: ["look"] })]);
    await store.accept([event("s", "a", { work: [] }), event("t", "z", { work: [] })]);
    expect((await store.session("s")).map(({ event: name }) => name)).toEqual(["x", "b", "a"]);
    const looks = await store.claim(5, 60_000);
    expect(looks.map((each) => each.kind)).toEqual(["look", "look"]);
    await Promise.all(
      looks.map((look) => store.join(look, event("s", "@session", { body: "{}", digest: "" }))),
    );
    const after = await store.claim(5, 60_000);
    expect(after.map((each) => [each.kind, each.event])).toEqual([["event", "@session"]]);
    // A look that is no longer held joins nothing.
    await store.join(looks[0] as Claim, event("u", "@session"));
    expect(await store.session("u")).toEqual([]);
  });

  test("old events are forgotten, but not those of sessions with work", async () => {
    const store = await opened();
    await store.accept([event("old", "x", { work: [] }), event("busy"), event("busy", "y", { work: [] })]);
    if (kindName === "memory" || kindName === "postgres") {
      await until("they are old enough", async () => (await store.forget(1)) === 1);
      expect(await store.session("old")).toEqual([]);
    }
    expect(await store.session("busy")).toHaveLength(2);
  });
});
