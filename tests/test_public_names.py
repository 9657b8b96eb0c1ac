"""The public names are what they say, in any order of import."""

import subprocess
import sys

import morelli


def test_every_public_name_is_a_class_or_a_function() -> None:
    code = "import types, morelli\nfor name in morelli.__all__:\n    exec(f'from morelli import {name} as found')\n"
    code += "    assert not isinstance(found, types.ModuleType), name\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "plane_map" in morelli.__all__
