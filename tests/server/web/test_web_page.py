"""The page in Chromium, with a fake microphone, on a gateway in a process of its own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import trio_realtime.cli

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = pytest.mark.slow

GATEWAY = Path(__file__).with_name("web_gateway.py")
SPEECH = Path(trio_realtime.cli.__file__).with_name("speech.wav")
SILENCE_SECONDS = 7
"""After the speech, before the microphone begins again. The agent answers for longer."""

SIZES = {"desktop": (1280, 800), "phone": (360, 740)}


class GatewayProcess:
    """The gateway, behind a proxy whose connections can be cut."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(GATEWAY)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url, "the gateway did not start"

    def cut(self) -> None:
        """Break all connections."""
        self._command("cut")

    def refuse(self, *, refused: bool) -> None:
        """Refuse new connections, or accept them again."""
        self._command("refuse" if refused else "accept")

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send a request to the HTTP interface, as a host application does."""
        request = urllib.request.Request(
            self.url + path,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            answer: dict[str, Any] = json.load(response)
            return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _command(self, command: str) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline().strip() == command


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    process = GatewayProcess()
    try:
        yield process
    finally:
        process.close()


@pytest.fixture(scope="module")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is said into the microphone, again and again."""
    path = tmp_path_factory.mktemp("microphone") / "microphone.wav"
    with wave.open(str(SPEECH)) as source, wave.open(str(path), "wb") as target:
        target.setparams(source.getparams())
        target.writeframes(bytes(source.getframerate()))
        target.writeframes(source.readframes(source.getnframes()))
        target.writeframes(bytes(2 * SILENCE_SECONDS * source.getframerate()))
    return path


@pytest.fixture(scope="module")
def browser(microphone: Path) -> Iterator[Any]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is not installed")
    arguments = [
        "--no-sandbox",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone}",
        "--autoplay-policy=no-user-gesture-required",
    ]
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


class WebPage:
    """A page, and what a test does with it.

    Attributes:
        problems: errors in the console and exceptions of scripts.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", self._on_console)

    def _on_console(self, message: Any) -> None:
        # A lost connection is reported by the browser itself.
        if message.type in ("error", "warning") and "WebSocket" not in message.text:
            self.problems.append(message.text)

    def counters(self) -> dict[str, Any]:
        """Return ``window.trioRealtime``."""
        counters: dict[str, Any] = self.page.evaluate("trioRealtime")
        return counters

    def wait_until(self, expression: str, seconds: float = 30) -> None:
        """Wait until a JavaScript expression is true. The policy of the page forbids to do that in it."""
        deadline = time.monotonic() + seconds
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, (expression, self.counters(), self.text("#entries"))
            self.page.wait_for_timeout(30)

    def start(self, url: str, *, with_microphone: bool = False) -> None:
        """Start a call, and wait until the agent is connected."""
        self.page.goto(url)
        self.page.wait_for_selector("#agent option", state="attached")
        if not with_microphone:
            self.page.uncheck("#use-microphone")
        self.page.click("#start-button")
        self.wait_until("trioRealtime.state === 'live'")

    def say(self, text: str) -> None:
        """Write a message."""
        self.page.fill("#message", text)
        self.page.press("#message", "Enter")

    def text(self, selector: str) -> str:
        text: str = self.page.inner_text(selector)
        return text

    def played_ms(self) -> float:
        items: dict[str, dict[str, float]] = self.counters()["played"]
        return sum(item["played_ms"] for item in items.values())

    def capture(self, directory: Path, name: str) -> None:
        """Take pictures in both color schemes and sizes, and check that nothing is cut off."""
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)
            for size, (width, height) in SIZES.items():
                self.page.set_viewport_size({"width": width, "height": height})
                widest = self.page.evaluate(
                    "Math.max(document.documentElement.scrollWidth, scroller.scrollWidth)"
                )
                assert widest <= width, f"{name} scrolls horizontally on a {size}"
                path = directory / f"{name}-{size}-{scheme}.png"
                self.page.screenshot(path=str(path))
                assert path.stat().st_size > 1000


@pytest.fixture
def web_page(browser: Any) -> Iterator[WebPage]:
    width, height = SIZES["desktop"]
    context = browser.new_context(viewport={"width": width, "height": height})
    page = WebPage(context.new_page())
    yield page
    assert page.problems == []
    context.close()


def test_a_spoken_turn_is_answered_and_interrupted_by_speech(
    gateway: GatewayProcess, web_page: WebPage
) -> None:
    web_page.start(gateway.url, with_microphone=True)
    web_page.wait_until("trioRealtime.sent_frames > 10")
    web_page.page.wait_for_selector(".message.user")
    web_page.wait_until("Object.values(trioRealtime.played).some((item) => item.samples > 24000)")
    assert web_page.counters()["interrupted"] == []
    assert "lighthouse" in web_page.text(".message.user")
    assert web_page.text("#latency").endswith("s")
    # The microphone begins again while the agent speaks.
    web_page.wait_until("trioRealtime.interrupted.length === 1")
    web_page.page.wait_for_selector(".message.assistant[data-state=interrupted]")
    (item_id,) = web_page.counters()["interrupted"]
    stopped_at = web_page.counters()["played"][f"{item_id}/0"]
    assert not stopped_at["finished"]
    message = web_page.page.locator(f".message[data-item-id='{item_id}']")
    assert "You said" in message.locator(".heard").inner_text()
    assert message.locator(".remark").inner_text() == "Interrupted"
    assert message.locator(".unheard").inner_text().strip().endswith("years")
    web_page.wait_until("Object.keys(trioRealtime.played).length === 2")
    assert web_page.counters()["played"][f"{item_id}/0"] == stopped_at
    web_page.page.click("#mute")
    assert web_page.text("#mute") == "Unmute"
    web_page.page.click("#end")
    web_page.page.wait_for_selector("#ended-text:has-text('The call ended.')")


def test_text_is_answered_aloud_and_the_button_stops_the_agent(
    gateway: GatewayProcess, web_page: WebPage
) -> None:
    web_page.start(gateway.url)
    assert web_page.page.is_hidden("#mute")
    web_page.say("Tell me about the whole history of the harbor, the town and its people " * 3)
    web_page.wait_until("Object.values(trioRealtime.played).some((item) => item.played_ms > 400)")
    web_page.page.click("#interrupt")
    web_page.page.wait_for_selector(".message.assistant[data-state=interrupted]")
    played = web_page.played_ms()
    assert web_page.counters()["sent_frames"] == 0
    web_page.say("Hello")
    web_page.wait_until("Object.values(trioRealtime.played).some((item) => item.finished)")
    first, _ = web_page.counters()["played"].values()
    assert first["played_ms"] == played
    assert "You said: Hello" in web_page.text(".message.assistant:last-child")


def test_escape_stops_the_agent(gateway: GatewayProcess, web_page: WebPage) -> None:
    web_page.start(gateway.url)
    web_page.say("Tell me about the whole history of the harbor, the town and its people " * 3)
    web_page.wait_until("Object.values(trioRealtime.played).some((item) => item.played_ms > 200)")
    web_page.page.keyboard.press("Escape")
    web_page.wait_until("trioRealtime.interrupted.length === 1")


def test_calls_of_tools_are_approved_and_rejected(
    gateway: GatewayProcess, web_page: WebPage, tmp_path: Path
) -> None:
    web_page.start(gateway.url)
    page = web_page.page
    web_page.say("What is the weather in Paris?")
    page.wait_for_selector(".tool[data-state=done]")
    web_page.say("Book a table at Luigi for 4")
    page.wait_for_selector(".tool[data-state=waiting]")
    assert re.search(r'"guests": 4', web_page.text(".tool[data-state=waiting] .tool-arguments"))
    web_page.capture(tmp_path, "approval")
    page.click(".tool[data-state=waiting] button:has-text('Approve')")
    page.wait_for_selector(".tool[data-state=done] .tool-output:has-text('confirmed')")
    web_page.wait_until(
        "document.querySelectorAll('.message.assistant[data-state=done]').length === 2"
    )
    web_page.say("Book a table at Roma for 2")
    page.wait_for_selector(".tool[data-state=waiting]")
    page.click(".tool[data-state=waiting] button:has-text('Reject')")
    page.wait_for_selector(".tool[data-state=rejected]")


def test_failures_and_handoffs_are_shown(gateway: GatewayProcess, web_page: WebPage) -> None:
    web_page.start(gateway.url)
    web_page.say("Check the stock of Lamps")
    web_page.page.wait_for_selector(".tool[data-state=failed] .tool-output:has-text('warehouse')")
    web_page.page.wait_for_selector(".message.assistant[data-state=done]")
    web_page.say("I need billing")
    web_page.page.wait_for_selector(".notice:has-text('Billing takes over from Support.')")
    web_page.page.wait_for_selector("#title:has-text('Billing')")
    web_page.wait_until("document.querySelectorAll('.tool').length === 1")


def test_a_lost_connection_is_resumed_while_the_buffer_plays(
    gateway: GatewayProcess, web_page: WebPage, tmp_path: Path
) -> None:
    web_page.start(gateway.url)
    web_page.say("Tell me about the whole history of the harbor, the town and its people ")
    web_page.wait_until("Object.values(trioRealtime.played).some((item) => item.played_ms > 600)")
    gateway.refuse(refused=True)
    try:
        gateway.cut()
        web_page.wait_until("trioRealtime.state === 'reconnecting'")
        played = web_page.played_ms()
        web_page.capture(tmp_path, "reconnecting")
        web_page.wait_until(
            f"Object.values(trioRealtime.played).some((item) => item.played_ms > {played})"
        )
    finally:
        gateway.refuse(refused=False)
    web_page.wait_until("trioRealtime.state === 'live' && trioRealtime.reconnects === 1")
    web_page.page.wait_for_selector(".notice:has-text('The connection to the server is back.')")
    web_page.wait_until("Object.values(trioRealtime.played).some((item) => item.finished)")
    assert len(web_page.counters()["played"]) == 1
    assert web_page.counters()["interrupted"] == []
    web_page.say("Hello again")
    web_page.page.wait_for_selector(".message.assistant:has-text('You said: Hello again')")


def test_an_observer_follows_a_call(
    gateway: GatewayProcess, browser: Any, web_page: WebPage
) -> None:
    created = gateway.post("v1/sessions", {"agent": "Support"})
    session = created["session_id"]
    fragment = f"#session={session}&token={created['token']}"
    web_page.page.goto(gateway.url + fragment)
    assert "token" not in web_page.page.url
    assert web_page.text("#start-button") == "Join call"
    web_page.page.uncheck("#use-microphone")
    web_page.page.click("#start-button")
    web_page.wait_until("trioRealtime.state === 'live'")
    web_page.say("Before the observer")
    web_page.page.wait_for_selector(".message.assistant[data-state=done]")

    token = gateway.post(f"v1/sessions/{session}/tokens", {"role": "observer"})["token"]
    context = browser.new_context()
    observer = WebPage(context.new_page())
    observer.page.goto(f"{gateway.url}#session={session}&token={token}&role=observer")
    assert observer.page.is_hidden("#use-microphone")
    observer.page.click("#start-button")
    observer.page.wait_for_selector(".message.assistant:has-text('Before the observer')")
    assert observer.text(".message.user .speaker") == "User"
    assert web_page.text(".message.user .speaker") == "You"
    assert observer.page.is_hidden("#message")
    assert observer.page.is_hidden("#interrupt")
    assert observer.counters()["played"] == {}, "what was said before is only shown"
    web_page.page.wait_for_selector(".notice:has-text('An observer joined the call.')")
    web_page.say("Book a table at Luigi for 4")
    observer.page.wait_for_selector(".tool[data-state=waiting]")
    assert observer.page.is_hidden(".tool-decision")
    observer.page.click("#end")
    observer.page.wait_for_selector("#ended-text:has-text('You left the call.')")
    assert observer.problems == []
    context.close()
    assert web_page.counters()["state"] == "live"


def test_a_link_that_has_expired(gateway: GatewayProcess, web_page: WebPage) -> None:
    created = gateway.post("v1/sessions", {"agent": "Support"})
    web_page.page.goto(f"{gateway.url}#session={created['session_id']}&token=expired")
    web_page.page.uncheck("#use-microphone")
    web_page.page.click("#start-button")
    web_page.page.wait_for_selector("#ended-text:has-text('ask for another link')")
    assert web_page.page.is_hidden("#empty")


def test_a_reloaded_page_joins_its_call_again(gateway: GatewayProcess, web_page: WebPage) -> None:
    web_page.start(gateway.url)
    web_page.say("Hello")
    web_page.wait_until("Object.values(trioRealtime.played).some((item) => item.finished)")
    web_page.page.reload()
    assert web_page.text("#start-button") == "Rejoin call"
    web_page.page.uncheck("#use-microphone")
    web_page.page.click("#start-button")
    web_page.page.wait_for_selector(".message.assistant:has-text('You said: Hello')")
    web_page.say("Are you there?")
    web_page.wait_until("Object.values(trioRealtime.played).some((item) => item.finished)")
    assert len(web_page.counters()["played"]) == 1, "what was played before is only shown"
    web_page.page.click("#end")
    web_page.page.wait_for_selector("#ended-text:has-text('The call ended.')")
    web_page.page.reload()
    assert web_page.text("#start-button") == "Start call"


def test_an_interruption_without_a_connection_is_sent_later(
    gateway: GatewayProcess, web_page: WebPage
) -> None:
    sent: list[str] = []
    web_page.page.on(
        "websocket",
        lambda socket: socket.on("framesent", lambda data: sent.append(message_type(data))),
    )
    web_page.start(gateway.url)
    web_page.say("Tell me about the whole history of the harbor, the town and its people " * 9)
    web_page.wait_until("Object.values(trioRealtime.played).some((item) => item.played_ms > 200)")
    gateway.refuse(refused=True)
    try:
        gateway.cut()
        web_page.wait_until("trioRealtime.state === 'reconnecting'")
        web_page.page.click("#interrupt")
        web_page.wait_until("trioRealtime.interrupted.length === 1")
        played = web_page.played_ms()
    finally:
        gateway.refuse(refused=False)
    web_page.wait_until("trioRealtime.state === 'live' && trioRealtime.reconnects === 1")
    resumed = sent[len(sent) - 1 - sent[::-1].index("hello") :]
    assert resumed[:3] == ["hello", "playback", "interrupt"]
    web_page.say("Hello")
    web_page.wait_until("Object.values(trioRealtime.played).some((item) => item.finished)")
    first, _ = web_page.counters()["played"].values()
    assert first["played_ms"] == played


def message_type(frame: str | bytes) -> str:
    return "audio" if isinstance(frame, bytes) else str(json.loads(frame)["type"])


def test_a_token_is_valid_once(gateway: GatewayProcess, web_page: WebPage) -> None:
    web_page.page.goto(f"{gateway.url}#session=none&token=wrong")
    web_page.page.click("#start-button")
    web_page.page.wait_for_selector("#ended-text:has-text('not valid')")
    assert web_page.counters()["state"] == "ended"
    web_page.page.click("#again")
    web_page.page.wait_for_selector("#agent option", state="attached")
    assert web_page.page.is_visible("#start-button")


def test_an_invitation_during_a_call_waits_for_its_end(
    gateway: GatewayProcess, web_page: WebPage
) -> None:
    web_page.start(gateway.url)
    created = gateway.post("v1/sessions", {"agent": "Support"})
    fragment = f"#session={created['session_id']}&token={created['token']}"
    web_page.page.evaluate(f"location.hash = {json.dumps(fragment)}")
    web_page.wait_until("!location.href.includes('token')")
    assert web_page.counters()["state"] == "live"
    assert web_page.page.is_hidden("#start")
    web_page.page.click("#end")
    web_page.page.click("#again")
    assert web_page.text("#start-button") == "Join call"
    web_page.page.uncheck("#use-microphone")
    web_page.page.click("#start-button")
    web_page.wait_until("trioRealtime.state === 'live'")


def test_a_browser_that_plays_no_sound_has_calls_of_text(
    gateway: GatewayProcess, web_page: WebPage
) -> None:
    web_page.page.add_init_script(
        "window.AudioContext = class { constructor() { throw new DOMException('no device'); } }"
    )
    web_page.start(gateway.url, with_microphone=True)
    assert "can play no sound" in web_page.text("#alert")
    web_page.say("Hello")
    web_page.page.wait_for_selector(".message.assistant:has-text('You said: Hello')")


def test_without_the_microphone_the_page_goes_on_with_text(
    gateway: GatewayProcess, web_page: WebPage
) -> None:
    web_page.page.add_init_script(
        "navigator.mediaDevices.getUserMedia = async () => {"
        "  throw new DOMException('no', 'NotAllowedError'); };"
    )
    web_page.start(gateway.url, with_microphone=True)
    assert "The microphone is blocked." in web_page.text("#alert")
    web_page.say("Hello")
    web_page.page.wait_for_selector(".message.assistant:has-text('You said: Hello')")
    web_page.page.click("#alert-close")
    assert web_page.text("#alert") == ""


def test_a_refused_call_says_why(gateway: GatewayProcess, web_page: WebPage) -> None:
    body = json.dumps({"error": {"code": "rate_limited", "message": "at most 3 sessions"}})
    web_page.page.route(
        "**/v1/sessions",
        lambda route: route.fulfill(
            status=429, body=body, headers={"Retry-After": "12", "Content-Type": "application/json"}
        ),
    )
    web_page.page.goto(gateway.url)
    web_page.page.wait_for_selector("#agent option", state="attached")
    web_page.page.click("#start-button")
    web_page.page.wait_for_selector("#alert-text:has-text('at most 3 sessions')")
    assert "Try again in 12 s." in web_page.text("#alert")
    assert web_page.page.is_enabled("#start-button")
    assert web_page.problems.pop().startswith("Failed to load resource")


def test_a_server_with_keys_asks_for_one(gateway: GatewayProcess, web_page: WebPage) -> None:
    seen: list[str] = []

    def handle(route: Any) -> None:
        seen.append(route.request.headers.get("authorization", ""))
        if seen[-1] == "Bearer the-key":
            # The gateway itself has no keys, and accepts no others.
            headers = {k: v for k, v in route.request.headers.items() if k != "authorization"}
            route.continue_(headers=headers)
        else:
            body = json.dumps({"error": {"code": "unauthorized", "message": "no key"}})
            headers = {"Content-Type": "application/json"}
            route.fulfill(status=401, body=body, headers=headers)

    page = web_page.page
    page.route("**/v1/**", handle)
    page.goto(gateway.url)
    page.wait_for_selector("#alert-text:has-text('This server needs an access key.')")
    assert page.is_hidden("#agent")
    page.fill("#key", "wrong")
    page.keyboard.press("Tab")
    page.wait_for_selector("#alert-text:has-text('This access key is not valid.')")
    page.fill("#key", "the-key")
    page.keyboard.press("Tab")
    page.wait_for_selector("#agent")
    assert web_page.text("#alert") == ""
    page.uncheck("#use-microphone")
    page.click("#start-button")
    web_page.wait_until("trioRealtime.state === 'live'")
    assert seen == ["", "Bearer wrong", "Bearer the-key", "Bearer the-key"]
    assert all(problem.startswith("Failed to load") for problem in web_page.problems)
    web_page.problems.clear()


def test_everything_is_reached_by_keyboard(
    gateway: GatewayProcess, web_page: WebPage, tmp_path: Path
) -> None:
    page = web_page.page
    page.goto(gateway.url)
    page.wait_for_selector("#agent option", state="attached")
    web_page.capture(tmp_path, "start")
    focused = "document.activeElement.id || document.activeElement.className"
    seen = []
    for _ in range(4):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(focused))
    assert seen == ["skip-link", "agent", "use-microphone", "start-button"]
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    web_page.wait_until("trioRealtime.state === 'live'")
    assert page.evaluate(focused) == "message"
    page.keyboard.type("Book a table at Luigi for 4")
    page.keyboard.press("Enter")
    page.wait_for_selector(".tool[data-state=waiting]")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    assert "Approve" in page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    page.wait_for_selector(".tool[data-state=done]")
