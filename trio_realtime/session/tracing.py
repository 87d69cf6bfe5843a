"""The service's own trace of a session."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, cast

logger: logging.Logger = logging.getLogger("trio_realtime")


def warn_about_unnamed_trace(tracing: object) -> None:
    """Log a warning for a trace with a group or metadata, but without a workflow name.

    Without a name, the trace is listed under a default one, where its group and metadata are hard to
    find.

    Args:
        tracing: the setting of that name, in any of its forms.
    """
    if not isinstance(tracing, Mapping):
        return
    trace = cast("Mapping[str, Any]", tracing)
    given = [name for name in ("group_id", "metadata") if trace.get(name)]
    if given and not trace.get("workflow_name"):
        logger.warning(
            "tracing has %s but no workflow_name: add one, so that the trace has a name",
            " and ".join(given),
        )
