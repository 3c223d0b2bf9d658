"""Where models go on GPUs that are not there: torch.cuda is patched, sizes are counted from real configurations."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from chatir import Dialog
from chatir.answerers.blip2 import Blip2, TransformersOptions
from chatir.errors import InputError, StoppedRunError
from chatir.models.builtin import checkpoints
from chatir.models.hardware import devices, placement
from chatir.models.hardware.devices import CLAIMED, Gpu, checked_device, chosen_device, gpus
from chatir.models.hardware.model_size import ModelSize, Precision, model_size
from chatir.models.hardware.placement import CPU, around, auto_precision, chosen_precision, claim, place, reserve
from chatir.models.lavis import worker
from chatir.models.local import loading
from chatir.models.local.blip2 import ARCHITECTURE, Blip2Model, Blip2Options
from chatir.models.local.loading import load_model
from chatir.models.local.text_model import LocalOptions
from chatir.models.reply_cache import ReplyCache
from chatir.plugins import Context
from chatir.questioners.hf import HF, Options
from chatir.retriever.encoders.clip import CLIP
from chatir.retriever.encoders.clip import Options as ClipOptions
from chatir.simulate import simulate

GB = 10**9
XXL = ModelSize(9_845_538_816, 2_252_461_568, 2_118_428_160)
"""BLIP-2 with FLAN-T5-XXL: 24.2 GB in bf16, 14.35 GB in 8-bit."""

Cards = Callable[..., None]


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> Cards:
    """Makes torch find GPUs of so many gigabytes, each (memory, free) or what it has of both."""
    import bitsandbytes  # noqa: F401 - it must not be imported while torch seems to have GPUs

    CLAIMED.clear()

    def found(*sizes: float | tuple[float, float], capability: tuple[int, int] = (8, 9), used: float = 0) -> None:
        pairs = [size if isinstance(size, tuple) else (size, size) for size in sizes]

        def about(number: int) -> Any:
            major, minor = capability
            return SimpleNamespace(name="a card", total_memory=int(pairs[number][0] * GB), major=major, minor=minor)

        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(pairs))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(pairs))
        monkeypatch.setattr(torch.cuda, "get_device_properties", about)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: tuple(int(x * GB) for x in pairs[number][::-1]))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda number: int(used * GB))
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda number: 0)

    return found


def test_a_model_that_one_gpu_holds_has_the_freest_alone(cards: Cards) -> None:
    cards((25, 21), (25, 24), (25, 22))
    assert place("m", lambda: XXL, "8bit", "auto") == "cuda:1"
    assert place("m", lambda: XXL, "8bit", "sequential") == "sequential", "the user's own word"


def test_a_model_that_none_holds_is_split(cards: Cards) -> None:
    cards(18, 18)
    assert place("m", lambda: XXL, "bf16", "auto") == "auto"
    assert place("m", lambda: None, "bf16", "auto") == "auto", "of unknown size"


def test_a_model_that_fits_nowhere_is_refused_with_what_would_fit(cards: Cards) -> None:
    cards((25, 23.5))
    with pytest.raises(InputError) as told:
        place("org/xxl", lambda: XXL, "bf16", "auto")
    assert str(told.value) == (
        "model org/xxl: needs about 34 GB in bf16 (1.4 times its weights), but 24 GB of the GPU are free: "
        "use precision=8bit, or free memory; precision=bf16 with device_map=cuda:0 loads it anyway"
    )
    assert place("org/xxl", lambda: XXL, "bf16", "cuda:0") == "cuda:0"
    cards((25, 4), (25, 5))
    with pytest.raises(InputError, match=r"but 9 GB of 2 GPUs are free: use a smaller model, or"):
        place("org/xxl", lambda: XXL, "8bit", "auto")


def test_the_machine_s_memory_is_looked_at_where_there_is_no_gpu(cards: Cards, monkeypatch: pytest.MonkeyPatch) -> None:
    cards()
    monkeypatch.setattr(placement, "read_memory", lambda: (32 * GB, 30 * GB))
    with pytest.raises(
        InputError, match=r"needs about 68 GB in fp32 .* but 30 GB of memory are free: use precision=8b"
    ):
        place("m", lambda: XXL, "fp32", "auto")
    assert place("m", lambda: XXL, "8bit", "auto") == "cpu"
    assert place("m", lambda: XXL, "fp32", "cpu") == "cpu"
    monkeypatch.setattr(placement, "read_memory", lambda: (None, None))
    assert place("m", lambda: XXL, "fp32", "auto") is None


@pytest.mark.parametrize(
    ("memory", "capability", "device_map", "precision"),
    [
        ((85,), (8, 0), "auto", "bf16"),
        ((25, 25), (8, 9), "auto", "8bit"),
        ((25, 25), (8, 9), "balanced", "bf16"),
        ((85,), (7, 5), "auto", "fp16"),
        ((25, 85), (9, 0), "auto", "bf16"),
        ((25, 85), (9, 0), "cuda", "8bit"),
        ((25, 85), (9, 0), "cuda:0", "8bit"),
        ((25, 85), (9, 0), "cuda:1", "bf16"),
        ((85,), (9, 0), "cpu", "fp32"),
        ((), (0, 0), "auto", "fp32"),
    ],
)
def test_auto_is_a_half_where_it_fits_and_8bit_where_it_does_not(
    cards: Cards, memory: tuple[float, ...], capability: tuple[int, int], device_map: str, precision: str
) -> None:
    cards(*((size, 1.0) for size in memory), capability=capability)
    assert chosen_precision("auto", device_map, lambda: XXL) == precision, "whatever is free at the moment"
    assert chosen_precision("4bit", device_map, pytest.fail) == "4bit"
    assert around(device_map) == ("fp32" if precision == "fp32" else "fp16" if capability < (8, 0) else "bf16")


def test_fp16_counts_the_layers_that_stay_in_fp32(cards: Cards) -> None:
    old = Gpu("an old card", 36 * GB, None, "7.5")
    assert auto_precision(XXL, [old]) == "8bit"
    assert auto_precision(XXL, [Gpu("a card", 36 * GB, None, "8.0")]) == "bf16"
    assert auto_precision(None, [old]) == "fp16"


def test_the_precision_around_8bit_is_the_same_whatever_is_free(cards: Cards, monkeypatch: pytest.MonkeyPatch) -> None:
    def about(number: int) -> Any:
        return SimpleNamespace(name="a card", total_memory=[40, 32][number] * GB, major=[8, 7][number], minor=0)

    for free in (40, 1):
        cards((40, free), (32, 30))
        monkeypatch.setattr(torch.cuda, "get_device_properties", about)
        assert (around("auto"), around("cuda:1")) == ("bf16", "fp16")


def test_a_device_map_that_names_no_gpu_of_this_machine_is_refused_when_a_player_is_built(cards: Cards) -> None:
    cards(25)
    with pytest.raises(InputError, match=r"^device_map=cuda:5: there is no such device, of CUDA's there are 1: use"):
        HF(Options(model="scenes:t5", prompt="scenes", device_map="cuda:5"), Context())


def test_the_code_of_a_model_s_author_is_not_run_to_count_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "vit", "auto_map": {"AutoModelForCausalLM": "mod.Mine"}}')
    (tmp_path / "mod.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Mine: pass")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    assert loading.size_of(str(tmp_path), None) is None
    assert not (tmp_path / "ran").exists()


def test_what_cuda_takes_of_a_gpu_is_not_counted_on() -> None:
    flan_xl = ModelSize(2_214_592_512, 635_164_672, 503_316_480)
    assert flan_xl.room("bf16") < 8.2 * GB
    assert auto_precision(flan_xl, [Gpu("a card", int(8.2 * GB), None, "8.6")]) == "8bit"


def test_memory_that_torch_keeps_for_a_model_is_not_free(cards: Cards) -> None:
    cards((25, 10), used=12)
    (card,) = gpus()
    assert card.free == 22 * GB, "reserved in this process, and not used"
    model = nn.Linear(1, 1)
    weight = SimpleNamespace(device=torch.device("cuda:0"), nbytes=5 * GB)
    model.parameters = lambda recurse=True: iter([weight])  # type: ignore[assignment,return-value]
    claim(model)
    assert gpus()[0].free == 15 * GB, "1.4 times its weights"
    del model
    gc.collect()
    assert gpus()[0].free == 22 * GB


def busy(number: int) -> tuple[int, int]:
    if number == 0:
        raise torch.OutOfMemoryError("CUDA error: out of memory")
    return 10 * GB, 25 * GB


def test_a_gpu_that_has_no_room_for_cuda_itself_is_full(cards: Cards, monkeypatch: pytest.MonkeyPatch) -> None:
    cards(25, 25)
    monkeypatch.setattr(torch.cuda, "mem_get_info", busy)
    assert [(card.free, card.room) for card in gpus()] == [(None, 0), (10 * GB, 10 * GB)]
    assert chosen_device("auto") == "cuda:1"
    assert worker._freest() == "cuda:1"


def test_only_where_a_model_goes_is_every_gpu_asked_what_is_free(
    cards: Cards, loads: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    cards(25, 25)
    monkeypatch.setattr(torch.cuda, "mem_get_info", pytest.fail)
    asker = HF(Options(model="scenes:t5", prompt="scenes", device_map="cuda:1"), Context())
    asker.ready()
    asker.ask([Dialog("a.png", "a big red heart")])
    assert loads[0]["device_map"] == "cuda:1"


def test_a_machine_that_does_not_tell_what_is_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  8000 kB\n")
    monkeypatch.setattr(devices, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(devices, "LIMITS", [tmp_path / "none", tmp_path / "limit"])
    assert devices.read_memory()[1] is None


def test_sizes_are_those_of_what_transformers_loads(tmp_path: Path) -> None:
    for name, architecture in (("t5", None), ("blip2", ARCHITECTURE)):
        folder = str(checkpoints()[name])
        counted = loading.size_of(folder, None, architecture)
        assert counted is not None
        for precision in ("fp32", "bf16", "fp16", "8bit"):
            model = load_model(folder, None, precision, "cpu", architecture).model
            weights = sum(weight.nbytes for weight in model.parameters())
            assert counted.weights(precision, "fp32") == weights, (name, precision)


@pytest.mark.parametrize("kind", ["t5-xl", "blip2-xxl"])
def test_sizes_of_the_large_ones_are_known_without_their_weights(kind: str) -> None:
    sizes = {"t5-xl": (2048, 5120, 32), "blip2-xxl": (4096, 10240, 64)}[kind]
    text = transformers.T5Config(
        vocab_size=32128, d_kv=64, feed_forward_proj="gated-gelu", num_layers=24,
        **dict(zip(("d_model", "d_ff", "num_heads"), sizes, strict=True)),
    )  # fmt: skip
    if kind == "t5-xl":
        counted = model_size(transformers.AutoModelForSeq2SeqLM, text)
        assert counted == ModelSize(2_214_592_512, 569_366_528, 503_316_480)
    else:
        config = transformers.Blip2Config(text_config=text.to_dict())
        counted = model_size(transformers.Blip2ForConditionalGeneration, config)
        assert counted == XXL
        assert (round(XXL.weights("bf16") / 1e9, 2), round(XXL.weights("8bit") / 1e9, 2)) == (24.2, 14.35)
        config.quantization_config = {"quant_method": "gptq"}
        assert model_size(transformers.Blip2ForConditionalGeneration, config) is None


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `from_pretrained` was asked for; models are loaded on the CPU, and bear the map that they were to have."""
    asked: list[dict[str, Any]] = []
    for kind in (
        transformers.AutoModelForSeq2SeqLM,
        transformers.Blip2ForConditionalGeneration,
        transformers.AutoModel,
    ):
        real = kind.from_pretrained

        def load(name: str, real: Any = real, **options: Any) -> Any:
            asked.append(options)
            given = {"dtype": torch.float32, "output_loading_info": True}
            model, told = real(name, **given)
            wanted = options.get("device_map", "cpu")
            split = {"language_model": 0, "vision_model": 1, "qformer": "cpu"}
            model.hf_device_map = split if wanted == "auto" else {"": wanted}
            return model, told

        monkeypatch.setattr(kind, "from_pretrained", load)
    return asked


def test_players_are_loaded_where_there_is_room_and_note_it(
    cards: Cards, loads: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed: list[Any] = []
    monkeypatch.setattr(loading, "claim", claimed.append)
    cards((25, 20), (25, 22))
    asker = HF(Options(model="scenes:t5", prompt="scenes"), Context())
    assert asker.config["model"]["precision"] == "bf16"
    assert asker.provenance == {}, "not loaded yet"
    asker.ask([Dialog("a.png", "a big red heart")])
    assert claimed == [asker.model._generator.model]
    assert (loads[0]["device_map"], loads[0]["dtype"]) == ("cuda:1", torch.bfloat16)
    assert asker.provenance == {"devices": "cuda:1", "gpus": {"cuda:1": "a card"}}


def test_a_part_that_is_not_on_a_gpu_is_reported_and_recorded(
    cards: Cards, loads: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    cards(25, 25)
    monkeypatch.setattr(loading, "model_size", lambda kind, config: None)
    said: list[str] = []
    answerer = Blip2(TransformersOptions(model="scenes:blip2", precision="bf16"), Context(progress=said.append))
    answerer.model._model  # noqa: B018
    assert loads[0]["device_map"] == "auto"
    parts = {"language_model": "cuda:0", "vision_model": "cuda:1", "qformer": "cpu"}
    assert answerer.provenance == {"devices": parts, "gpus": {"cuda:0": "a card", "cuda:1": "a card"}}
    assert said[-1].endswith("1 of its 3 parts are not on a GPU but in memory or on disk, which makes it slow")


def test_a_model_without_room_is_refused_before_it_is_loaded(
    cards: Cards, loads: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    cards((25, 12))
    monkeypatch.setattr(loading, "model_size", lambda kind, config: XXL)
    model = Blip2Model(Blip2Options(model="scenes:blip2"), Context())
    assert model.identity["model"]["precision"] == "8bit"
    with pytest.raises(InputError, match="needs about 20 GB in 8bit"):
        model._model  # noqa: B018
    assert not loads


def test_players_that_do_not_fit_together_are_refused_before_anybody_is_asked(
    cards: Cards, loads: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(loading, "model_size", lambda kind, config: XXL)
    cards(24.5, (24.5, 3))
    asker = HF(Options(model="scenes:t5", prompt="scenes"), Context())
    answerer = Blip2(TransformersOptions(model="scenes:blip2"), Context(images=tmp_path))
    with pytest.raises(InputError, match=r"blip2: needs about 20 GB in 8bit .* but 7\.4 GB of 2 GPUs are free"):
        simulate([Dialog("a.png", "a big red heart")], asker, answerer, out=tmp_path / "run.json")
    assert not loads
    assert not (tmp_path / "run.run").exists()
    asker.ready()
    asker.ask([Dialog("a.png", "a big red heart")])
    assert loads[0]["device_map"] == "cuda:0", "the room that it has reserved"
    asker.ready()
    assert not sum(CLAIMED.values()), "what is loaded takes what it takes: here it is on the CPU"


def test_a_model_that_the_cache_may_spare_is_not_refused(
    cards: Cards, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(loading, "model_size", lambda kind, config: XXL)
    cards(8)
    with closing(ReplyCache(tmp_path / "cache")) as cache:
        for made in (
            HF(Options(model="scenes:t5", prompt="scenes"), Context(cache=cache)),
            Blip2(TransformersOptions(model="scenes:blip2"), Context(images=tmp_path, cache=cache)),
        ):
            made.ready()
    with pytest.raises(InputError, match="needs about 20 GB"):
        HF(Options(model="scenes:t5", prompt="scenes"), Context()).ready()


def test_room_that_is_reserved_is_free_again_without_its_owner(cards: Cards) -> None:
    cards(25, 25)
    owner = nn.Linear(1, 1)
    places = {"cuda:1": [0, 7, 0], "cuda": [7, 0, 0], "auto": [3, 3, 0], "cpu": [0, 0, 7], None: [0, 0, 7]}
    for where, taken in places.items():
        give_back = reserve(owner, 7, where)
        assert [CLAIMED[0], CLAIMED[1], CLAIMED[CPU]] == taken, where
        give_back()
        give_back()
        assert not any(CLAIMED.values())
    reserve(owner, 7, "cuda:1")
    del owner
    gc.collect()
    assert not any(CLAIMED.values())


def test_a_model_on_several_gpus_takes_of_each_what_it_has(cards: Cards) -> None:
    cards(7.5, 23.5)
    owner = nn.Linear(1, 1)
    reserve(owner, 29.4 * GB, place("m", lambda: ModelSize(0, int(10.5 * GB)), "bf16", "auto"))
    assert sum(card.room for card in gpus()) == pytest.approx(1.6 * GB, abs=2)
    with pytest.raises(InputError, match=r"but 1\.6 GB of 2 GPUs are free"):
        place("m", lambda: ModelSize(0, int(2.3 * GB)), "bf16", "auto")


def test_the_machine_s_memory_is_reserved_too(cards: Cards, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cards()
    monkeypatch.setattr(placement, "read_memory", lambda: (None, 10**7))  # one of them needs 5.6 MB, the other 9.6
    asker = HF(Options(model="scenes:t5", prompt="scenes"), Context())
    answerer = Blip2(TransformersOptions(model="scenes:blip2"), Context(images=tmp_path))
    answerer.ready()
    answerer.close()
    with pytest.raises(InputError, match=r"needs about 0\.0056 GB in fp32 .*, but 0\.00\d+ GB of memory are free"):
        asker.ready()
    assert not (tmp_path / "run.run").exists()


@pytest.mark.parametrize("word", ["nonsense", "cuda:x", "meta", "disk", ""])
def test_a_device_map_that_is_none_is_refused_when_a_player_is_built(word: str) -> None:
    for build in (
        lambda: HF(Options(model="scenes:t5", precision="fp32", device_map=word), Context()),
        lambda: Blip2Model(Blip2Options(model="scenes:blip2", precision="fp32", device_map=word), Context()),
    ):
        with pytest.raises(InputError, match=f"^device_map={word}: must be auto, balanced, "):
            build()


@pytest.mark.parametrize(
    ("said", "error", "told"),
    [
        (
            RuntimeError("CUDA out of memory. Tried 2 GiB"),
            InputError,
            "not enough memory to load it .*: use another",
        ),
        (MemoryError(), InputError, r"not enough memory to load it \(MemoryError\): use another device, a lower prec"),
        (OSError(12, "Cannot allocate memory"), InputError, "not enough memory to load it .*: use another device, a"),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), StoppedRunError, "the GPU failed"),
        (RuntimeError("no such file"), InputError, "cannot be loaded: no such file"),
    ],
)
def test_an_error_of_loading_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, said: Exception, error: type[Exception], told: str
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise said

    monkeypatch.setattr(transformers.AutoModelForSeq2SeqLM, "from_pretrained", fails)
    with pytest.raises(error, match=told):
        HF(Options(model="scenes:t5", prompt="scenes"), Context()).ask([Dialog("a.png", "a big red heart")])


@pytest.mark.parametrize("precision", ["8bit", "4bit"])
def test_layers_that_are_not_quantized_are_fp16_on_a_gpu_without_bf16(
    cards: Cards, loads: list[dict[str, Any]], precision: Precision
) -> None:
    cards(16, capability=(7, 5))
    options = LocalOptions(model="scenes:t5", precision=precision)
    load_model(options.model, None, precision, options.device_map)
    assert loads[0]["dtype"] == torch.float16
    assert precision == "8bit" or loads[0]["quantization_config"].bnb_4bit_compute_dtype == torch.float16


def test_a_retriever_takes_the_gpu_that_is_freest_when_it_is_first_used(cards: Cards) -> None:
    cards((25, 24), (25, 20))
    retriever = CLIP(ClipOptions(model="scenes:clip"), Context())
    cards((25, 9), (25, 20))
    assert retriever.device == "cuda:1"
    cards((25, 24), (25, 20))
    assert retriever.device == "cuda:1", "and stays there"
    assert CLIP(ClipOptions(model="scenes:clip", device="cuda:0"), Context()).device == "cuda:0"


def test_devices_by_their_words(cards: Cards) -> None:
    cards((25, 9), (25, 20))
    assert [chosen_device(word) for word in ("auto", "cuda", "cuda:0", "cpu")] == ["cuda:1", "cuda", "cuda:0", "cpu"]
    assert [checked_device(word) for word in ("auto", "cuda:1", "cpu")] == ["cuda", "cuda", "cpu"]
    with pytest.raises(InputError, match="device=cuda:2: there is no such device, of CUDA's there are 2"):
        checked_device("cuda:2")
    cards()
    assert (chosen_device("auto"), checked_device("auto")) == ("cpu", "cpu")
