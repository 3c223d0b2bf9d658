"""What all tests share: one thread for torch, and the released files where they are at hand."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from seconds import (  # noqa: F401 - hooks
    pytest_runtest_call,
    pytest_runtest_logreport,
    pytest_sessionfinish,
    pytest_terminal_summary,
)

# An example of a property may take long where two cores are shared. make test-all tries more of them.
settings.register_profile("quick", deadline=None, max_examples=25)
settings.register_profile("evidence", deadline=None, max_examples=300)
settings.load_profile("quick")

# Before torch is imported, here or in a child process: two cores are shared by tests that run at once.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="module", autouse=True)
def few_objects_to_collect() -> None:
    """Spare the garbage collector what is imported by now: code that meets a lack of memory calls it often."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder beside the project that holds the released dialogues."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "data" / "chatir" / "dialogues").is_dir():
        pytest.skip("the released dialogues (../shared) are not beside the project")
    return folder


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of milliseconds between attempts, and no key or endpoint from whoever runs the tests."""
    from chatir.models.chat.transport import retry

    for name, seconds in (("WAIT_INITIAL", 0.002), ("WAIT_JITTER", 0.004), ("WAIT_MAX", 0.02)):
        monkeypatch.setattr(retry, name, seconds)
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def own_precisions() -> Iterator[None]:
    """Torch's settings of fp32 products as it starts, and again after the test."""
    from precisions import as_torch_starts

    as_torch_starts()
    yield
    as_torch_starts()
