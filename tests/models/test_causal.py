"""Continuing prompts in batches: a tiny Llama with a real tokenizer, made here."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tokenizers import Regex, Tokenizer  # noqa: E402
from tokenizers.models import WordLevel  # noqa: E402
from tokenizers.pre_tokenizers import Split  # noqa: E402
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast  # noqa: E402

from chatir.models.causal import CausalModel  # noqa: E402

WORDS = ["<end>", "<unk>", "\n", " ", "is", "it", "red", "blue", "?", "Question", ":", "a", "cat", "what", "dog", "big"]


@pytest.fixture(scope="module")
def model() -> CausalModel:
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Split(Regex(r"\w+|\s|[^\w\s]"), "isolated")
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(WORDS), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64, bos_token_id=None, eos_token_id=0, initializer_range=0.4,
    )  # fmt: skip
    return CausalModel(LlamaForCausalLM(config), PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>"))


PROMPTS = ["a cat", "is it red ? a big dog \n Question :", "what", "\n\n a cat is it a dog ?", "blue blue blue"] + [
    " ".join(WORDS[4 + (n * k) % 12] for k in range(1, 3 + n)) for n in range(12)
]


def test_a_prompt_is_continued_alike_alone_and_in_a_batch_of_longer_ones(model: CausalModel) -> None:
    together = model.complete_line(PROMPTS, 12)
    alone = [model.complete_line([prompt], 12)[0] for prompt in PROMPTS]
    assert together == alone
    assert len({line.text for line in together}) > 3, "the model says different things"


def test_a_continuation_ends_with_its_line(model: CausalModel) -> None:
    lines = model.complete_line(PROMPTS, 30)
    ended = [line.text for line in lines if "\n" in line.text.strip(" ").rstrip("\n") or line.text.endswith("\n")]
    assert ended, "some line ends before the tokens do"
    for line in lines:
        after = line.text.lstrip().partition("\n")[2]
        assert not after, f"nothing is generated after the line's end: {line.text!r}"


def test_tokens_are_counted_without_padding(model: CausalModel) -> None:
    short, long = model.complete_line(["a", "a a a a a"], 3)
    assert (short.tokens_in, long.tokens_in) == (1, 9)
    assert 1 <= short.tokens_out <= 3


def test_a_prompt_without_room_is_an_error_with_the_lengths(model: CausalModel) -> None:
    with pytest.raises(ValueError, match="the prompt has 79 tokens; with 12 new ones that is over the model's 64"):
        model.complete_line(["a " * 39 + "a"], 12)
