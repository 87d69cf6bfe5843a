/** The microphone of the page. */

const FRAME_MS = 40;

/**
 * @typedef {import("./audio-format.js").AudioFormat} AudioFormat
 *
 * @typedef {object} MicrophoneHandlers
 * @property {(data: ArrayBuffer, level: number) => void} onFrame
 * @property {() => void} onSilent the silence after muting is complete
 * @property {() => void} onLost the device is gone
 */

/**
 * Ask for the microphone.
 *
 * @returns {Promise<MediaStream>} rejected with an Error whose message says what to do
 */
export async function requestMicrophone() {
  if (!window.isSecureContext || navigator.mediaDevices === undefined) {
    throw new Error("The microphone needs a secure page: open this page with https.");
  }
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
    });
  } catch (error) {
    throw new Error(explain(error));
  }
}

/**
 * @param {unknown} error
 * @returns {string}
 */
function explain(error) {
  const name = error instanceof DOMException ? error.name : "";
  switch (name) {
    case "NotAllowedError":
    case "SecurityError":
      return "The microphone is blocked. Allow it in the settings of this page to speak.";
    case "NotFoundError":
    case "OverconstrainedError":
      return "No microphone was found. Connect one to speak.";
    case "NotReadableError":
    case "AbortError":
      return "The microphone cannot be used. Another program may be using it.";
    default:
      return "The microphone cannot be used.";
  }
}

/** Delivers what the user says as frames in the input format of the session. */
export class Microphone {
  /**
   * @param {AudioContext} context
   * @param {MediaStream} stream
   * @param {AudioFormat} format
   * @param {MicrophoneHandlers} handlers
   */
  constructor(context, stream, format, handlers) {
    this._stream = stream;
    this._source = context.createMediaStreamSource(stream);
    this._node = new AudioWorkletNode(context, "trio-realtime-capture", {
      outputChannelCount: [1],
      processorOptions: { format, frameMs: FRAME_MS },
    });
    this._node.port.onmessage = ({ data }) => {
      if (data.type === "frame") handlers.onFrame(data.data, data.level);
      else if (data.type === "silent") handlers.onSilent();
    };
    for (const track of stream.getAudioTracks()) track.onended = () => handlers.onLost();
    this._source.connect(this._node);
    this._node.connect(context.destination); // silence: some browsers only run nodes that lead there
  }

  /**
   * Mute the microphone, or go on. A short silence follows when it is muted, so that the turn ends.
   *
   * @param {boolean} muted
   */
  mute(muted) {
    this._node.port.postMessage({ type: "mute", muted });
  }

  /** Release the device. */
  close() {
    this._node.port.postMessage({ type: "stop" });
    this._source.disconnect();
    this._node.disconnect();
    stopTracks(this._stream);
  }
}

/** @param {MediaStream} stream */
export function stopTracks(stream) {
  for (const track of stream.getTracks()) {
    track.onended = null;
    track.stop();
  }
}
