"""What a program that uses an agents SDK becomes with this library; see ``trio-realtime migrate``.

``python.toml`` and ``javascript.toml`` say what each name of the SDKs becomes; ``mapping`` looks names up
in them. ``python_program`` and ``javascript_program`` find the names that a program uses. ``findings``
combines both.
"""

from .findings import FileReport as FileReport, Finding as Finding, analyze as analyze
from .mapping import (
    Counterpart as Counterpart,
    Mapping as Mapping,
    Row as Row,
    Table as Table,
    load_mapping as load_mapping,
)
