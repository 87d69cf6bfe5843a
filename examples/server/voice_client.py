"""A client of the gateway, for the other programs of this folder: it asks one question."""

import json

import trio
from trio_websocket import ConnectionClosed, open_websocket_url


async def ask(url: str, token: str | None, question: str) -> str:
    """Ask the agent of a session.

    Args:
        url: the URL of the stream of the session.
        token: the token of the session, unless the server knows the client already.
        question: what to ask.
    """
    answer = ""
    with trio.fail_after(15):
        async with open_websocket_url(url) as socket:
            hello = {"type": "hello", "protocol": 1, "token": token, "audio": "none"}
            await socket.send_message(json.dumps(hello))
            while True:
                try:
                    message = json.loads(await socket.get_message())
                except ConnectionClosed:  # the server closes it after the last event
                    return answer
                match message["type"]:
                    case "run_connected":
                        await socket.send_message(json.dumps({"type": "text", "text": question}))
                    case "realtime_agent_end":
                        answer = message["data"]["output"]
                        await socket.send_message(json.dumps({"type": "end"}))
                    case _:
                        pass
