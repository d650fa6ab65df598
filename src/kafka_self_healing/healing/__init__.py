"""The mind: pure functions from what is known and seen to what is decided, and why."""
