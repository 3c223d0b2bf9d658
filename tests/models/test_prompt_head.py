"""The shared beginning of prompts is read once, and changes nothing but the speed."""

from __future__ import annotations

import random
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from models import tiny_models

from chatir.models.local import prompt_head
from chatir.models.local.generation import Decode, Decoding, Ending, Generator
from chatir.models.local.loading import Loaded, load_model
from chatir.models.local.prompt_head import SHORTEST, PromptHead, common_beginning

HEAD = "Caption: a big red heart and a small blue star?\nQuestion: is there a circle?\nAnswer: yes, in the center\n" * 2
WORDS = ("big", "red", "heart", "blue", "star", "center", "there", "yes", "circle", "question")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Loaded]:
    folder = tmp_path_factory.mktemp("models")
    kinds = {kind: tiny_models.causal(folder / kind, kind=kind) for kind in ("llama", "gpt2")}
    kinds["t5"] = tiny_models.t5(folder / "t5")
    return {kind: load_model(str(path), None, "fp32", "cpu") for kind, path in kinds.items()}


def prompts(count: int) -> list[str]:
    rng = random.Random(1)
    return [HEAD + " ".join(rng.choices(WORDS, k=rng.randint(1, 30))) for _ in range(count)]


class Reading:
    """Counts the tokens that a model reads."""

    def __init__(self, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tokens = 0
        forward = model.forward

        @wraps(forward)  # transformers looks at its parameters
        def counted(*arguments: Any, **named: Any) -> Any:
            self.tokens += named["input_ids"].numel()
            return forward(*arguments, **named)

        monkeypatch.setattr(model, "forward", counted)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("decode", ["greedy", "sample"])
@pytest.mark.parametrize("ending", ["line", "text"])
def test_the_same_texts_come_with_a_head_and_without(
    models: dict[str, Loaded], kind: str, decode: Decode, ending: Ending, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, seeds = prompts(24), list(range(24))
    plain = Generator(models[kind], Decoding(decode)).generate(texts, seeds, 12, ending)
    generator = Generator(models[kind], Decoding(decode))
    generator.share_head([HEAD + "red", HEAD + "yes"])
    read = Reading(models[kind].model, monkeypatch)
    assert generator.generate(texts, seeds, 12, ending) == plain
    whole = sum(generator.lengths(texts))
    assert read.tokens < whole, "the head was not read again with each text"
    alone = [generator.generate([text], [seed], 12, ending)[0] for text, seed in zip(texts, seeds, strict=True)]
    assert alone == plain


def test_texts_that_begin_otherwise_are_read_whole(models: dict[str, Loaded]) -> None:
    texts = [*prompts(5), "is there a star?", HEAD[:-10]]
    plain = Generator(models["llama"], Decoding()).generate(texts, [0] * 7, 12, "text")
    generator = Generator(models["llama"], Decoding())
    generator.share_head(prompts(2))
    assert generator.generate(texts, [0] * 7, 12, "text") == plain
    assert generator.generate([HEAD], [0], 12, "text") == Generator(models["llama"], Decoding()).generate(
        [HEAD], [0], 12, "text"
    )


@pytest.mark.parametrize("kind", ["t5", "llama"])
def test_encoder_decoders_and_beams_do_without(models: dict[str, Loaded], kind: str) -> None:
    decoding = Decoding("first-unasked" if kind == "llama" else "greedy", beams=3)
    plain = Generator(models[kind], decoding).generate(prompts(4), [0] * 4, 8, "text")
    generator = Generator(models[kind], decoding)
    generator.share_head(prompts(2))
    assert generator.generate(prompts(4), [0] * 4, 8, "text") == plain


def test_a_head_is_the_same_whatever_was_read_before(models: dict[str, Loaded]) -> None:
    generator = Generator(models["llama"], Decoding())
    generator.share_head(prompts(2))
    first = generator.generate(prompts(3), [0] * 3, 12, "text")
    generator.generate(prompts(24), [0] * 24, 12, "text")
    assert generator.generate(prompts(3), [0] * 3, 12, "text") == first


def test_a_model_that_keeps_only_a_window_reads_each_prompt_whole(tmp_path: Path) -> None:
    from transformers import MistralConfig, MistralForCausalLM

    config = MistralConfig(
        vocab_size=32, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, sliding_window=8,
    )  # fmt: skip
    head = PromptHead(MistralForCausalLM(config).eval(), list(range(3, 30)), list(range(3, 31)))
    assert not head.begins([list(range(3, 32))])
    assert head.unusable == "its cache does not hold the keys and values of all tokens"


def test_a_model_that_keeps_no_keys_and_values_reads_each_prompt_whole() -> None:
    from transformers import MambaConfig, MambaForCausalLM

    config = MambaConfig(vocab_size=32, hidden_size=32, state_size=8, num_hidden_layers=2)
    head = PromptHead(MambaForCausalLM(config).eval(), list(range(3, 30)), list(range(3, 31)))
    assert not head.begins([list(range(3, 32))])
    assert head.unusable == "its cache does not hold the keys and values of all tokens"


def test_positions_that_count_from_the_left_edge_are_counted_as_ever() -> None:
    """MPT's attention weighs distances between columns, so that padding must not stand between a head and its row."""
    import torch
    from transformers import MptConfig, MptForCausalLM

    torch.manual_seed(0)
    model = MptForCausalLM(MptConfig(vocab_size=32, d_model=32, n_heads=2, n_layers=2, expansion_ratio=2)).eval()
    rows = [[*range(3, 28), *row] for row in ([5], [6, 7, 8], [9, 4, 3, 7, 5, 6], [8] * 40)]
    longest = max(map(len, rows))
    head = PromptHead(model, list(range(3, 28)), rows[1])
    assert head.begins(rows)
    with torch.inference_mode():
        given = head.batch(rows, 0, "cpu")
        plain = model(input_ids=given["input_ids"], attention_mask=given["attention_mask"]).logits[:, -1]
        given["input_ids"] = given["input_ids"][:, 25:]
        headed = model(**given).logits[:, -1]
    assert given["attention_mask"].shape[1] == longest
    assert torch.allclose(plain, headed, atol=1e-4)


def test_a_head_that_changes_what_follows_is_not_used(
    models: dict[str, Loaded], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = list(range(4, 4 + SHORTEST))
    read = prompt_head._read

    def spoiled(model: Any, tokens: list[int]) -> Any:
        return read(model, tokens[::-1])

    monkeypatch.setattr(prompt_head, "_read", spoiled)
    head = PromptHead(models["llama"].model, tokens, [*tokens, 5])
    assert not head.begins([[*tokens, 5]])
    assert head.unusable == "it continues a prompt differently when its beginning is cached"


def test_a_beginning_is_as_long_as_all_agree() -> None:
    assert common_beginning([[1, 2, 3, 4], [1, 2, 5], [1, 2, 3]]) == [1, 2]
    assert common_beginning([[1, 2], [1, 2]]) == [1, 2]
    assert common_beginning([[1], [2]]) == []


def test_a_short_head_is_not_worth_it(models: dict[str, Loaded]) -> None:
    short = list(range(4, 4 + SHORTEST - 1))
    assert not PromptHead(models["llama"].model, short, [*short, 5]).begins([[*short, 5]])
    long = [*short, 9]
    head = PromptHead(models["llama"].model, long, [*long, 7])
    assert head.begins([[*long, 5]])
    assert not head.begins([[*long, 5], long])
