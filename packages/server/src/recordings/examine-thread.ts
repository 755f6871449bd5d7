// The thread in which strangers' audio is parsed and decoded. It is asked one thing at a time and answers each; what it
// takes too long for, or too much memory, ends it (examiner.ts).
import { parentPort } from "node:worker_threads";
import { Examination } from "./examination.ts";
import type { ThreadAnswer, ThreadQuestion } from "./examiner.ts";

const examinations = new Map<number, Examination>();

async function answer({ id, ask }: ThreadQuestion): Promise<ThreadAnswer> {
  if ("begin" in ask) {
    examinations.set(id, await Examination.begin(ask.begin));
    return null;
  }
  const examination = examinations.get(id);
  if (examination === undefined) throw new Error(`there is no examination ${id}`);
  if ("piece" in ask) {
    await examination.add(Buffer.from(ask.piece.buffer, ask.piece.byteOffset, ask.piece.byteLength));
    return null;
  }
  examinations.delete(id);
  try {
    return ask.end ? examination.end() : null;
  } finally {
    examination.free();
  }
}

parentPort?.on("message", (question: ThreadQuestion) => {
  // An error is thrown where nobody catches it: it ends the thread, and its owner is told why.
  void answer(question).then((value) => parentPort?.postMessage(value));
});
