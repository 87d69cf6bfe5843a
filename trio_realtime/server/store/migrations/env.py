"""The environment of Alembic: it runs the migrations on the connection that ``upgrade`` gives it.

Alembic executes this file. Importing it has no effect.
"""

from __future__ import annotations

from alembic import context

from trio_realtime.server.store.tables import METADATA


def run() -> None:
    """Run the migrations in the transaction of the connection."""
    attributes = context.config.attributes
    context.configure(
        connection=attributes["connection"],
        target_metadata=METADATA,
        transactional_ddl=True,
        version_table=attributes["version_table"],
    )
    context.run_migrations()


if __name__ == "env_py":  # the name that Alembic gives it
    run()
