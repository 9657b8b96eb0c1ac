"""Tell painters apart: are two paintings by the same hand, also when that hand was never seen in training?

The public names stand in ``__init__.pyi`` and are loaded on first use, so that importing morelli is quick.
"""

from typing import Any

import lazy_loader

_loaded, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _loaded(name)
