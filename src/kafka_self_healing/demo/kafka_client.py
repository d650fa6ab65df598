"""kafka-python, loaded when it is needed: the demo's own client, which shares no code with ours.

The package is the extra `demo`. Importing it warns (it uses an old way to read its own files), and
we show nobody the warnings of other people's code.
"""

from __future__ import annotations

import importlib
import logging
import warnings
from types import ModuleType

from kafka_self_healing.demo.errors import DemoError


def kafka_module(name: str = "kafka") -> ModuleType:
    """Return the module `name` of kafka-python. Raises DemoError if it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module = importlib.import_module(name)
    except ImportError as missing:
        raise DemoError(
            "the demo needs kafka-python: pip install 'kafka-self-healing[demo]'"
        ) from missing
    # It reports each refused connection on its own; the demo kills brokers all the time.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    return module
