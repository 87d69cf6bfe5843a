"""A client of the gateway, for the other programs of this folder: it asks one question."""

import json

import trio
from trio_websocket import open_websocket_url


async def ask(url: str, token: str | None, question: str) -> str:
    """Ask the agent of a session.

    Args:
        url: the URL of the stream of the session.
        token: the token of the session, unless the server knows the client already.
        question: what to ask.
    """
    with trio.fail_after(15):
        async with open_websocket_url(url) as socket:
            hello = {"type": "hello", "protocol": 1, "token": token, "audio": "none"}
            await socket.send_message(json.dumps(hello))
            while True:
                message = json.loads(await socket.get_message())
                match message["type"]:
                    case "run_connected":
                        await socket.send_message(json.dumps({"type": "text", "text": question}))
                    case "realtime_agent_end":
                        await socket.send_message(json.dumps({"type": "end"}))
                        return str(message["data"]["output"])
                    case _:
                        pass
