import assert from "node:assert/strict";
import test from "node:test";

import { PlaybackQueue } from "../static/playback-queue.js";

const BLOCK = 128;

/** A queue whose input and output have the same rate, so that samples can be compared. */
function makeQueue(options = {}) {
  return new PlaybackQueue({
    outputRate: 24000,
    inputRate: 24000,
    prebufferMs: 0,
    ...options,
  });
}

/** @returns {number[]} */
function render(queue, blocks = 1) {
  const samples = [];
  for (let i = 0; i < blocks; i++) {
    const block = new Float32Array(BLOCK);
    queue.render(block);
    samples.push(...block);
  }
  return samples;
}

/** @returns {Int16Array} */
function samples(length, value = 16384) {
  return new Int16Array(length).fill(value);
}

function types(queue) {
  return queue.takeEvents().map(({ type, itemId }) => `${type} ${itemId}`);
}

test("an empty queue is silent", () => {
  const queue = makeQueue();
  assert.ok(render(queue).every((sample) => sample === 0));
  assert.deepEqual(queue.takeEvents(), []);
  assert.equal(queue.current(), null);
});

test("audio is played completely, and its end is reported", () => {
  const queue = makeQueue();
  queue.push("a", 0, samples(300));
  queue.end("a", 0);
  const played = render(queue, 3);
  assert.equal(played.filter((sample) => sample === 0.5).length, 300);
  const [started, finished] = queue.takeEvents();
  assert.deepEqual([started.type, finished.type], ["started", "finished"]);
  assert.equal(finished.frames, 300);
  assert.equal(finished.playedMs, 12.5);
  assert.ok(queue.isEmpty);
});

test("items follow each other without a gap, and are counted separately", () => {
  const queue = makeQueue();
  queue.push("a", 0, samples(100, 8192));
  queue.end("a", 0);
  queue.push("b", 1, samples(100));
  queue.end("b", 1);
  const played = render(queue, 2);
  assert.deepEqual(played.slice(95, 105), [...Array(5).fill(0.25), ...Array(5).fill(0.5)]);
  const events = queue.takeEvents();
  assert.deepEqual(
    events.map(({ type, itemId, contentIndex, frames }) => [type, itemId, contentIndex, frames]),
    [
      ["started", "a", 0, 0],
      ["finished", "a", 0, 100],
      ["started", "b", 1, 0],
      ["finished", "b", 1, 100],
    ],
  );
});

test("an interruption drops the item within a block, and says where it stopped", () => {
  const queue = makeQueue();
  queue.push("a", 0, samples(24000));
  render(queue, 3);
  const position = queue.interrupt("a", 0);
  assert.equal(position?.frames, 3 * BLOCK);
  assert.equal(position?.playedMs, 16);
  const after = render(queue);
  assert.ok(after.every((sample, i) => i === 0 || sample <= after[i - 1]), "it fades");
  assert.equal(after[BLOCK - 1], 0);
  assert.ok(render(queue).every((sample) => sample === 0));
  assert.equal(queue.queuedSeconds, 0);
});

test("audio that arrives after the interruption of its item is dropped", () => {
  const queue = makeQueue();
  assert.equal(queue.interrupt("a", 0), null);
  queue.push("a", 0, samples(1000));
  queue.push("a", 1, samples(1000));
  assert.equal(queue.current()?.contentIndex, 1);
  assert.ok(queue.queuedSeconds < 0.05);
});

test("the items after an interrupted one go on", () => {
  const queue = makeQueue();
  queue.push("a", 0, samples(1000));
  queue.push("b", 0, samples(1000, 8192));
  render(queue);
  queue.interrupt("a", 0);
  render(queue);
  assert.equal(render(queue)[0], 0.25);
});

test("all items can be interrupted", () => {
  const queue = makeQueue();
  queue.push("a", 0, samples(1000));
  queue.push("b", 0, samples(1000));
  render(queue);
  const positions = queue.interruptAll();
  assert.deepEqual(
    positions.map(({ itemId, frames }) => [itemId, frames]),
    [
      ["a", BLOCK],
      ["b", 0],
    ],
  );
  assert.ok(queue.isEmpty);
});

test("an item starts when enough audio waits", () => {
  const queue = makeQueue({ prebufferMs: 20 });
  queue.push("a", 0, samples(200));
  assert.ok(render(queue).every((sample) => sample === 0));
  queue.push("a", 0, samples(280));
  assert.equal(render(queue)[0], 0.5);
});

test("an item starts with less after a while, or when it has ended", () => {
  const queue = makeQueue({ prebufferMs: 500, maxWaitMs: 100 });
  queue.push("a", 0, samples(200));
  const silent = render(queue, 30).findIndex((sample) => sample !== 0);
  assert.equal(silent, Math.ceil(2400 / BLOCK) * BLOCK);
  const ended = makeQueue({ prebufferMs: 500 });
  ended.push("a", 0, samples(200));
  ended.end("a", 0);
  assert.equal(render(ended)[0], 0.5);
});

test("silence while audio is missing is not counted, and playing goes on", () => {
  const queue = makeQueue();
  queue.push("a", 0, samples(100));
  render(queue, 10);
  assert.equal(queue.current()?.frames, 100);
  queue.push("a", 0, samples(100));
  queue.end("a", 0);
  render(queue, 10);
  assert.deepEqual(types(queue), ["started a", "stalled a", "finished a"]);
  assert.equal(queue.current(), null);
});

test("an item whose end is not announced gives way to the next one", () => {
  const queue = makeQueue({ maxWaitMs: 50 });
  queue.push("a", 0, samples(100));
  queue.push("b", 0, samples(100));
  queue.end("b", 0);
  render(queue, 30);
  const seen = types(queue);
  assert.ok(seen.includes("finished a") && seen.includes("finished b"), seen.join());
});

test("audio above the limit is dropped, and the rest is played", () => {
  const queue = makeQueue({ maxSeconds: 0.01 });
  assert.equal(queue.push("a", 0, samples(200)), 0);
  assert.equal(queue.push("a", 0, samples(200)), 160);
  assert.equal(queue.push("b", 0, samples(200)), 200);
  queue.end("a", 0);
  assert.equal(render(queue, 4).filter((sample) => sample === 0.5).length, 240);
});

test("the position is exact at another rate", () => {
  const queue = makeQueue({ outputRate: 44100 });
  queue.push("a", 0, samples(24000));
  queue.end("a", 0);
  render(queue, 100);
  assert.equal(queue.current()?.playedMs, (100 * BLOCK * 1000) / 44100);
  render(queue, 300);
  const finished = queue.takeEvents().find(({ type }) => type === "finished");
  assert.equal(finished?.frames, 44100);
  assert.equal(finished?.playedMs, 1000);
});
