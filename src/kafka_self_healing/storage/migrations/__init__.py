"""How the tables came about, one revision a file; Alembic runs them on the open connection."""
