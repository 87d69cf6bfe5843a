"""Slugs: short names of projects and agents, for URLs and for the store."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Final

__all__ = ["SLUG_EXPECTED", "SLUG_PATTERN", "slug_of"]

MAX_SLUG: Final = 63
# Not \Z, which the regular expressions of a JSON Schema do not have.
SLUG_PATTERN: Final = rf"(?=.{{1,{MAX_SLUG}}}$)[a-z0-9]+(?:-[a-z0-9]+)*"
SLUG_EXPECTED: Final = (
    f'up to {MAX_SLUG} lower case letters, digits and single hyphens, such as "support-line"'
)


def slug_of(name: str) -> str:
    """Return the slug of a name: ``support-line`` for ``Support line``.

    A name without any ASCII letter or digit gets a slug made of its hash.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii")
    slug = re.sub(r"[^a-z0-9]+", "-", plain.lower())[:MAX_SLUG].strip("-")
    return slug or f"agent-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:8]}"
