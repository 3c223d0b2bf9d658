"""A model at hand: replies in order whatever the batches, chats as the model's template has them, and every limit."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from models import tiny_models
from pydantic import ValidationError

from chatir.errors import InputError
from chatir.models.builtin import checkpoints
from chatir.models.completion import Completion, Request
from chatir.models.local import text_model
from chatir.models.local.batches import AHEAD
from chatir.models.local.generation import Generated, Generator
from chatir.models.local.text_model import LocalModel, LocalOptions
from chatir.models.reply_cache import ReplyCache
from chatir.plugins import Context
from chatir.prompts import Message

WORDS = ("a", "big", "red", "heart", "blue", "star", "center", "is", "there", "yes", "in", "the", "question", "?")
Calls = list[list[str]]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "llama": tiny_models.causal(folder / "llama"),
        "gpt2": tiny_models.causal(folder / "gpt2", kind="gpt2", room=64),
        "t5": tiny_models.t5(folder / "t5"),
        "built-in t5": checkpoints()["t5"],
        "chat": tiny_models.causal(folder / "chat", chat_template=tiny_models.CHATML),
        "no system": tiny_models.causal(folder / "no system", chat_template=tiny_models.NO_SYSTEM),
        "in turns": tiny_models.causal(folder / "in turns", chat_template=tiny_models.IN_TURNS),
    }


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The texts of each batch that a model is given."""
    seen: Calls = []
    generate = Generator.generate

    def watched(self: Generator, texts: Sequence[str], *args: Any, **kwargs: Any) -> list[Generated]:
        seen.append(list(texts))
        return generate(self, texts, *args, **kwargs)

    monkeypatch.setattr(Generator, "generate", watched)
    return seen


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ReplyCache]:
    opened = ReplyCache(tmp_path / "replies.sqlite")
    yield opened
    opened.close()


def made(folder: Path, context: Context | None = None, **options: Any) -> LocalModel:
    return LocalModel.of(LocalOptions(model=str(folder), precision="fp32", **options), context or Context())


def requests(count: int, longest: int = 40) -> list[Request]:
    rng = random.Random(0)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(1, longest))) for _ in range(count)]
    return [Request((Message("user", text),), seed) for seed, text in enumerate(texts)]


def request(text: str, **more: Any) -> Request:
    return Request((Message("user", text),), **more)


@pytest.mark.parametrize("name", ["llama", "t5", "built-in t5"])
@pytest.mark.parametrize("decode", ["greedy", "sample", "first-unasked"])
def test_the_size_and_order_of_batches_change_nothing(folders: dict[str, Path], name: str, decode: str) -> None:
    asked, options = requests(20), {"decode": decode, "max_tokens": 8, "beams": 3}
    model = made(folders[name], batch_size=1, **options)
    expected = model.complete(asked)
    assert all(completion.failure is None for completion in expected)
    for size in (3, 16):
        assert made(folders[name], batch_size=size, **options).complete(asked) == expected
    order = random.Random(1).sample(range(20), 20)
    shuffled = made(folders[name], batch_size=16, **options).complete([asked[n] for n in order])
    assert shuffled == [expected[n] for n in order]


def test_batches_hold_requests_of_like_length_longest_first(folders: dict[str, Path], calls: Calls) -> None:
    model, asked = made(folders["llama"], batch_size=4, max_tokens=2), requests(15)
    assert model.batch_size == AHEAD * 4
    model.complete(asked)
    lengths = [model._generator.lengths(batch) for batch in calls]
    assert [len(batch) for batch in lengths] == [4, 4, 4, 3]
    flat = [length for batch in lengths for length in batch]
    assert flat == sorted(flat, reverse=True)


@pytest.mark.parametrize(("batch_size", "at_once"), [(7, 2), (3, 1), (2, 1)])
def test_each_beam_of_a_search_counts_as_a_text_of_the_batch(
    folders: dict[str, Path], calls: Calls, batch_size: int, at_once: int
) -> None:
    asked, options = requests(5), {"decode": "first-unasked", "beams": 3, "max_tokens": 4}
    expected = [made(folders["t5"], batch_size=99, **options).complete([each])[0] for each in asked]
    calls.clear()
    model = made(folders["t5"], batch_size=batch_size, **options)
    assert model.batch_size == AHEAD * at_once
    assert model.complete(asked) == expected
    assert {len(batch) for batch in calls[:-1]} == {at_once}


def test_no_requests_load_no_model(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_model, "load_model", never)
    assert made(folders["llama"]).complete([]) == []


def never(*_: object, **__: object) -> Any:
    raise AssertionError("the model is loaded")


def test_requests_of_other_lengths_and_endings_get_them(folders: dict[str, Path]) -> None:
    model = made(folders["llama"], batch_size=8, max_tokens=24)
    asked = [replace(each, max_tokens=n, whole=whole) for n in (None, 3, 9) for whole in (False, True)
             for each in requests(6)]  # fmt: skip
    together = model.complete(asked)
    assert together == [model.complete([each])[0] for each in asked]
    for each, completion in zip(asked, together, strict=True):
        assert completion.tokens_out is not None
        assert completion.tokens_out <= (each.max_tokens or 24)
        assert each.whole or "\n" not in (completion.text or "").strip()
    assert any("\n" in (c.text or "").strip() for r, c in zip(asked, together, strict=True) if r.whole)


def test_others_are_given_back_by_a_search_only(folders: dict[str, Path]) -> None:
    asked = requests(3)
    (beams, greedy) = (made(folders["t5"], decode=decode, beams=5).complete(asked) for decode in
                       ("first-unasked", "greedy"))  # fmt: skip
    assert [len(completion.others) for completion in beams] == [4, 4, 4]
    assert [completion.others for completion in greedy] == [(), (), ()]


def test_the_model_is_loaded_once_and_its_loading_told(folders: dict[str, Path]) -> None:
    told: list[str] = []
    model = made(folders["llama"], Context(progress=told.append))
    assert told == []
    model.complete(requests(2))
    model.complete(requests(2))
    assert told == ["loading llama (fp32)"]
    assert model.cost(1, 1) is None  # type: ignore[func-returns-value]


# Chats

SYSTEM, USER, ASSISTANT = Message("system", "be brief"), Message("user", "a star"), Message("assistant", "is it red?")


def chat(*messages: Message) -> Request:
    return Request(messages)


@pytest.mark.parametrize(("option", "used"), [("auto", True), ("on", True), ("off", False)])
def test_a_chat_template_is_used_unless_told_otherwise(
    folders: dict[str, Path], calls: Calls, option: str, used: bool
) -> None:
    model = made(folders["chat"], chat=option)
    assert model.chats == model.identity["chats"] == used
    model.complete([chat(SYSTEM, USER)])
    templated = "<s><|system|>\nbe brief\n<|user|>\na star\n<|assistant|>\n"
    assert calls == [[templated if used else "be brief\n\na star"]]


@pytest.mark.parametrize("option", ["auto", "off"])
def test_a_model_without_a_chat_template_goes_on_with_a_text(
    folders: dict[str, Path], calls: Calls, option: str
) -> None:
    model = made(folders["llama"], chat=option)
    assert not model.chats
    model.complete([chat(USER)])
    assert calls == [["a star"]]


def test_a_chat_without_a_template_is_an_error_before_anything_is_loaded(folders: dict[str, Path]) -> None:
    with pytest.raises(InputError, match=r"llama: has no chat template: use chat=off$"):
        made(folders["llama"], chat="on")


def test_no_special_token_is_doubled(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    rows: list[torch.Tensor] = []
    for name in ("chat", "llama"):
        model = made(folders[name])
        generate = model._generator.model.generate

        def watched(generate: Any = generate, **kwargs: Any) -> Any:
            rows.append(kwargs["input_ids"])
            return generate(**kwargs)

        monkeypatch.setattr(model._generator.model, "generate", watched)
        (completion,) = model.complete([chat(USER)])
        assert completion.tokens_in == rows[-1].shape[1]
    assert [int((row == 2).sum()) for row in rows] == [1, 1]
    assert [int(row[0, 0]) for row in rows] == [2, 2]


@pytest.mark.parametrize(
    ("name", "messages", "shown"),
    [
        ("no system", (SYSTEM, USER), "<|user|>\nbe brief\n\na star\n<|assistant|>\n"),
        ("no system", (SYSTEM, USER, ASSISTANT, USER),
         "<|user|>\nbe brief\n\na star\n<|assistant|>\nis it red?\n<|user|>\na star\n<|assistant|>\n"),
        ("no system", (SYSTEM,), "<|user|>\nbe brief\n<|assistant|>\n"),
        ("in turns", (SYSTEM, ASSISTANT, USER),
         "<|user|>\nbe brief\n<|assistant|>\nis it red?\n<|user|>\na star\n<|assistant|>\n"),
        ("in turns", (USER,), "<|user|>\na star\n<|assistant|>\n"),
    ],
)  # fmt: skip
def test_a_template_without_system_messages_gets_them_before_what_the_user_says(
    folders: dict[str, Path], calls: Calls, name: str, messages: tuple[Message, ...], shown: str
) -> None:
    made(folders[name]).complete([chat(*messages)])
    assert calls == [["<s>" + shown]]


def test_a_template_that_tells_the_date_tells_the_same_one_every_day(tmp_path: Path) -> None:
    dated = "{{ strftime_now('%d %B %Y %H:%M:%S.%f') }}{% for m in messages %} {{ m.content }}{% endfor %}"
    folder = tiny_models.causal(tmp_path / "dated", chat_template=dated)
    model = LocalModel.of(LocalOptions(model=str(folder)), Context())
    assert model._text([Message("user", "what is it")], model._generator.tokenizer) == "26 Jul 2024 what is it"


@pytest.mark.parametrize("messages", [(USER, USER), (SYSTEM, USER, USER), (ASSISTANT,)])
def test_a_prompt_that_a_template_refuses_is_told_in_one_line(
    folders: dict[str, Path], messages: tuple[Message, ...]
) -> None:
    with pytest.raises(InputError, match=r"^model in turns: its chat template refuses the prompt: .*, or chat=off$"):
        made(folders["in turns"]).complete([chat(*messages)])


def test_a_model_that_chats_stops_only_after_a_question(folders: dict[str, Path]) -> None:
    asked = requests(24)
    lines, questions = (made(folders[name], max_tokens=32).complete(asked) for name in ("llama", "chat"))
    for completion in lines:
        assert "\n" not in (completion.text or "").strip()
    texts = [completion.text or "" for completion in questions]
    assert any("\n" in text.partition("?")[0].strip() for text in texts), "a line without a question goes before"
    assert all(text.partition("?")[2].partition("\n")[2] == "" for text in texts)
    assert any("?" in text and text.endswith("\n") for text in texts)


# Limits


@pytest.fixture
def memory_for(monkeypatch: pytest.MonkeyPatch, calls: Calls) -> Callable[..., None]:
    """The memory ends above so many rows, or for texts that hold a word."""
    import torch

    generate = Generator.generate

    def limit(rows: int, word: str = "\0", error: Exception | None = None) -> None:
        def limited(self: Generator, texts: Sequence[str], *args: Any, **kwargs: Any) -> list[Generated]:
            if len(texts) > rows or any(word in text for text in texts):
                calls.append(list(texts))
                raise error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return generate(self, texts, *args, **kwargs)

        monkeypatch.setattr(Generator, "generate", limited)

    return limit


@pytest.mark.parametrize(
    "error",
    [None, MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")],
)
def test_where_memory_ends_batches_are_halved_and_replies_stay(
    folders: dict[str, Path], calls: Calls, memory_for: Callable[..., None], error: Exception | None
) -> None:
    asked = requests(20)
    expected = made(folders["t5"], batch_size=8, max_tokens=6).complete(asked)
    calls.clear()
    told: list[str] = []
    memory_for(5, error=error)
    model = made(folders["t5"], Context(progress=told.append), batch_size=8, max_tokens=6)
    assert model.complete(asked) == expected
    assert [len(batch) for batch in calls] == [8, 8, 4, 4, 4, 4, 4]
    assert model.complete(asked) == expected
    assert {len(batch) for batch in calls[7:]} == {4}
    assert told == ["loading t5 (fp32)", "t5: out of memory; 4 at once for now"]


def test_halving_goes_on_until_it_fits(folders: dict[str, Path], calls: Calls, memory_for: Callable[..., None]) -> None:
    memory_for(1)
    assert all(completion.text for completion in made(folders["t5"], batch_size=8, max_tokens=6).complete(requests(9)))
    assert [len(batch) for batch in calls] == [8, 8, 4, 4, 2, 2] + [1] * 9


def test_a_request_for_which_there_is_no_memory_fails_alone(
    folders: dict[str, Path], memory_for: Callable[..., None], cache: ReplyCache
) -> None:
    asked = requests(6)
    asked[2] = request("a huge circle")
    expected = made(folders["t5"]).complete(asked)
    memory_for(4, word="huge")
    completions = made(folders["t5"], Context(cache=cache)).complete(asked)
    failure = completions[2].failure
    assert failure is not None
    assert failure.kind == "out_of_memory"
    assert [completions[n] for n in (0, 1, 3, 4, 5)] == [expected[n] for n in (0, 1, 3, 4, 5)]
    assert sum(model.replies for model in cache.models()) == 5, "a failure is not kept"


def test_another_error_of_the_model_is_not_hidden(folders: dict[str, Path], memory_for: Callable[..., None]) -> None:
    memory_for(0, error=RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        made(folders["t5"]).complete(requests(2))


def test_a_prompt_that_is_too_long_fails_alone(folders: dict[str, Path], calls: Calls) -> None:
    model = made(folders["gpt2"], max_tokens=24)
    asked = [*requests(4, longest=5), request("a" * 39), request("a" * 40), request("b" * 400)]
    completions = model.complete(asked)
    assert [completion.failure for completion in completions[:5]] == [None] * 5, "40 tokens and 24 are 64"
    for tokens, completion in zip((41, 401), completions[5:], strict=True):
        failure = completion.failure
        assert failure is not None
        assert failure.kind == "context_overflow"
        assert failure.message == f"the prompt has {tokens} tokens; with 24 new ones that is over the model's 64"
    assert sum(map(len, calls)) == 5
    assert model.complete([replace(asked[5], max_tokens=23)])[0].failure is None
    assert model.complete([asked[6]])[0].failure == completions[6].failure


def test_a_t5_reads_prompts_of_any_length(folders: dict[str, Path]) -> None:
    (completion,) = made(folders["t5"], max_tokens=4).complete([request("b" * 2000)])
    assert completion.tokens_in == 2001
    assert completion.failure is None


def test_an_encoder_with_so_many_positions_bounds_the_prompt(tmp_path: Path) -> None:
    from transformers import BartConfig, BartForConditionalGeneration

    words = tiny_models.tokenizer(bos=False)
    size = {"d_model": 64, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
    ids = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2, "decoder_start_token_id": 1}
    config = BartConfig(vocab_size=len(words), max_position_embeddings=32, **size, **ids)
    BartForConditionalGeneration(config).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    short, long = made(tmp_path, max_tokens=24).complete([request("a" * 31), request("a" * 32)])
    assert short.failure is None
    assert long.failure is not None
    assert (long.failure.kind, long.failure.message) == (
        "context_overflow",
        "the prompt has 33 tokens; the model reads 32",
    )


@pytest.mark.parametrize(
    ("option", "value"),
    [("temperature", 0), ("top_p", 0), ("top_p", 1.1), ("beams", 1), ("max_tokens", 0), ("batch_size", 0),
     ("decode", "beam"), ("precision", "int8"), ("chat", "yes")],
)  # fmt: skip
def test_options_out_of_bounds_are_refused(option: str, value: object) -> None:
    with pytest.raises(ValidationError):
        LocalOptions.model_validate({"model": "x", option: value})


# The reply cache


@pytest.mark.parametrize("decode", ["greedy", "sample", "first-unasked"])
def test_what_is_cached_needs_no_model(
    folders: dict[str, Path], cache: ReplyCache, decode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, options = requests(5), {"decode": decode, "beams": 3}
    first = made(folders["llama"], Context(cache=cache), **options).complete(asked)
    monkeypatch.setattr(text_model, "load_model", never)
    second = made(folders["llama"], Context(cache=cache), batch_size=2, **options)
    assert second.complete(asked) == first == second.complete(asked)
    assert [type(completion) for completion in second.complete(asked)] == [Completion] * 5


def test_only_what_is_not_cached_is_generated_and_the_order_stays(
    folders: dict[str, Path], cache: ReplyCache, calls: Calls
) -> None:
    asked = requests(8)
    expected = made(folders["llama"]).complete(asked)
    model = made(folders["llama"], Context(cache=cache))
    model.complete(asked[1::2])
    calls.clear()
    assert model.complete(asked) == expected
    assert sorted(text for batch in calls for text in batch) == sorted(each.messages[0].content for each in asked[::2])


def test_a_moved_folder_of_the_same_name_is_the_same_model(
    folders: dict[str, Path], cache: ReplyCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = made(folders["llama"], Context(cache=cache)).complete(requests(2))
    shutil.copytree(folders["llama"], tmp_path / "llama")
    monkeypatch.setattr(text_model, "load_model", never)
    assert made(tmp_path / "llama", Context(cache=cache)).complete(requests(2)) == first


BASE = {"decode": "sample", "temperature": 1.5, "max_tokens": 8}


@pytest.mark.parametrize(
    "other",
    [{"decode": "greedy"}, {"decode": "first-unasked"}, {"temperature": 1.6}, {"top_p": 0.9}, {"max_tokens": 9},
     {"chat": "off"}, {"precision": "bf16"}],
)  # fmt: skip
def test_other_options_are_other_replies(folders: dict[str, Path], cache: ReplyCache, calls: Calls, other: Any) -> None:
    for options in ({}, other):
        LocalModel.of(
            LocalOptions(model=str(folders["chat"]), **{"precision": "fp32", **BASE, **options}), Context(cache=cache)
        ).complete([chat(USER)])
    assert len(calls) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 8},
        {"max_tokens": 5},
        {"whole": True},
        {"messages": (Message("user", "a  star"),)},
        {"messages": (Message("system", "a star"),)},
        {"messages": (SYSTEM, USER)},
    ],
)
def test_other_requests_are_other_replies(
    folders: dict[str, Path], cache: ReplyCache, calls: Calls, other: dict[str, Any]
) -> None:
    model = made(folders["chat"], Context(cache=cache), **BASE)
    asked = request("a star", seed=7)
    model.complete([asked])
    model.complete([replace(asked, **other)])
    assert len(calls) == 2
    model.complete([asked, replace(asked, **other)])
    assert len(calls) == 2


@pytest.mark.parametrize(("decode", "generated"), [("sample", 2), ("greedy", 1), ("first-unasked", 1)])
def test_a_seed_matters_to_chance_only(
    folders: dict[str, Path], cache: ReplyCache, calls: Calls, decode: str, generated: int
) -> None:
    model = made(folders["llama"], Context(cache=cache), decode=decode)
    for seed in (1, 2):
        model.complete([request("a star", seed=seed)])
    assert len(calls) == generated


def test_another_model_under_the_same_name_is_another(
    folders: dict[str, Path], cache: ReplyCache, calls: Calls, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(folders["llama"], tmp_path / "llama"))
    for weights in (None, "generation_config.json"):
        if weights is not None:
            (copy / weights).write_text((copy / weights).read_text() + "\n")
        made(copy, Context(cache=cache)).complete([request("a star")])
    made(folders["gpt2"], Context(cache=cache)).complete([request("a star")])
    assert len(calls) == 3


def test_the_identity_names_all_that_fixes_a_completion(folders: dict[str, Path]) -> None:
    model = made(folders["llama"], decode="sample", top_p=0.9, temperature=2.0, max_tokens=7)
    told = model.identity
    assert len(told.pop("sha256")) == 64
    assert told == {"id": "llama", "precision": "fp32", "decode": "sample", "temperature": 2.0, "top_p": 0.9,
                    "max_tokens": 7, "chats": False}  # fmt: skip
    assert "temperature" not in made(folders["llama"]).identity
    assert made(folders["llama"], decode="first-unasked", beams=3).identity["beams"] == 3
