"""The mind in a seeded virtual world: faults as data, invariants judged on the truth, mutants."""
