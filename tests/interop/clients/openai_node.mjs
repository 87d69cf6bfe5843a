// The client of the npm package openai. It connects to wss only.

import {
  Events, LONG_TEXT, QUESTION, TEXT, errors, main, require, speak, weatherIn,
} from "./common.mjs";

const { OpenAI } = require("openai");
const { OpenAIRealtimeWS } = require("openai/realtime/ws");

const WEATHER = {
  type: "function",
  name: "get_weather",
  description: "Current weather in a city.",
  parameters: {
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
  },
};

class Client {
  #events = new Events();

  static async connect(url) {
    const client = new Client();
    // The package appends /realtime to the path of its base URL, and requires a model.
    const { origin, pathname, searchParams } = new URL(url.replace(/^ws/, "http"));
    const baseURL = origin + pathname.replace(/\/realtime$/, "");
    const model = searchParams.get("model") ?? "gpt-realtime-2.1";
    const openai = new OpenAI({ apiKey: "local", baseURL });
    client.connection = new OpenAIRealtimeWS({ model }, openai);
    client.connection.on("error", (error) => errors.push(error.message));
    client.connection.on("event", (event) => client.#events.push(event));
    client.connection.socket.on("error", (error) => client.#events.push({ type: "failed", error }));
    await client.until("session.created");
    client.send({ type: "session.update", session: { type: "realtime", tools: [WEATHER] } });
    await client.until("session.updated");
    return client;
  }

  send(event) {
    this.connection.send(event);
  }

  until(type) {
    return this.#events.until(type);
  }

  say(text) {
    const content = [{ type: "input_text", text }];
    const item = { type: "message", role: "user", content };
    this.send({ type: "conversation.item.create", item });
    this.send({ type: "response.create" });
  }

  async transcript() {
    const { transcript } = await this.until("response.output_audio_transcript.done");
    await this.until("response.done");
    return transcript;
  }

  speak() {
    return speak((frame) =>
      this.send({ type: "input_audio_buffer.append", audio: frame.toString("base64") }),
    );
  }
}

async function text(url) {
  const client = await Client.connect(url);
  client.say(TEXT);
  return { reply: await client.transcript() };
}

async function tool(url) {
  const client = await Client.connect(url);
  client.say(QUESTION);
  const call = await client.until("response.function_call_arguments.done");
  await client.until("response.done");
  const args = JSON.parse(call.arguments);
  const item = {
    type: "function_call_output", call_id: call.call_id, output: weatherIn(args.city),
  };
  client.send({ type: "conversation.item.create", item });
  client.send({ type: "response.create" });
  return { arguments: args, reply: await client.transcript() };
}

async function vad(url) {
  const client = await Client.connect(url);
  const speaking = client.speak();
  await client.until("input_audio_buffer.speech_started");
  await client.until("input_audio_buffer.speech_stopped");
  const reply = await client.transcript();
  await speaking;
  return { reply };
}

async function bargeIn(url) {
  const client = await Client.connect(url);
  client.say(LONG_TEXT);
  const delta = await client.until("response.output_audio.delta");
  const speaking = client.speak();
  await client.until("input_audio_buffer.speech_started");
  const { response } = await client.until("response.done");
  client.send({
    type: "conversation.item.truncate",
    item_id: delta.item_id,
    content_index: 0,
    audio_end_ms: 50,
  });
  const truncated = await client.until("conversation.item.truncated");
  await speaking;
  return { status: response.status, truncated_ms: truncated.audio_end_ms };
}

await main({ text, tool, vad, barge_in: bargeIn });
