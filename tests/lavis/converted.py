"""Writes the built-in small BLIP-2 as LAVIS loads one: transformers' own conversion, reversed."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file

from chatir.models.builtin import checkpoints

PLUGIN = Path(__file__).with_name("small_lavis.py")

RENAMED = (
    (r"^vision_model\.embeddings\.class_embedding$", "visual_encoder.cls_token"),
    (r"^vision_model\.embeddings\.position_embedding$", "visual_encoder.pos_embed"),
    (r"^vision_model\.embeddings\.patch_embedding\.", "visual_encoder.patch_embed.proj."),
    (r"^vision_model\.post_layernorm\.", "ln_vision."),
    (r"^vision_model\.encoder\.layers\.", "visual_encoder.blocks."),
    (r"\.layer_norm(\d)\.", r".norm\1."),
    (r"\.self_attn\.projection\.", ".attn.proj."),
    (r"\.self_attn\.", ".attn."),
    (r"^qformer\.layernorm\.", "Qformer.bert.embeddings.LayerNorm."),
    (r"^qformer\.", "Qformer.bert."),
    (r"attention\.attention\.", "attention.self."),
    (r"^language_projection\.", "t5_proj."),
    (r"^language_model\.", "t5_model."),
)


def renamed(name: str) -> str:
    if name.startswith("language_model."):
        return name.replace("language_model.", "t5_model.", 1)
    for pattern, new in RENAMED:
        name = re.sub(pattern, new, name)
    return name


def write_for_lavis(folder: Path) -> Path:
    """Write the weights and all that `small_lavis.py` reads into `folder`; the path of the plugin there."""
    source = checkpoints()["blip2"]
    config = json.loads((source / "config.json").read_text())
    weights: dict[str, torch.Tensor] = {}
    for name, value in load_file(source / "model.safetensors").items():
        value = value.float()
        if name.endswith("self_attn.qkv.bias"):
            q, _, v = value.chunk(3)
            prefix = renamed(name.removesuffix("qkv.bias"))
            # LAVIS's vision has no bias of the keys: the same for all of them, it changes no attention.
            weights |= {f"{prefix}q_bias": q, f"{prefix}v_bias": v}
        else:
            weights[renamed(name)] = value
    t5 = {name.removeprefix("t5_model."): value for name, value in weights.items() if name.startswith("t5_model.")}
    # The older transformers scales the decoder's output where the embeddings are tied; this model was trained without.
    t5["lm_head.weight"] = t5["shared.weight"]
    t5 |= {f"{part}.embed_tokens.weight": t5["shared.weight"] for part in ("encoder", "decoder")}
    weights |= {f"t5_model.{name}": value for name, value in t5.items()}

    (folder / "t5").mkdir(parents=True)
    torch.save({"model": weights}, folder / "weights.pth")
    torch.save(t5, folder / "t5" / "pytorch_model.bin")
    text = config["text_config"] | {"tie_word_embeddings": False, "architectures": ["T5ForConditionalGeneration"]}
    (folder / "t5" / "config.json").write_text(json.dumps(text))
    shutil.copy(source / "tokenizer.json", folder / "t5")
    kept = {"tokenizer_class": "T5TokenizerFast", "extra_ids": 0, "pad_token": "<pad>", "eos_token": "</s>"}
    (folder / "t5" / "tokenizer_config.json").write_text(json.dumps(kept | {"unk_token": "<unk>"}))
    sizes = {"vision": config["vision_config"], "qformer": _qformer(config), "t5_act": text["dense_act_fn"]}
    (folder / "sizes.json").write_text(json.dumps(sizes))
    size = config["vision_config"]["image_size"]
    (folder / "model.yaml").write_text(f"""
model:
  image_size: {size}
  load_finetuned: False
  pretrained: "{folder / "weights.pth"}"
  vit_precision: "fp32"
  num_query_token: {config["num_query_tokens"]}
  t5_model: "{folder / "t5"}"
preprocess:
  vis_processor:
    eval:
      name: "blip_image_eval"
      image_size: {size}
""")
    return Path(shutil.copy(PLUGIN, folder))


def _qformer(config: dict[str, dict[str, object]]) -> dict[str, object]:
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "layer_norm_eps")
    return {name: config["qformer_config"][name] for name in names}
