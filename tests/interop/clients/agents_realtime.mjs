// The client of the package @openai/agents-realtime.

import {
  Events, LONG_TEXT, QUESTION, TEXT, errors, main, require, speak, weatherIn,
} from "./common.mjs";

const { RealtimeAgent, RealtimeSession, tool } = require("@openai/agents-realtime");

let args = null;
const getWeather = tool({
  name: "get_weather",
  description: "Current weather in a city.",
  strict: true,
  parameters: {
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
    additionalProperties: false,
  },
  execute: async (input) => {
    args = input;
    return weatherIn(input.city);
  },
});

class Client {
  #events = new Events();

  static async connect(url) {
    const client = new Client();
    const agent = new RealtimeAgent({
      name: "Assistant", instructions: "Be brief.", tools: [getWeather],
    });
    client.session = new RealtimeSession(agent, { transport: "websocket" });
    client.session.on("error", (event) => errors.push(describe(event.error ?? event)));
    client.session.on("transport_event", (event) => client.#events.push(event));
    client.session.on("audio", () => client.#events.push({ type: "audio" }));
    client.session.on("audio_interrupted", () => client.#events.push({ type: "interrupted" }));
    client.session.transport.on("connection_change", (status) => {
      if (status === "disconnected") {
        client.#events.push({ type: "failed", error: new Error(["disconnected", ...errors].join("; ")) });
      }
    });
    await client.session.connect({ apiKey: "local", url });
    await client.until("session.updated");
    return client;
  }

  until(...types) {
    return this.#events.until(...types);
  }

  async reply() {
    for (;;) {
      const { response } = await this.until("response.done");
      const message = response.output.find((item) => item.type === "message");
      if (message) return message.content[0].transcript;
    }
  }

  speak() {
    return speak((frame) => this.session.sendAudio(new Uint8Array(frame).buffer));
  }
}

const describe = (error) =>
  error instanceof Error ? error.message : JSON.stringify(error?.error ?? error);

async function text(url) {
  const client = await Client.connect(url);
  client.session.sendMessage(TEXT);
  return { reply: await client.reply() };
}

async function toolTurn(url) {
  const client = await Client.connect(url);
  client.session.sendMessage(QUESTION);
  const reply = await client.reply();
  return { reply, arguments: args };
}

async function vad(url) {
  const client = await Client.connect(url);
  const speaking = client.speak();
  const reply = await client.reply();
  await speaking;
  return { reply };
}

async function bargeIn(url) {
  const client = await Client.connect(url);
  client.session.sendMessage(LONG_TEXT);
  await client.until("audio");
  const speaking = client.speak();
  await client.until("interrupted");
  const result = {};
  while (!("status" in result && "truncated_ms" in result)) {
    const event = await client.until("response.done", "conversation.item.truncated");
    if (event.type === "response.done") result.status ??= event.response.status;
    else result.truncated_ms = event.audio_end_ms;
  }
  await speaking;
  return result;
}

await main({ text, tool: toolTurn, vad, barge_in: bargeIn });
