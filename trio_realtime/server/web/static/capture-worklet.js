/** The microphone: sends frames of the session's input format to the page. */

import { CaptureEncoder } from "./capture-encoder.js";

class CaptureProcessor extends AudioWorkletProcessor {
  /** @param {{processorOptions: {format: import("./audio-format.js").AudioFormat, frameMs: number}}} options */
  constructor(options) {
    super();
    const { format, frameMs } = options.processorOptions;
    this._encoder = new CaptureEncoder(sampleRate, format, frameMs);
    this._isRunning = true;
    this._wasSilent = false;
    this.port.onmessage = ({ data }) => {
      if (data.type === "mute") this._encoder.setMuted(data.muted);
      if (data.type === "stop") this._isRunning = false;
    };
  }

  /** @param {Float32Array[][]} inputs */
  process(inputs) {
    for (const frame of this._encoder.push(inputs[0] ?? [])) {
      this.port.postMessage({ type: "frame", ...frame }, [frame.data]);
    }
    if (this._encoder.isSilent !== this._wasSilent) {
      this._wasSilent = this._encoder.isSilent;
      if (this._wasSilent) this.port.postMessage({ type: "silent" });
    }
    return this._isRunning;
  }
}

registerProcessor("trio-realtime-capture", CaptureProcessor);
