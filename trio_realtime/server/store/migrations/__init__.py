"""Migrations of the tables, applied by Alembic without a configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

__all__ = ["VERSION_TABLE", "current_revision", "newest_revision", "upgrade"]

VERSION_TABLE: Final = "trio_realtime_version"
"""The table with the revision. It has a name of its own, because other programs use Alembic too."""

_LOCK: Final = 0x7472696F  # any number that other programs do not use


def _config() -> Config:
    config = Config()
    # "%" begins a placeholder in a configuration file.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def newest_revision() -> str:
    """Return the revision that :func:`upgrade` leads to."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None
    return revision


def current_revision(connection: Connection) -> str | None:
    """Return the revision of the database; ``None`` for one without the tables."""
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def upgrade(engine: Engine) -> None:
    """Create the tables, or bring those of an earlier version up to date, in one transaction.

    Several processes may do this at the same time: one of them migrates, and the others wait.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database failed. Nothing was changed.
        alembic.util.CommandError: the database has a revision of a newer version of this library.
    """
    config = _config()
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        config.attributes.update(connection=connection, version_table=VERSION_TABLE)
        command.upgrade(config, "head")
