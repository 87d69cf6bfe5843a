import assert from "node:assert/strict";
import test from "node:test";

import {
  decodeAlaw,
  decodeAudio,
  decodeUlaw,
  encodeAlaw,
  encodeAudio,
  encodeUlaw,
  meterLevel,
  sampleRate,
  toInt16,
} from "../static/audio-format.js";
import tables from "./g711.js";

test("samples become 16 bits, limited, and NaN becomes silence", () => {
  assert.deepEqual([-2, -1, 0, 0.5, 1, 2, NaN].map(toInt16), [
    -32768, -32768, 0, 16384, 32767, 32767, 0,
  ]);
});

test("PCM16 is little-endian, and decoding returns it", () => {
  const bytes = new Uint8Array(encodeAudio(Float32Array.of(1, -1, 1 / 32767), { type: "audio/pcm" }));
  assert.deepEqual([...bytes], [0xff, 0x7f, 0x00, 0x80, 0x01, 0x00]);
  assert.deepEqual([...decodeAudio(bytes, { type: "audio/pcm" })], [32767, -32768, 1]);
});

test("PCM16 may begin at an odd offset, and an odd last byte is dropped", () => {
  const bytes = Uint8Array.of(9, 1, 0, 2, 0, 7).subarray(1);
  assert.deepEqual([...decodeAudio(bytes, { type: "audio/pcm" })], [1, 2]);
});

test("every code of G.711 is decoded as the library decodes it", () => {
  for (let code = 0; code < 256; code++) {
    assert.equal(decodeUlaw(code), tables.ulaw[code], `µ-law ${code}`);
    assert.equal(decodeAlaw(code), tables.alaw[code], `A-law ${code}`);
  }
});

test("samples are encoded to G.711 as the library encodes them", () => {
  for (const { sample, ulaw, alaw } of tables.samples) {
    assert.equal(encodeUlaw(sample), ulaw, `µ-law of ${sample}`);
    assert.equal(encodeAlaw(sample), alaw, `A-law of ${sample}`);
  }
});

test("G.711 has one byte per sample and 8000 samples per second", () => {
  for (const type of ["audio/pcmu", "audio/pcma"]) {
    const bytes = new Uint8Array(encodeAudio(new Float32Array(80).fill(0.25), { type }));
    assert.equal(bytes.length, 80);
    for (const sample of decodeAudio(bytes, { type })) assert.ok(Math.abs(sample - 8192) < 300);
    assert.equal(sampleRate({ type }), 8000);
  }
});

test("PCM16 has the rate of the format, and 24000 by default", () => {
  assert.equal(sampleRate({ type: "audio/pcm", rate: 16000 }), 16000);
  assert.equal(sampleRate({ type: "audio/pcm" }), 24000);
  assert.throws(() => sampleRate({ type: "audio/opus" }), /audio\/opus/);
});

test("the meter shows silence as 0, full scale as 1, and -30 dBFS as the middle", () => {
  assert.equal(meterLevel(new Float32Array(100)), 0);
  assert.equal(meterLevel(new Float32Array(100).fill(1)), 1);
  assert.ok(Math.abs(meterLevel(new Float32Array(100).fill(10 ** (-30 / 20))) - 0.5) < 1e-6);
});
