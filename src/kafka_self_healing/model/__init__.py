"""The words: frozen dataclasses and enums that every organ speaks in. Standard library only."""
