"""Makes a folder with a tiny LLaVA that has learned, within a second or two, to name the color that it is shown."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from models.tiny_models import tokenizer
from PIL import Image

COLORS = {"red": (200, 30, 30), "green": (30, 160, 30), "blue": (30, 30, 200)}
CHAT = (
    "{% for message in messages %}{{ message.role }}: {% for part in message.content %}"
    "{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}{% endfor %}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
LESSONS, PUPILS = 80, 8
ASKED = "\nAnswer the question using a single word or phrase."


def llava(folder: Path) -> Path:
    """Save the model and its processor."""
    import torch
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    torch.manual_seed(0)
    processor = _processor()
    words = processor.tokenizer
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    ids = {"bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(image_size=32, patch_size=16, projection_dim=32, **sizes),
        text_config=LlamaConfig(vocab_size=len(words), tie_word_embeddings=False, **sizes, **ids),
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )
    model = LlavaForConditionalGeneration(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    dice = random.Random(0)
    for _ in range(LESSONS):
        inputs = _lesson(processor, dice)
        model(**inputs).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _processor() -> Any:
    from transformers import CLIPImageProcessorPil, LlavaProcessor

    words = tokenizer(bos=True)
    words.add_special_tokens({"additional_special_tokens": ["<image>"]})
    images = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return LlavaProcessor(
        image_processor=images, tokenizer=words, patch_size=16, vision_feature_select_strategy="default",
        chat_template=CHAT, num_additional_image_tokens=1,
    )  # fmt: skip


def _lesson(processor: Any, dice: random.Random) -> Any:
    """Some images of colors like those above, each with a question and the answer that is to be learned."""
    names = dice.choices(list(COLORS), k=PUPILS)
    images = [Image.new("RGB", (40, 40), tuple(part + dice.randint(-15, 15) for part in COLORS[n])) for n in names]
    asked = [dice.choice(["what color is it?", "is it red?", f"what is color number {n}?"]) for n in range(PUPILS)]
    parts = [[{"type": "image"}, {"type": "text", "text": question + ASKED}] for question in asked]
    chats = [[{"role": "user", "content": content}] for content in parts]
    prompts = processor.apply_chat_template(chats, add_generation_prompt=True)
    texts = [f"{prompt} {name}</s>" for prompt, name in zip(prompts, names, strict=True)]
    inputs = processor(text=texts, images=images, return_tensors="pt", padding=True, padding_side="left")
    labels = inputs["input_ids"].clone()
    for row, name in enumerate(names):
        answer = len(processor.tokenizer(f" {name}</s>", add_special_tokens=False)["input_ids"])
        labels[row, :-answer] = -100
    inputs["labels"] = labels
    return inputs
