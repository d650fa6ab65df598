"""Tier B: the whole daemon in virtual time, against the same world; only its four ports differ."""
