"""An agent that answers SIP calls, and transfers a caller to a human.

The service reports each call to a webhook, whose handler starts :func:`answer` with the ``call_id``. In
this program the service is simulated: a local server is the session, and :func:`main` answers the
requests about the call. That makes no difference to :func:`answer`.
"""

from __future__ import annotations

import attrs
import httpx2
import trio

from trio_realtime import (
    Endpoint,
    RealtimeAgent,
    SessionConfig,
    ToolContext,
    Transcription,
    events,
    function_tool,
    open_realtime_session,
    serve_local,
)
from trio_realtime.local import Call as CallTool, Say, ScriptedResponder
from trio_realtime.sip import SipCalls


@attrs.frozen
class Line:
    """The context of a session: the call that it belongs to."""

    call_id: str
    calls: SipCalls


@function_tool(timeout=10)
async def transfer_to_human(context: ToolContext[Line]) -> str:
    """Transfer the caller to a human."""
    line = context.context
    await line.calls.refer(line.call_id, target_uri="tel:+14155550123")
    return "The call was transferred."


agent = RealtimeAgent[Line](
    name="Hotline",
    instructions="You answer the phone of a shop. Be brief. Greet the caller.",
    tools=[transfer_to_human],
)
config = SessionConfig(transcription=Transcription(model="gpt-live-transcribe"))


async def answer(call_id: str, endpoint: Endpoint, calls: SipCalls) -> None:
    """Accept a call, and follow it until its end. The caller and the service exchange the audio."""
    line = Line(call_id, calls)
    await calls.accept(call_id, agent, config=config, context=line)
    async with open_realtime_session(
        agent, endpoint=endpoint.attach(call_id), config=config, context=line
    ) as session:
        await session.create_response()  # the agent speaks first
        async for event in session:
            match event:
                case events.UserTranscript(transcript=text):
                    print(f"caller: {text}")
                case events.ToolEnd(output=output):
                    print(f"tool:   {output}")
                case events.AgentEnd(output=text):
                    print(f"agent:  {text}")
                    break
                case _:
                    pass


# --- the simulated service


def take_request(request: httpx2.Request) -> httpx2.Response:
    """Answer a request about a call, as the service would."""
    call_id, action = request.url.path.split("/")[-2:]
    body = "{...}" if action == "accept" else request.content.decode()
    print(f"{action} {call_id}: {body}")
    return httpx2.Response(200)


async def main() -> None:
    """Answer a call, and reject another one as busy."""
    script = ScriptedResponder([[Say("One moment, please."), CallTool("transfer_to_human")]])
    client = httpx2.AsyncClient(transport=httpx2.MockTransport(take_request))
    async with client, serve_local(responder=script) as server:
        calls = SipCalls(server.endpoint, http_client=client)
        await answer("rtc_1", server.endpoint, calls)
        await calls.reject("rtc_2", status_code=486)


if __name__ == "__main__":
    trio.run(main)
