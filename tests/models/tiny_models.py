"""Makes folders of tiny, untrained language models with real tokenizers, as `from_pretrained` loads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CHATML = (
    "{{ bos_token }}{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML
)
IN_TURNS = (  # as Gemma's
    "{% for message in messages %}{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/...') }}{% endif %}{% endfor %}" + CHATML
)
TEXT = "Caption: a big red heart and a small blue star?\nQuestion: is there a circle?\nAnswer: yes, in the center\n" * 4


def tokenizer(*, bos: bool, chat_template: str | None = None, size: int = 96) -> Any:
    """A byte-level tokenizer with a token for a new line; texts begin with <s>, or else end with </s>."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    letters = "abcdefghijklmnopqrstuvwxyzACQ .,:|<>\n?"
    made.train_from_iterator(
        [TEXT, letters], trainers.BpeTrainer(vocab_size=size, special_tokens=["<pad>", "</s>", "<s>", "<unk>"])
    )
    single = "<s> $A" if bos else "$A </s>"
    made.post_processor = processors.TemplateProcessing(single=single, special_tokens=[("</s>", 1), ("<s>", 2)])
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>" if bos else None, **names)
    fast.chat_template = chat_template
    return fast


def causal(folder: Path, *, kind: str = "llama", chat_template: str | None = None, room: int = 1024) -> Path:
    """A decoder that ends some of its lines, and some of its texts; a "mistral" looks back eight tokens only."""
    from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, MistralConfig

    words = tokenizer(bos=True, chat_template=chat_template)
    size, ids = len(words), {"bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0}
    if kind == "gpt2":
        model: Any = _seeded(
            GPT2LMHeadModel,
            GPT2Config(
                vocab_size=size, n_positions=room, n_embd=64, n_layer=2, n_head=2, tie_word_embeddings=False, **ids
            ),
            words,
        )
    else:
        sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
        more = {"vocab_size": size, "max_position_embeddings": room, "tie_word_embeddings": False, **sizes, **ids}
        window = {"num_key_value_heads": 2, "sliding_window": 8}
        config = MistralConfig(**more, **window) if kind == "mistral" else LlamaConfig(**more)
        model = _seeded(AutoModelForCausalLM.from_config, config, words)
    return _saved(folder, model, words)


def t5(folder: Path) -> Path:
    """An encoder-decoder that ends some of its lines, and some of its texts."""
    from transformers import T5Config, T5ForConditionalGeneration

    words = tokenizer(bos=False)
    config = T5Config(
        vocab_size=len(words), d_model=64, d_kv=32, d_ff=128, num_layers=2, num_heads=2, feed_forward_proj="gated-gelu",
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1, tie_word_embeddings=False,
    )  # fmt: skip
    return _saved(folder, _seeded(T5ForConditionalGeneration, config, words), words)


def _seeded(kind: Any, config: Any, words: Any) -> Any:
    """Weights large enough for the next token to hang on all before it; a line, a question or a text ends soon."""
    import torch

    torch.manual_seed(0)
    model = kind(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 2:
                weight.normal_(0, 0.7 if any(part in name for part in ("embed", "shared", "wte", "wpe")) else 0.35)
        ends = words.convert_tokens_to_ids(["</s>", "?", "\u010a"])  # the last is the new line, in bytes' letters
        model.get_output_embeddings().weight[ends] *= 2
    return model


def _saved(folder: Path, model: Any, words: Any) -> Path:
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
