"""The mind in a virtual world: seeded simulation with invariants, and replay of recordings."""
