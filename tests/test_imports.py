"""Which way the imports point, and what importing the package loads."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mixtures"


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the package in a folder against the contracts of the ``pyproject.toml`` beside it."""
    command = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    return subprocess.run(
        [sys.executable, "-c", command], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def test_imports_point_the_right_way():
    checked = lint_imports(ROOT)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.fixture
def hollow(tmp_path):
    """Copy the package's tree with every file empty, and the contracts beside it."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for file in PACKAGE.rglob("*.py"):
        empty = tmp_path / file.relative_to(ROOT)
        empty.parent.mkdir(parents=True, exist_ok=True)
        empty.touch()
    return tmp_path


def test_a_package_without_imports_passes(hollow):
    checked = lint_imports(hollow)
    assert checked.returncode == 0, checked.stdout + checked.stderr


FORBIDDEN = {
    "up the house": ("mixtures/model/density.py", "import mixtures.em.steps", "model <- em"),
    "one engine to the other": ("mixtures/bayes/fitter.py", "import mixtures.em.starts", "model <- em"),
    "upwards, inside a function": (
        "mixtures/em/loop.py",
        "def late():\n    from mixtures.comparison.recovery import compare",
        "model <- em",
    ),
    "truth to an engine": ("mixtures/comparison/recovery.py", "import mixtures.em.fitter", "never an engine"),
    "the runner to an engine": ("mixtures/study/runner.py", "import mixtures.bayes.fitter", "only methods"),
    "the store to the engines' root": ("mixtures/study/store.py", "import mixtures.em", "only methods"),
    "pymc outside bayes": ("mixtures/comparison/recovery.py", "import pymc.math", "only bayes"),
    "nutpie outside bayes": ("mixtures/study/methods.py", "import nutpie", "only bayes"),
    "pytensor outside bayes": ("mixtures/model/density.py", "import pytensor", "only bayes"),
    "matplotlib outside figures": (
        "mixtures/report/page.py",
        "import matplotlib.pyplot",
        "only report.figures",
    ),
    "loky outside executors": ("mixtures/study/runner.py", "import loky", "only study.executors"),
    "processes outside executors": (
        "mixtures/cli/studies.py",
        "from concurrent.futures import ProcessPoolExecutor",
        "only study.executors",
    ),
    "parquet outside the edge": ("mixtures/study/verdict.py", "import pyarrow.parquet", "only model.files"),
    "a clustering library": ("mixtures/em/starts.py", "import sklearn.cluster", "scikit-learn"),
    "up inside model": ("mixtures/model/mixture.py", "import mixtures.model.density", "model: the order"),
    "up inside em": ("mixtures/em/steps.py", "import mixtures.em.fitter", "em: the order"),
    "up inside bayes": ("mixtures/bayes/model.py", "import mixtures.bayes.fitter", "bayes: the order"),
    "up inside comparison": (
        "mixtures/comparison/performance.py",
        "import mixtures.comparison.recovery",
        "comparison: the order",
    ),
    "up inside study": ("mixtures/study/design.py", "import mixtures.study.runner", "study: the order"),
    "up inside report": ("mixtures/report/figures.py", "import mixtures.report.page", "report: the order"),
    "a file without a place": ("mixtures/em/helpers.py", "", "em: the order"),
}


@pytest.mark.parametrize(("file", "statement", "contract"), FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_a_forbidden_import_is_caught(hollow, file, statement, contract):
    (hollow / file).write_text(statement, encoding="utf-8")
    checked = lint_imports(hollow)
    assert checked.returncode == 1, checked.stdout + checked.stderr
    broken = [line for line in checked.stdout.splitlines() if line.endswith("BROKEN")]
    assert any(contract in line for line in broken), checked.stdout


def test_methods_may_know_the_engines(hollow):
    imports = "import mixtures.em.fitter\nimport mixtures.bayes\n"
    (hollow / "mixtures/study/methods.py").write_text(imports, encoding="utf-8")
    (hollow / "mixtures/study/runner.py").write_text("import mixtures.study.methods\n", encoding="utf-8")
    checked = lint_imports(hollow)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def loaded_by(statement: str) -> set[str]:
    """Name the top-level modules that a fresh interpreter holds after a statement."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return {name.partition(".")[0] for name in output.stdout.split()}


HEAVY = {"arviz", "matplotlib", "numba", "nutpie", "pandas", "pyarrow", "pymc", "pytensor", "scipy"}


@pytest.mark.parametrize("statement", ["import mixtures", "import mixtures.cli"])
def test_importing_is_light(statement):
    assert loaded_by(statement) & HEAVY == set()


def test_loaded_modules_are_seen():
    assert "scipy" in loaded_by("import scipy.special")
