import assert from "node:assert/strict";
import test from "node:test";

import { CaptureEncoder, MUTED_TAIL_MS } from "../static/capture-encoder.js";

/** @returns {import("../static/capture-encoder.js").CapturedFrame[]} */
function feed(encoder, blocks, value = 0.5, channels = 1) {
  const frames = [];
  const block = new Float32Array(128).fill(value);
  for (let i = 0; i < blocks; i++) frames.push(...encoder.push(Array(channels).fill(block)));
  return frames;
}

test("frames have 40 ms in the format of the session", () => {
  for (const [format, bytes] of [
    [{ type: "audio/pcm", rate: 24000 }, 1920],
    [{ type: "audio/pcmu", rate: 8000 }, 320],
    [{ type: "audio/pcma", rate: 8000 }, 320],
  ]) {
    const frames = feed(new CaptureEncoder(48000, format), 375); // one second
    assert.ok(frames.length === 24 || frames.length === 25, `${frames.length} frames`);
    for (const frame of frames) assert.equal(frame.data.byteLength, bytes);
  }
});

test("several channels are mixed", () => {
  const encoder = new CaptureEncoder(24000, { type: "audio/pcm", rate: 24000 });
  const left = new Float32Array(960).fill(0.5);
  const [frame] = encoder.push([left, new Float32Array(960)]);
  assert.equal(new Int16Array(frame.data)[100], 8192);
});

test("without channels there are no frames", () => {
  const encoder = new CaptureEncoder(24000, { type: "audio/pcm", rate: 24000 });
  assert.deepEqual(encoder.push([]), []);
});

test("muting sends silence for a while and then nothing, and unmuting goes on", () => {
  const encoder = new CaptureEncoder(24000, { type: "audio/pcm", rate: 24000 });
  feed(encoder, 15); // two frames
  encoder.setMuted(true);
  const silent = feed(encoder, 750); // four seconds
  assert.equal(silent.length, MUTED_TAIL_MS / 40);
  for (const frame of silent) {
    assert.ok(new Int16Array(frame.data).every((sample) => sample === 0));
    assert.equal(frame.level, 0);
  }
  assert.ok(encoder.isSilent);
  encoder.setMuted(false);
  assert.ok(!encoder.isSilent);
  assert.ok(feed(encoder, 75).length >= 9);
});
