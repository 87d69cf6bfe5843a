import assert from "node:assert/strict";
import test from "node:test";

import { Resampler } from "../static/resampler.js";

/** @returns {Float32Array} */
function tone(frequency, rate, length) {
  return Float32Array.from({ length }, (_, i) => Math.sin((2 * Math.PI * frequency * i) / rate));
}

/** @returns {number[]} */
function convert(resampler, samples, block) {
  const output = [];
  for (let i = 0; i < samples.length; i += block) {
    output.push(...resampler.process(samples.subarray(i, i + block)));
  }
  return [...output, ...resampler.flush()];
}

const RATES = [
  [48000, 24000],
  [44100, 24000],
  [48000, 8000],
  [44100, 8000],
  [24000, 48000],
  [24000, 44100],
  [8000, 48000],
  [16000, 24000],
];

for (const [from, to] of RATES) {
  test(`${from} to ${to} has the right length, and is aligned with the input`, () => {
    const output = convert(new Resampler(from, to), tone(440, from, from / 2), 128);
    assert.equal(output.length, Math.ceil(to / 2));
    const expected = tone(440, to, output.length);
    const margin = 200;
    for (let i = margin; i < output.length - margin; i++) {
      assert.ok(Math.abs(output[i] - expected[i]) < 0.003, `sample ${i}: ${output[i] - expected[i]}`);
    }
  });
}

test("the size of the blocks does not matter", () => {
  const input = tone(700, 44100, 9000);
  const whole = convert(new Resampler(44100, 24000), input, input.length);
  for (const block of [1, 7, 128, 1000]) {
    assert.deepEqual(convert(new Resampler(44100, 24000), input, block), whole);
  }
});

test("what the output rate cannot represent is removed", () => {
  const output = convert(new Resampler(48000, 8000), tone(9000, 48000, 24000), 128);
  for (const sample of output.slice(100, -100)) assert.ok(Math.abs(sample) < 0.002);
});

test("constant input stays constant", () => {
  const output = convert(new Resampler(44100, 24000), new Float32Array(10000).fill(0.5), 128);
  for (const sample of output.slice(50, -50)) assert.ok(Math.abs(sample - 0.5) < 1e-5);
});

test("equal rates change nothing", () => {
  const input = tone(440, 24000, 1000);
  assert.deepEqual(convert(new Resampler(24000, 24000), input, 100), [...input]);
});

test("a flush forgets the input", () => {
  const resampler = new Resampler(48000, 24000);
  const input = tone(440, 48000, 4800);
  assert.deepEqual(convert(resampler, input, 128), convert(resampler, input, 128));
});

test("a rate of zero is refused", () => {
  assert.throws(() => new Resampler(0, 8000), RangeError);
});
