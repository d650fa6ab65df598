"""How operators reach a running daemon: a local socket, and the client of the commands."""
