"""What Alembic runs to migrate: on the connection it is given, in the transaction that is open on it."""

from alembic import context

from q2d2.listen.store.schema import REVISIONS, metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, version_table=REVISIONS)
context.run_migrations()
