import assert from "node:assert/strict";
import test from "node:test";

import { finalClose, retryDelay } from "../static/backoff.js";
import { Connection, RequestError } from "../static/connection.js";
import { FrameError, parseEvent, parseFrame } from "../static/frames.js";

/** @returns {ArrayBuffer} */
function frame(header, audio = []) {
  const text = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(4 + text.length + audio.length);
  new DataView(bytes.buffer).setUint32(0, text.length);
  bytes.set(text, 4);
  bytes.set(audio, 4 + text.length);
  return bytes.buffer;
}

test("a binary frame has a header and audio", () => {
  const { event, audio } = parseFrame(frame({ type: "realtime_audio", seq: 3, data: { item_id: "ü" } }, [1, 2, 3]));
  assert.equal(event.seq, 3);
  assert.equal(event.data.item_id, "ü");
  assert.deepEqual([...audio], [1, 2, 3]);
});

test("what is no frame is refused", () => {
  assert.throws(() => parseFrame(new ArrayBuffer(3)), FrameError);
  assert.throws(() => parseFrame(frame("{").slice(0, 4)), FrameError);
  assert.throws(() => parseFrame(frame("{")), FrameError);
  for (const text of ["", "null", "[]", "1", '{"type": 1}']) {
    assert.throws(() => parseEvent(text), FrameError, text);
  }
});

test("the delay grows to a limit, and a part of it is random", () => {
  assert.deepEqual([1, 2, 3, 4, 5, 6, 60].map((n) => retryDelay(n, () => 1)), [
    500, 1000, 2000, 4000, 8000, 8000, 8000,
  ]);
  assert.equal(retryDelay(3, () => 0), 1000);
});

test("codes of the gateway end the call, and lost connections do not", () => {
  for (const code of [1000, 4400, 4401, 4403, 4404, 4409, 4499]) assert.ok(finalClose(code), `${code}`);
  for (const code of [1001, 1005, 1006, 1011, 1012, 4000, 4408]) assert.equal(finalClose(code), null);
  assert.match(finalClose(4450, "no money") ?? "", /no money/);
});

/** The browser: timers, a clock and WebSockets that the test drives. */
class Browser {
  sockets = [];
  timers = [];
  time = 0;
  log = [];
  environment = {
    open: (url) => {
      const socket = {
        url,
        sent: [],
        bufferedAmount: 0,
        send: (data) => socket.sent.push(typeof data === "string" ? JSON.parse(data) : data),
        close: (code) => this.log.push(`close ${code}`),
      };
      this.sockets.push(socket);
      return socket;
    },
    setTimer: (run, ms) => {
      const timer = { run, at: this.time + ms };
      this.timers.push(timer);
      return timer;
    },
    clearTimer: (timer) => {
      this.timers = this.timers.filter((other) => other !== timer);
    },
    now: () => this.time,
    random: () => 1,
  };

  get socket() {
    return this.sockets[this.sockets.length - 1];
  }

  /** Let time pass. */
  pass(ms) {
    const end = this.time + ms;
    for (;;) {
      const [next] = this.timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.environment.clearTimer(next);
      this.time = next.at;
      next.run();
    }
    this.time = end;
  }

  say(message) {
    this.socket.onmessage({ data: message instanceof ArrayBuffer ? message : JSON.stringify(message) });
  }

  lose(code = 1006) {
    this.socket.onclose({ code, reason: "" });
  }
}

const WELCOME = {
  type: "welcome",
  resume_token: "resume-1",
  last_seq: 0,
  grace: 30,
  input_format: { type: "audio/pcm", rate: 24000 },
  output_format: { type: "audio/pcm", rate: 24000 },
};

/** @returns {{browser: Browser, connection: Connection}} */
function connect(call = {}) {
  const browser = new Browser();
  const { log } = browser;
  const connection = new Connection(
    { url: "ws://test/stream", token: "secret", role: "owner", audio: "binary", ...call },
    {
      onWelcome: (_, isFirst) => log.push(isFirst ? "welcome" : "welcome back"),
      onEvent: ({ type, seq }, audio) => log.push(`${type} ${seq} ${audio?.length ?? "-"}`),
      onMissed: ({ first, last }) => log.push(`missed ${first}-${last}`),
      onLost: ({ attempt, delayMs }) => log.push(`lost ${attempt} ${delayMs}`),
      onEnd: ({ code, message }) => log.push(`end ${code} ${message}`),
      onError: ({ code }) => log.push(`error ${code}`),
    },
    browser.environment,
  );
  connection.connect();
  browser.socket.onopen();
  return { browser, connection };
}

test("the first message is a hello for all events", () => {
  const { browser } = connect();
  assert.deepEqual(browser.socket.sent, [
    { type: "hello", protocol: 1, token: "secret", role: "owner", audio: "binary", last_seq: 0 },
  ]);
});

test("nothing is sent before the welcome", () => {
  const { browser, connection } = connect();
  assert.equal(connection.send({ type: "ping" }), false);
  assert.equal(connection.sendAudio(new ArrayBuffer(2)), false);
  browser.say(WELCOME);
  assert.equal(connection.sendAudio(new ArrayBuffer(2)), true);
  assert.equal(browser.socket.sent.length, 2);
});

test("after a loss it resumes after the last event, and each event is delivered once", () => {
  const { browser, connection } = connect();
  browser.say(WELCOME);
  browser.say({ type: "run_connected", seq: 1, data: {} });
  browser.say(frame({ type: "realtime_audio", seq: 2, data: {} }, [1, 2]));
  browser.lose();
  browser.pass(500);
  browser.socket.onopen();
  const [hello] = browser.socket.sent;
  assert.deepEqual([hello.token, hello.last_seq], ["resume-1", 2]);
  browser.say({ ...WELCOME, resume_token: "resume-2", last_seq: 3 });
  browser.say(frame({ type: "realtime_audio", seq: 2, data: {} }, [1, 2]));
  browser.say({ type: "realtime_error", seq: 3, data: {} });
  assert.deepEqual(browser.log, [
    "welcome",
    "run_connected 1 -",
    "realtime_audio 2 2",
    "lost 1 500",
    "welcome back",
    "realtime_error 3 -",
  ]);
  assert.equal(connection.reconnects, 1);
  assert.equal(connection.lastSeq, 3);
});

test("missed events are reported and skipped", () => {
  const { browser, connection } = connect();
  browser.say(WELCOME);
  browser.say({ type: "events_missed", first: 1, last: 9 });
  browser.say({ type: "realtime_error", seq: 10, data: {} });
  assert.deepEqual(browser.log, ["welcome", "missed 1-9", "realtime_error 10 -"]);
  assert.equal(connection.lastSeq, 10);
});

test("the delays grow while no connection succeeds, and begin again after a good one", () => {
  const { browser } = connect();
  browser.say(WELCOME);
  for (const delay of [500, 1000, 2000]) {
    browser.lose();
    browser.pass(delay);
  }
  browser.socket.onopen();
  browser.say(WELCOME);
  browser.lose(); // at once: not a good connection
  browser.pass(4000);
  browser.socket.onopen();
  browser.say(WELCOME);
  browser.pass(6000);
  browser.lose();
  assert.deepEqual(
    browser.log.filter((line) => line.startsWith("lost")),
    ["lost 1 500", "lost 2 1000", "lost 3 2000", "lost 4 4000", "lost 1 500"],
  );
});

test("it gives up some time after the grace", () => {
  const { browser } = connect();
  browser.say(WELCOME);
  for (let i = 0; i < 20 && !browser.log.some((line) => line.startsWith("end")); i++) {
    browser.lose();
    browser.pass(8000);
  }
  assert.match(browser.log.at(-1) ?? "", /^end 1006 .*lost/);
  assert.equal(browser.timers.length, 0);
});

test("final codes end the call without another attempt", () => {
  for (const code of [1000, 4400, 4401, 4404, 4409]) {
    const { browser } = connect();
    browser.say(WELCOME);
    browser.lose(code);
    browser.pass(100_000);
    assert.equal(browser.sockets.length, 1, `${code}`);
    assert.match(browser.log.at(-1) ?? "", new RegExp(`^end ${code}`));
    assert.equal(browser.timers.length, 0);
  }
});

test("a refused resumption says that the call has ended", () => {
  const { browser } = connect();
  browser.say(WELCOME);
  browser.lose();
  browser.pass(500);
  browser.lose(4401);
  assert.match(browser.log.at(-1) ?? "", /ended while the connection was lost/);
});

test("a request is answered, refused, or fails with the connection", async () => {
  const { browser, connection } = connect();
  browser.say(WELCOME);
  const accepted = connection.request({ type: "text", text: "hi" });
  const refused = connection.request({ type: "interrupt" });
  const lost = connection.request({ type: "interrupt" });
  const [, first, second] = browser.socket.sent;
  browser.say({ type: "ack", id: first.id });
  browser.say({ type: "error", id: second.id, code: "invalid_request", message: "no" });
  browser.lose();
  await accepted;
  await assert.rejects(refused, (error) => error instanceof RequestError && error.code === "invalid_request");
  await assert.rejects(lost, (error) => error.code === "not_connected");
  await assert.rejects(connection.request({ type: "ping" }), (error) => error.code === "not_connected");
});

test("a request without an answer fails after a while", async () => {
  const { browser, connection } = connect();
  browser.say(WELCOME);
  const request = connection.request({ type: "text", text: "hi" });
  browser.pass(15_000);
  await assert.rejects(request, (error) => error.code === "no_answer");
});

test("a server that does not answer pings is left", () => {
  const { browser } = connect();
  browser.say(WELCOME);
  browser.pass(30_000);
  assert.ok(browser.sockets[0].sent.some(({ type }) => type === "ping"));
  assert.ok(browser.log.includes("close 4000"));
  assert.ok(browser.log.includes("lost 1 500"));
});

test("an error without a request, and a broken frame, are reported", () => {
  const { browser } = connect();
  browser.say(WELCOME);
  browser.say({ type: "error", code: "invalid_request", message: "no" });
  browser.say(new ArrayBuffer(2));
  assert.deepEqual(browser.log.slice(1), ["error invalid_request", "error invalid_frame"]);
});

test("the network that is back is used at once", () => {
  const { browser, connection } = connect();
  browser.say(WELCOME);
  connection.retryNow();
  assert.equal(browser.sockets.length, 1);
  browser.lose();
  connection.retryNow();
  assert.equal(browser.sockets.length, 2);
});

test("closing ends the call once", () => {
  const { browser, connection } = connect();
  browser.say(WELCOME);
  connection.close("bye");
  browser.lose(1000);
  connection.close("bye");
  assert.deepEqual(browser.log, ["welcome", "end null bye", "close 1000"]);
});
