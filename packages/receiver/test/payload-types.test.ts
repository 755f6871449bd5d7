// The kit's types are written by hand (ADR 0037); the contract's are what Sendoff sends. This file holds one to the other
// when the tests' types are checked, and looks at the golden bodies when it runs.

import type * as sent from "@sendoff/contract";
import {
  callStatuses,
  eventNames,
  goldenExamples,
  type CallStatus as SentCallStatus,
} from "@sendoff/contract";
import { expect, expectTypeOf, test } from "vitest";
import { readEvent } from "../src/arrived.ts";
import {
  hasRecording,
  isCall,
  isKnownEvent,
  type KnownCallStatus,
  type Payloads,
  requiredFields,
} from "../src/index.ts";

/** The fields that a schema names, without the index of those that it lets pass. */
type Named<Type> = { [Key in keyof Type as string extends Key ? never : Key]: Type[Key] };
type Fields<Type> = Type extends unknown ? keyof Named<Type> : never;

test("what Sendoff sends is what handlers are typed for, field by field", () => {
  expectTypeOf<sent.SessionStartedPayload>().toExtend<Payloads["session.started"]>();
  expectTypeOf<sent.SessionEndedPayload>().toExtend<Payloads["session.ended"]>();
  expectTypeOf<sent.CallEndedPayload>().toExtend<Payloads["call.ended"]>();
  expectTypeOf<sent.SessionFinalizedPayload>().toExtend<Payloads["session.finalized"]>();
  expectTypeOf<sent.RecordingPayload>().toExtend<Payloads["recording.ready"]>();
  expectTypeOf<Fields<Payloads["session.started"]>>().toEqualTypeOf<Fields<sent.SessionStartedPayload>>();
  expectTypeOf<Fields<Payloads["session.ended"]>>().toEqualTypeOf<Fields<sent.SessionEndedPayload>>();
  expectTypeOf<Fields<Payloads["call.ended"]>>().toEqualTypeOf<Fields<sent.CallEndedPayload>>();
  expectTypeOf<Fields<Payloads["session.finalized"]>>().toEqualTypeOf<Fields<sent.SessionFinalizedPayload>>();
  expectTypeOf<Fields<Payloads["recording.ready"]>>().toEqualTypeOf<Fields<sent.RecordingPayload>>();
  expectTypeOf<KnownCallStatus>().toEqualTypeOf<SentCallStatus>();
  expectTypeOf<keyof Payloads>().toEqualTypeOf<sent.EventName>();
});

test("a handler gets the type of its event, and isCall and hasRecording narrow it", () => {
  const finalized = {} as Payloads["session.finalized"];
  if (isCall(finalized)) expectTypeOf(finalized.callDuration).toEqualTypeOf<number>();
  const recording = {} as Payloads["recording.ready"];
  if (hasRecording(recording)) expectTypeOf(recording.recordingUrl).toEqualTypeOf<string>();
});

test("the events that are known are those that there are, and each golden body is taken", () => {
  expect(Object.keys(requiredFields)).toEqual(eventNames);
  const examples = Object.entries(goldenExamples());
  expect(examples.length).toBe(callStatuses.length + 6);
  for (const [name, body] of examples) {
    const { payload, session } = readEvent(Buffer.from(body), () => null);
    expect(isKnownEvent(payload.event), name).toBe(true);
    expect(session).toBe(payload.sessionId);
    expect(JSON.stringify(payload)).toBe(body);
  }
  expect(isCall(JSON.parse(goldenExamples()["session.finalized.call"] ?? ""))).toBe(true);
  expect(isCall(JSON.parse(goldenExamples()["session.finalized.text"] ?? ""))).toBe(false);
  expect(hasRecording(JSON.parse(goldenExamples()["recording.ready.success"] ?? ""))).toBe(true);
  expect(hasRecording(JSON.parse(goldenExamples()["recording.ready.failure"] ?? ""))).toBe(false);
});
