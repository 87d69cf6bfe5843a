"""The history of sessions in a SQL database."""
