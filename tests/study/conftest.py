"""What the tests of studies share: engines made to order, known to study files by name."""

import pytest

from mixtures.study import runner
from study import engines


@pytest.fixture(autouse=True)
def _fake_engines(monkeypatch):
    engines.register(monkeypatch)


@pytest.fixture
def _workers_know_the_fakes(monkeypatch):
    monkeypatch.setattr(runner, "work", engines.work)
