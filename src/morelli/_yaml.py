"""YAML as recipes and run folders hold it, with the numbers of YAML 1.2: ``1e-1`` is one.

PyYAML follows YAML 1.1, which takes ``1e-1`` for text, ``010`` for 8, ``12:30`` for 750 and ``2024-05-01`` for a date.
The patterns are those of YAML 1.2.2's core schema (section 10.3.2), with underscores between digits, as in Python.
The words for true and false remain those of YAML 1.1, because a ``no`` that is text would count as true.
"""

import re
from pathlib import Path
from typing import Any, Final

import yaml

from morelli._files import read_text, reading
from morelli.errors import first_line

YAMLError = yaml.YAMLError

_TAG = "tag:yaml.org,2002:"
_DIGITS = "[0-9]+(?:_[0-9]+)*"
_NUMBERS = {
    f"{_TAG}int": rf"[-+]?{_DIGITS}|0o[0-7]+|0x[0-9a-fA-F]+",
    f"{_TAG}float": rf"[-+]?(?:\.[0-9]+|{_DIGITS}(?:\.(?:{_DIGITS})?)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
}
_MOST_VALUES: Final = 1_000_000
"""Of a file whose aliases are written out; a few lines of them can stand for billions."""
_OTHERS_OF_1_1 = (*_NUMBERS, f"{_TAG}timestamp")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml, if PyYAML has it
    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _OTHERS_OF_1_1]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class _Dumper(yaml.SafeDumper):
    """Writes a text plain only where YAML 1.1 and 1.2 both read it as text."""


def _int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, 0 if text[:2] in ("0o", "0x") else 10)


for _tag, _pattern in _NUMBERS.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), list("-+.0123456789"))
_Loader.add_constructor(f"{_TAG}int", _int)


def read_yaml(text: str) -> Any:
    """The content of a YAML text.

    Raises:
        YAMLError: it is no YAML, is nested too deeply, or has aliases that stand for more than a million values.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _values(node, {}) > _MOST_VALUES:
            raise YAMLError(f"its aliases stand for more than {_MOST_VALUES:,} values")
        return loader.construct_document(node)
    except YAMLError:
        raise
    except RecursionError as error:
        raise YAMLError("it is nested too deeply, or in itself") from error
    except Exception as error:  # of a tag such as !!float before what is none
        raise YAMLError(f"a value does not fit its tag ({first_line(error)})") from error


def _values(node: Any, known: dict[int, int]) -> int:
    """How many values a node stands for, aliases written out."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        known[id(node)] = _MOST_VALUES + 1  # if it holds itself
        known[id(node)] = 1 + sum(_values(part, known) for part in parts)
    return known[id(node)]


def load_yaml(path: Path, remedy: str = "") -> Any:
    """The content of a YAML file.

    Raises:
        UnreadableError: it cannot be read or is no YAML; the message ends with ``remedy``.
    """
    with reading(path, remedy):
        return read_yaml(read_text(path))


def write_yaml(content: Any) -> str:
    """Write plain values as YAML, keys in their order, so that :func:`read_yaml` gives the same back."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
