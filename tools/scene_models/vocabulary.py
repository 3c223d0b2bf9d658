"""The words of the small world and the tokenizers made of them."""

from __future__ import annotations

import re

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from chatir.datasets.scenes.language import KINDS, QUESTIONS, wordings
from chatir.datasets.scenes.people import CAPTIONS_OF_MORE, CAPTIONS_OF_ONE, LONGER, TONES
from chatir.datasets.scenes.world import BACKGROUNDS, COLORS, PLACES, SHAPES, SIZES
from chatir.dialog import Dialog, Round
from tools.scene_models.texts import ANSWER_PROMPT, QUESTION_PROMPT

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
IMAGE = "<image>"
START = "<s>"
OF_ANSWERS = "a there is no nothing"


def words() -> list[str]:
    """Every word and mark that is said in the small world or stands in its prompts, sorted."""
    asked = [text for question in QUESTIONS for text in wordings(question)]
    told = [*CAPTIONS_OF_ONE, *CAPTIONS_OF_MORE, *TONES.values(), *LONGER, *LONGER.values()]
    named = [*SHAPES, *COLORS, *SIZES, *PLACES, *BACKGROUNDS, OF_ANSWERS]
    prompts = [ANSWER_PROMPT, QUESTION_PROMPT.render(Dialog("", "", (Round("?", ""),)))]
    unseen = [text for kind in KINDS.values() for text in kind.unseen_wordings]
    known = set(re.findall(r"\w+|[?:,]", " ".join([*asked, *told, *named, *prompts]).lower()))
    new = set(re.findall(r"\w+", " ".join(unseen))) - known
    if new:
        raise ValueError(f"wordings kept from training hold words that no training sees: {', '.join(sorted(new))}")
    return sorted(known)


def text_to_text_tokenizer(image_token: bool = False) -> PreTrainedTokenizerFast:
    """For a T5: whole words, lower case, each text closed by `</s>`; with `<image>` for BLIP-2's pictures."""
    special = [PAD, END, UNKNOWN, *([IMAGE] if image_token else [])]
    tokenizer = _tokenizer(special, f"$A {END}", [END])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, unk_token=UNKNOWN, model_max_length=512
    )


def clip_tokenizer(longest: int) -> PreTrainedTokenizerFast:
    """For a CLIP: whole words, lower case, between `<s>` and `</s>`.

    `</s>` must not have the number 2: CLIP then pools where the highest number stands, as its first weights did.
    """
    tokenizer = _tokenizer([PAD, UNKNOWN, START, END], f"{START} $A {END}", [START, END])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNKNOWN,
        bos_token=START,
        eos_token=END,
        model_max_length=longest,
    )


def _tokenizer(special: list[str], single: str, ends: list[str]) -> Tokenizer:
    numbers = {word: number for number, word in enumerate([*special, *words()])}
    tokenizer = Tokenizer(models.WordLevel(numbers, UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece(cleanup=True)  # no space before a mark
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=[(token, numbers[token]) for token in ends]
    )
    tokenizer.add_special_tokens(special)
    return tokenizer
