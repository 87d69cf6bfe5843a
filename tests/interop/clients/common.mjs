// What the JavaScript clients share; common.py describes what a client does.
// The working directory is the environment of the peer, which has its packages.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

export const require = createRequire(`${process.cwd()}/`);

export const TEXT = "Hello there";
export const QUESTION = "What's the weather in Oslo?";
export const LONG_TEXT = "Tell me something long. ".repeat(60);
const FRAME_MS = 20;
const FRAME_SIZE = 48 * FRAME_MS;
const SILENCE_MS = 2000;
const TURN_TIMEOUT_MS = 40_000;

export const errors = [];

export const weatherIn = (city) => `Sunny in ${city}`;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Passes the spoken sentence, and then silence, to `send`, in frames at the speed of speech. */
export async function speak(send) {
  const file = readFileSync(new URL("../../../trio_realtime/cli/speech.wav", import.meta.url));
  const speech = file.subarray(file.indexOf("data") + 8);
  const audio = Buffer.concat([speech, Buffer.alloc(48 * SILENCE_MS)]);
  for (let start = 0; start + FRAME_SIZE <= audio.length; start += FRAME_SIZE) {
    send(audio.subarray(start, start + FRAME_SIZE));
    await sleep(FRAME_MS);
  }
}

/** Events in the order of their arrival. An event of the type "failed" ends the turn. */
export class Events {
  #events = [];
  #wake = () => {};

  push(event) {
    this.#events.push(event);
    this.#wake();
  }

  /** Returns the next event of one of the types, and drops those before it. */
  async until(...types) {
    for (;;) {
      while (this.#events.length > 0) {
        const event = this.#events.shift();
        if (types.includes(event.type)) return event;
        if (event.type === "failed") throw event.error;
      }
      await new Promise((resolve) => (this.#wake = resolve));
    }
  }
}

/** Runs the turn that is given on the command line, after the URL of the server. */
export async function main(turns) {
  const [url, name] = process.argv.slice(2);
  const deadline = setTimeout(() => {
    console.error(["the turn timed out", ...errors].join("; "));
    process.exit(1);
  }, TURN_TIMEOUT_MS);
  try {
    const result = await turns[name](url);
    console.log(JSON.stringify({ result, errors }));
  } catch (error) {
    console.error(error);
    console.error(`${error}`); // one line, for the table
    process.exitCode = 1;
  }
  clearTimeout(deadline);
  process.exit();
}
