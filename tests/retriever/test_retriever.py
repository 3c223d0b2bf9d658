"""What a retriever must be, and what the room gives to those who import it."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

import chatir.retriever
from chatir.errors import InputError
from chatir.retriever import load_retriever
from chatir.retriever.retriever import Identity, checked_retriever


class Vectors:
    def encode_dialogs(self, dialogs: object) -> None: ...
    def encode_images(self, images: object) -> None: ...


def test_all_names_that_the_room_gives_are_no_modules() -> None:
    code = "import chatir.retriever as r; exec(f'from chatir.retriever import {\",\".join(r.__all__)}'); print(top_k)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.startswith("<function top_k"), done.stderr
    assert not any(isinstance(getattr(chatir.retriever, name), ModuleType) for name in chatir.retriever.__all__)
    with pytest.raises(AttributeError, match="no attribute 'topk'"):
        chatir.retriever.topk  # noqa: B018


def test_the_measures_need_no_torch() -> None:
    code = "import sys, chatir.measures.retrieval; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("lack", ["encode_dialogs", "encode_images"])
def test_what_lacks_a_method_is_no_retriever(lack: str) -> None:
    half = type("Half", (), {name: method for name, method in vars(Vectors).items() if name != lack})
    with pytest.raises(InputError, match=rf"Half has no method {lack}\(\)"):
        checked_retriever(half())


def test_a_retriever_that_does_not_tell_what_it_is_is_refused() -> None:
    with pytest.raises(InputError, match="Vectors: declares no config"):
        Identity.of(checked_retriever(Vectors()))


@pytest.mark.parametrize("attribute", ["name", "config", "image_config"])
def test_what_a_retriever_fails_to_tell_of_itself_is_named(attribute: str) -> None:
    def fails(self: object) -> None:
        raise RuntimeError("no luck")

    retriever = type("Unlucky", (Vectors,), {"config": {}} | {attribute: property(fails)})()
    with pytest.raises(InputError, match=f"Unlucky: its {attribute} cannot be had: RuntimeError: no luck"):
        Identity.of(checked_retriever(retriever))


def test_a_config_is_plain_data() -> None:
    retriever = checked_retriever(Vectors())
    retriever.config = {"model": object()}
    with pytest.raises(InputError, match="Vectors: config must be plain data"):
        Identity.of(retriever)


def test_image_vectors_depend_on_the_whole_config_unless_it_is_told_apart() -> None:
    retriever = checked_retriever(Vectors())
    retriever.config = {"model": "m", "separator": ", "}
    assert Identity.of(retriever).image_config == retriever.config
    retriever.image_config = {"model": "m"}
    assert Identity.of(retriever) == Identity("Vectors", retriever.config, {"model": "m"})


def test_a_retriever_is_built_by_name() -> None:
    with pytest.raises(InputError, match="did you mean 'siglip'"):
        load_retriever("siglib")
