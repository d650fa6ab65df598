"""The built-in checks: they look and report; they never touch and never judge."""
