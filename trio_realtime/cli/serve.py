"""``serve``: the local server on a port, for any client of the protocol."""

from __future__ import annotations

import errno
import math
from typing import NoReturn

import trio

from trio_realtime import serve_local
from trio_realtime.local import EspeakSynthesizer, ServerConfigDict, Synthesizer, ToneSynthesizer

from .exit import UserFacingError


async def serve(*, host: str, port: int, settings: ServerConfigDict) -> NoReturn:
    """Serve until cancelled. Prints the URL, and nothing else, when clients can connect.

    Raises:
        MendIt: it cannot listen there.
    """
    try:
        async with serve_local(host=host, port=port, **settings) as server:
            print(server.url, flush=True)
            await trio.sleep_forever()
    except OSError as exc:
        raise UserFacingError(f"{exc.strerror or exc}; {_hint(exc)}") from exc


def _hint(error: OSError) -> str:
    if error.errno in (errno.EADDRINUSE, errno.EACCES):
        return "choose another --port, or 0 for a free one"
    return "choose another --host, for example 127.0.0.1"


def make_settings(*, pace: str, voice: str, api_keys: tuple[str, ...]) -> ServerConfigDict:
    """Settings of the server from the options.

    Raises:
        MendIt: an option has a value that cannot be.
    """
    settings = ServerConfigDict(pacing=_pacing(pace), synthesizer=make_voice(voice))
    if api_keys:
        settings["api_keys"] = frozenset(api_keys)
    return settings


def _pacing(pace: str) -> float:
    try:
        factor = math.inf if pace == "unlimited" else float(pace)
    except ValueError:
        factor = math.nan
    if not factor > 0:
        raise UserFacingError(f"--pace is a number greater than 0, or unlimited; not {pace!r}")
    return factor


def make_voice(name: str) -> Synthesizer:
    """``tone``, ``espeak``, or ``auto``: espeak where it is installed.

    Raises:
        MendIt: espeak was asked for, and is not installed.
    """
    if name == "tone":
        return ToneSynthesizer()
    try:
        return EspeakSynthesizer()
    except FileNotFoundError as exc:
        if name == "auto":
            return ToneSynthesizer()
        raise UserFacingError(f"{exc}; install espeak-ng, or choose --voice tone") from exc
