"""Reading scenario files: what they may contain, and what is said about mistakes."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from trio_realtime.errors import ConfigurationError
from trio_realtime.testing.matching import TextMatch
from trio_realtime.testing.scenarios import Scenario, find_scenarios, load_scenario
from trio_realtime.testing.scenarios.model import (
    Approve,
    CallReply,
    Expect,
    ExpectCall,
    ExpectEvent,
    ExpectGuardrail,
    ExpectHandoff,
    ExpectInterrupted,
    ExpectNo,
    ExpectSaid,
    FailReply,
    HeardRange,
    HostedCallReply,
    IncompleteReply,
    Interrupt,
    PauseReply,
    Play,
    Reject,
    SayReply,
    User,
    Wait,
)


def load(folder: Path, text: str) -> Scenario:
    path = folder / "case.scenario.yaml"
    path.write_text(dedent(text))
    return load_scenario(path)


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, text)
    return [line.rpartition("case.scenario.yaml:")[2] for line in str(caught.value).splitlines()]


def test_the_smallest_file_has_defaults(tmp_path: Path) -> None:
    scenario = load(tmp_path, "agent: shop:clerk\nsteps:\n  - user: Hello\n")
    assert scenario == Scenario(
        path=tmp_path / "case.scenario.yaml",
        step_lines=(3,),
        name="case",
        agent="shop:clerk",
        steps=(User(user="Hello"),),
    )


def test_every_step_and_expectation(tmp_path: Path) -> None:
    scenario = load(
        tmp_path,
        """
        name: All
        agent: shop:clerk
        context: shop:context
        config: shop:config
        python_path: [.., src]
        transcripts: [Hello]
        clock: real
        timeout: 5
        judge: [shop:polite, shop:brief]
        steps:
          - user: yes
          - play: hello.wav
            silence_ms: 200
          - interrupt
          - interrupt:
          - approve: pay
          - reject: pay
            message: No
          - wait_ms: 1500
          - expect: {said: Hi}
          - expect: {said: {equals: Hi}, within_ms: 10}
          - expect:
              call: pay
              arguments: {euros: 5, why: [a, null]}
              outcome: completed
              output: {regex: "5"}
          - expect: {handoff: Boss}
          - expect: {interrupted: {min_ms: 1, max_ms: 2}}
          - expect: {guardrail: polite}
          - expect: {event: agent_end, fields: {status: completed}}
          - expect_no: {call: pay, within_ms: 100}
        """,
    )
    assert (scenario.name, scenario.config, scenario.clock) == ("All", "shop:config", "real")
    assert (scenario.timeout, scenario.judge) == (5.0, ("shop:polite", "shop:brief"))
    assert (scenario.python_path, scenario.transcripts) == (("..", "src"), ("Hello",))
    assert scenario.steps == (
        User(user="yes"),
        Play(play="hello.wav", silence_ms=200.0),
        Interrupt(interrupt=None),
        Interrupt(interrupt=None),
        Approve(approve="pay"),
        Reject(reject="pay", message="No"),
        Wait(wait_ms=1500.0),
        Expect(expect=ExpectSaid(said=TextMatch(contains="Hi"))),
        Expect(expect=ExpectSaid(said=TextMatch(equals="Hi"), within_ms=10.0)),
        Expect(
            expect=ExpectCall(
                call="pay",
                arguments={"euros": 5, "why": ["a", None]},
                outcome="completed",
                output=TextMatch(regex="5"),
            )
        ),
        Expect(expect=ExpectHandoff(handoff="Boss")),
        Expect(expect=ExpectInterrupted(interrupted=HeardRange(min_ms=1.0, max_ms=2.0))),
        Expect(expect=ExpectGuardrail(guardrail="polite")),
        Expect(expect=ExpectEvent(event="agent_end", fields={"status": "completed"})),
        ExpectNo(expect_no=ExpectCall(call="pay", within_ms=100.0)),
    )
    assert scenario.step_lines[:4] == (12, 13, 15, 16)


def test_every_reply(tmp_path: Path) -> None:
    scenario = load(
        tmp_path,
        """
        agent: shop:clerk
        responder:
          - say: Hi
            audio_ms: 100
          - - call: a
            - call: b
              arguments: "{not JSON"
          - {hosted_call: find, server: docs, arguments: {q: x}}
          - fail: quota
          - incomplete: content_filter
          - [{pause_ms: 10}, {say: Bye}]
        steps: [{user: Hi}]
        """,
    )
    assert scenario.responder == (
        (SayReply(say="Hi", audio_ms=100.0),),
        (CallReply(call="a"), CallReply(call="b", arguments="{not JSON")),
        (HostedCallReply(hosted_call="find", server="docs", arguments={"q": "x"}),),
        (FailReply(fail="quota"),),
        (IncompleteReply(incomplete="content_filter"),),
        (PauseReply(pause_ms=10.0), SayReply(say="Bye")),
    )
    assert load(tmp_path, "agent: a:b\nresponder: shop:Model\nsteps: [{user: Hi}]").responder == (
        "shop:Model"
    )


def test_all_mistakes_are_reported_by_line(tmp_path: Path) -> None:
    text = """\
        agent: 5
        contxt: a:b
        modality: sound
        timeout: 0
        responder:
          - say: Hello
          - [{call: x}, {cal: y}]
          - pause_ms: soon
          - call: x
            arguments: [1]
        steps:
          - usr: hello
          - user: a
            play: b
          - expect: {said: {regex: "("}}
          - expect:
              event: audio_interruptd
          - expect: {event: handoff, fields: {agent: x}}
          - expect_no: {call: x}
          - interrupt: now
          - wait_ms: -1
          - wait_ms: true
          - 5
          - expect: {call: x, outcome: done}
          - play
        """
    steps = "user, play, interrupt, approve, reject, wait_ms, expect, expect_no"
    replies = "say, call, hosted_call, fail, incomplete, pause_ms"
    assert mistakes(tmp_path, text) == [
        "1: agent: expected a text, got 5; quote it if it is one",
        "2: contxt: unknown key; did you mean context?",
        "3: modality: expected one of audio, text, got 'sound'",
        f"7: responder[1][1]: expected exactly one of {replies}, got cal; did you mean call?",
        "8: responder[2][0].pause_ms: expected a number, got 'soon'",
        "9: responder[3][0].arguments: expected a mapping, got [1]",
        f"12: steps[0]: expected exactly one of {steps}, got usr; did you mean user?",
        f"13: steps[1]: expected exactly one of {steps}, got user, play",
        (
            "15: steps[2].expect.said: '(' is not a regular expression: missing ), unterminated "
            "subpattern at position 0"
        ),
        "16: steps[3].expect: 'audio_interruptd' is not the type of a session event",
        "18: steps[4].expect: the event handoff has no field 'agent', only from_agent, to_agent",
        "19: steps[5]: expect_no needs within_ms: the time in which nothing of this may happen",
        "20: steps[6].interrupt: expected no value, got 'now'",
        "21: steps[7]: wait_ms must be at least 0, got -1.0",
        "22: steps[8].wait_ms: expected a number, got True",
        f"23: steps[9]: expected a mapping with one of {steps}, got 5",
        (
            "24: steps[10].expect.outcome: expected one of completed, failed, timed_out, rejected, "
            "blocked, unknown, cancelled, pending, got 'done'"
        ),
        "25: steps[11].play: expected a text, got None; quote it if it is one",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["1: the file: expected a mapping, got None"]),
        ("- a", ["1: the file: expected a mapping, got ['a']"]),
        ("agent: a:b", ["1: steps: this key is missing"]),
        ("agent: a:b\nsteps: []", ["1: the file: steps must have at least one entry"]),
        ("agent: a:b\nsteps: {user: x}", ["2: steps: expected a list, got {'user': 'x'}"]),
        ("agent: a:b\npath: x\nsteps: [{user: x}]", ["2: path: unknown key"]),
        (
            "agent: a:b\nconfig: a:c\nmodality: text\nsteps: [{user: x}]",
            ["1: the file: give config or modality: a config has its own output_modalities"],
        ),
        (
            "agent: a:b\ntimeout: 0\nsteps: [{user: x}]",
            ["1: the file: timeout must be greater than 0, got 0.0"],
        ),
    ],
)
def test_a_file_of_another_form(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert mistakes(tmp_path, text) == expected


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read"):
        load_scenario(tmp_path / "none.scenario.yaml")
    (tmp_path / "bytes.scenario.yaml").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="cannot read"):
        load_scenario(tmp_path / "bytes.scenario.yaml")


def test_files_are_found_in_folders(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    for path in (tmp_path / "b.scenario.yaml", inner / "a.scenario.yaml", tmp_path / "other.yaml"):
        path.touch()
    assert find_scenarios([tmp_path, tmp_path / "other.yaml"]) == [
        tmp_path / "b.scenario.yaml",
        inner / "a.scenario.yaml",
        tmp_path / "other.yaml",
    ]
    with pytest.raises(ConfigurationError, match="there is no file"):
        find_scenarios([tmp_path / "missing"])
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ConfigurationError, match=r"no files whose names end in \.scenario\.yaml"):
        find_scenarios([empty])
