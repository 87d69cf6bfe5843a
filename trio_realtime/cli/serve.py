"""The ``serve`` command: run the local server on a port, for any client of the protocol."""

from __future__ import annotations

import errno
import math
from typing import NoReturn

import trio

from trio_realtime import serve_local
from trio_realtime.local import EspeakSynthesizer, ServerConfigDict, Synthesizer, ToneSynthesizer

from .exit import UserFacingError


async def serve(*, host: str, port: int, config: ServerConfigDict) -> NoReturn:
    """Run the server until cancelled. Prints its URL, and nothing else, once clients can connect.

    Raises:
        UserFacingError: the server cannot listen on this host and port.
    """
    try:
        async with serve_local(host=host, port=port, **config) as server:
            print(server.url, flush=True)
            await trio.sleep_forever()
    except OSError as exc:
        raise UserFacingError(f"{exc.strerror or exc}; {_hint(exc)}") from exc


def _hint(error: OSError) -> str:
    if error.errno in (errno.EADDRINUSE, errno.EACCES):
        return "choose another --port, or 0 for a free one"
    return "choose another --host, for example 127.0.0.1"


def make_server_config(*, pace: str, voice: str, api_keys: tuple[str, ...]) -> ServerConfigDict:
    """Convert the options of the command to the configuration of the server.

    Raises:
        UserFacingError: an option has an invalid value.
    """
    config = ServerConfigDict(pacing=_parse_pace(pace), synthesizer=make_synthesizer(voice))
    if api_keys:
        config["api_keys"] = frozenset(api_keys)
    return config


def _parse_pace(pace: str) -> float:
    try:
        factor = math.inf if pace == "unlimited" else float(pace)
    except ValueError:
        factor = math.nan
    if not factor > 0:
        raise UserFacingError(f"--pace must be a number > 0 or 'unlimited'; got {pace!r}")
    return factor


def make_synthesizer(name: str) -> Synthesizer:
    """Create the synthesizer for ``tone``, ``espeak`` or ``auto`` (espeak if it is installed).

    Raises:
        UserFacingError: ``espeak`` was requested but is not installed.
    """
    if name == "tone":
        return ToneSynthesizer()
    try:
        return EspeakSynthesizer()
    except FileNotFoundError as exc:
        if name == "auto":
            return ToneSynthesizer()
        raise UserFacingError(f"{exc}; install espeak-ng, or choose --voice tone") from exc
