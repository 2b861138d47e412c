"""What the tests of studies share: engines made to order, known to study files by name."""

import pytest

from mixtures.study import methods, runner
from study import engines


@pytest.fixture(autouse=True)
def _fake_engines(monkeypatch):
    for name, engine in engines.FAKES.items():
        monkeypatch.setitem(methods.ENGINES, name, engine)
    engines.calls.clear()


@pytest.fixture
def _workers_know_the_fakes(monkeypatch):
    monkeypatch.setattr(runner, "work", engines.work)
