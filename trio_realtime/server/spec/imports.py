"""Import paths: ``package.module:name``."""

from __future__ import annotations

import importlib
import sys
import traceback
from typing import Any, Final

import trio

from .calls import spec_threads
from .paths import SpecError, describe, nearest

__all__ = ["IMPORT_EXPECTED", "IMPORT_PATTERN", "import_object", "import_object_in_thread"]

_DOTTED: Final = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
IMPORT_PATTERN: Final = f"{_DOTTED}:{_DOTTED}"
IMPORT_EXPECTED: Final = 'an import path such as "package.module:name"'


def import_object(reference: str, path: str) -> Any:
    """Import a module and return an object in it.

    Args:
        reference: the import path.
        path: the path of the key in the spec, for error messages.

    Raises:
        SpecError: the module cannot be imported, or it has no such name. What the module raised is the
            cause, also if it is no ``Exception``.
    """
    module_name, _, names = reference.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except (KeyboardInterrupt, trio.Cancelled):
        raise
    except BaseException as exc:  # also SystemExit, of a script that is no module
        raise SpecError(path, f"cannot import {describe(reference)}: {_reason(exc)}") from exc
    at = module_name
    for name in names.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            known = [one for one in dir(found) if not one.startswith("_")]
            close = nearest(name, known)
            hint = f": {close}" if close.startswith("did you mean") else ""
            raise SpecError(
                path, f"cannot import {describe(reference)}: {at} has no {name}{hint}"
            ) from None
        except (KeyboardInterrupt, trio.Cancelled):
            raise
        except BaseException as exc:  # of a ``__getattr__`` or a property
            raise SpecError(path, f"cannot import {describe(reference)}: {_reason(exc)}") from exc
        at = f"{at}.{name}"
    return found


async def import_object_in_thread(reference: str, path: str) -> Any:
    """Import a module in a thread, unless it is already imported, and return an object in it.

    Importing reads files and runs the code of the module, which would stop all sessions meanwhile.
    Cancellation waits for the import.

    Raises:
        SpecError: as for :func:`import_object`.
    """
    if _is_imported(reference.partition(":")[0]):
        await trio.lowlevel.checkpoint()
        return import_object(reference, path)
    return await trio.to_thread.run_sync(import_object, reference, path, limiter=spec_threads())


def _is_imported(module_name: str) -> bool:
    """Return whether importing the module does not block.

    While another thread imports it, it is there already, and importing it waits for that thread.
    """
    module = sys.modules.get(module_name)
    is_initializing = getattr(getattr(module, "__spec__", None), "_initializing", False)
    return module is not None and not is_initializing


def _reason(exc: BaseException) -> str:
    # Only the text of import errors: other exceptions may quote the settings of the application.
    if isinstance(exc, ImportError):
        return str(exc)
    if isinstance(exc, SyntaxError):
        file, line = exc.filename, exc.lineno
    else:
        frame = traceback.extract_tb(exc.__traceback__)[-1]
        file, line = frame.filename, frame.lineno
    return f"the module raised {type(exc).__name__} at {file}, line {line}"
