"""What a player with a model lacks on machines of all sizes."""

from __future__ import annotations

import pytest

from chatir.answerers.blip2 import Options as Blip2
from chatir.answerers.blip2_lavis import Options as Lavis
from chatir.commands.doctoring.machine import Machine, Torch
from chatir.commands.doctoring.models import Lack, chat_lacks, lavis_lacks, model_lacks, takes_any
from chatir.models.hardware.devices import Gpu
from chatir.questioners.chatgpt import Options as ChatGPT
from chatir.questioners.flan import FlanT5XXLOptions
from chatir.questioners.hf import Options as AnyModel
from chatir.retriever.encoders.clip import CLIP
from chatir.retriever.encoders.clip import Options as Clip
from chatir.retriever.encoders.siglip import Options as Siglip
from chatir.retriever.encoders.siglip import SigLIP


def laptop(gigabytes: float) -> Machine:
    return Machine("3.11", "Linux", 8, int(gigabytes * 1e9), int(gigabytes * 1e9), False, Torch("2.8.0+cpu"))


def with_gpu(*gigabytes: float) -> Machine:
    cards = tuple(Gpu("a card", int(size * 1e9), int(size * 1e9), "8.9") for size in gigabytes)
    return Machine("3.11", "Linux", 8, int(64e9), int(60e9), True, Torch("2.8.0", "12.8", cards))


@pytest.fixture
def cached(monkeypatch: pytest.MonkeyPatch) -> None:
    """All weights are in the hub's cache."""
    monkeypatch.setattr("chatir.commands.doctoring.models.cached", lambda model, **_: "whole")


@pytest.mark.usefixtures("cached")
def test_the_largest_blip2_runs_in_8_bit_on_a_card_of_24_gb_and_not_on_one_of_16() -> None:
    assert model_lacks(Blip2(), None, with_gpu(24), "-a") == []
    (lack,) = model_lacks(Blip2(), None, with_gpu(16), "-a")
    assert lack.blocks
    assert "about 20 GB of the GPU's memory (Salesforce/blip2-flan-t5-xxl in 8bit); 16 GB are free" in lack.told
    assert lack.mends == (
        "-a precision=4bit",
        "-a model=Salesforce/blip2-flan-t5-xl",
        "-a model=scenes:blip2",
    )


@pytest.mark.usefixtures("cached")
def test_without_a_gpu_blip2_names_what_runs_instead() -> None:
    (lack,) = model_lacks(Blip2(), None, laptop(12), "-a")
    assert lack.blocks
    assert "without a GPU" in lack.told
    assert lack.mends == ("-a model=Salesforce/blip2-flan-t5-xl -a precision=8bit", "-a model=scenes:blip2")
    (lack,) = model_lacks(Blip2(), None, laptop(30), "-a")
    assert [each for each in lack.mends if "precision" in each] == ["-a precision=8bit"], "and no coarser one"
    (lack,) = model_lacks(Blip2(), None, laptop(2), "-a")
    assert lack.mends == ("-a model=scenes:blip2",)
    (lack,) = model_lacks(Blip2(), None, laptop(500), "-a")
    assert not lack.blocks
    assert lack.told == "slow without a GPU"
    assert "-a model=scenes:blip2" in lack.mends


@pytest.mark.usefixtures("cached")
def test_flan_xxl_names_the_finest_precision_that_fits() -> None:
    assert model_lacks(FlanT5XXLOptions(), None, with_gpu(80), "-q") == []
    assert model_lacks(FlanT5XXLOptions(), None, with_gpu(24), "-q") == [], "in 8-bit"
    (lack,) = model_lacks(FlanT5XXLOptions(precision="bf16"), None, with_gpu(24), "-q")
    assert lack.mends == ("-q precision=8bit", "-q model=google/flan-t5-xl")


@pytest.mark.usefixtures("cached")
def test_a_retriever_has_the_freest_gpu_alone_and_a_player_all_of_them() -> None:
    here = with_gpu(0.6, 0.6)
    (lack,) = model_lacks(Clip(precision="fp32"), CLIP, here, "-r")
    assert "about 0.8 GB of the GPU's memory" in lack.told
    assert model_lacks(Blip2(model="Salesforce/blip2-flan-t5-xl"), None, with_gpu(6, 6), "-a") == []


def test_lavis_has_the_freest_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatir.commands.doctoring.models.lavis_python", lambda python: python)
    assert lavis_lacks(Lavis(), with_gpu(24), "-a") == []
    (lack,) = lavis_lacks(Lavis(), with_gpu(16, 16), "-a")
    assert lack.told == "about 20 GB of the GPU's memory (8bit); 16 GB are free"
    assert lack.mends[0] == "-a model_type=pretrain_flant5xl"
    assert lavis_lacks(Lavis(device="cpu"), with_gpu(16), "-a") == []


def test_weights_that_are_not_there_are_told_with_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatir.commands.doctoring.models.cached", lambda model, **_: "partly")
    (lack,) = model_lacks(Clip(), CLIP, laptop(8), "-r")
    assert lack.told == "openai/clip-vit-base-patch16, a download of 0.3 to 0.6 GB or more"
    assert lack.mends[1:] == ("-r model=scenes:clip",)
    (lack,) = model_lacks(Siglip(), SigLIP, laptop(8), "-r")
    assert len(lack.mends) == 1, "the built-in CLIP is no SigLIP"


def test_a_player_without_a_model_of_its_own_takes_any() -> None:
    assert takes_any(AnyModel, "-q") == Lack(
        "takes any model, a small one is built in",
        ("-q model=NAME", "-q model=scenes:t5 -q prompt=scenes"),
        blocks=False,
    )


@pytest.mark.usefixtures("quick_retries")
def test_an_endpoint_wants_a_key_or_a_server_of_one_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    (lack,) = chat_lacks(ChatGPT(), "-q")
    assert lack.blocks
    assert lack.mends[0] == "export OPENAI_API_KEY=..."
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    (remark,) = chat_lacks(ChatGPT(), "-q")
    assert not remark.blocks
    assert remark.told.startswith("asks 127.0.0.1:9 for gpt-4o-mini")
    monkeypatch.delenv("OPENAI_BASE_URL")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-nobody-at-all")
    assert not chat_lacks(ChatGPT(), "-q")[0].blocks
    monkeypatch.setenv("OPENAI_BASE_URL", "http://me:correct-horse@127.0.0.1:9/v1")
    (lack,) = chat_lacks(ChatGPT(), "-q")
    assert lack.blocks
    assert "horse" not in str(lack)


def test_lavis_needs_its_environment_and_the_memory_to_load(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATIR_DATA", str(tmp_path))
    absent, memory = lavis_lacks(Lavis(), laptop(20), "-a")
    assert absent.mends == ("chatir lavis install",)
    assert memory.mends == ("-a model_type=pretrain_flant5xl",)
    assert Lavis.model_fields["model_type"].default == "pretrain_flant5xxl"
    assert len(lavis_lacks(Lavis(), laptop(64), "-a")) == 1
