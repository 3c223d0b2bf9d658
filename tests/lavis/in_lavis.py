"""Run by the Python that has LAVIS: the worker's parts against LAVIS's own `predict_answers`. Prints JSON.

Arguments: the worker's script, the plugin, and a JSON file with a list of [picture, text].
"""

from __future__ import annotations

import base64
import importlib.util
import json
import sys
from pathlib import Path

WORKER, PLUGIN, LOOKS = sys.argv[1:]
DECODINGS = (
    {"num_beams": 5, "length_penalty": -1.0, "max_len": 10, "min_len": 1},
    {"num_beams": 1, "length_penalty": -1.0, "max_len": 10, "min_len": 1},
    {"num_beams": 5, "length_penalty": 2.0, "max_len": 10, "min_len": 1},
    {"num_beams": 3, "length_penalty": -1.0, "max_len": 2, "min_len": 1},
)
VAGUE = ("where?", "star heart?", "what is there in the big?", "")
"""Texts whose answer hangs on how it is searched for."""


def rgb(path: str) -> str:
    return base64.b64encode(Image.open(path).convert("RGB").tobytes()).decode()


spec = importlib.util.spec_from_file_location("worker", WORKER)
module = importlib.util.module_from_spec(spec)
sys.modules["worker"] = module
spec.loader.exec_module(module)
worker = module.Worker()
worker.load("small_blip2_t5", "scenes", "fp32", PLUGIN)

import torch  # noqa: E402 - after what the worker does before it
from PIL import Image  # noqa: E402

looks = json.loads(Path(LOOKS).read_text())
told = {"own": [], "same": []}
vague = [[path, text] for path in sorted({path for path, _ in looks}) for text in VAGUE]
texts = [text for _, text in looks + vague]
pixels = torch.stack([worker._prepare(Image.open(path).convert("RGB")) for path, _ in looks + vague])
model = worker._model.model
for decoding in DECODINGS:
    with torch.no_grad():
        own = model.predict_answers({"image": pixels, "text_input": list(texts)}, **decoding)
        seen = torch.cat([worker._model.encode(each[None]) for each in pixels])
        split = worker._model.answer(seen, list(texts), decoding)
    told["same"].append(sum(own[place] == each["text"] for place, each in enumerate(split)))
    told["own"].append(own)
    told["cut"] = sum(each["cut"] for each in split)
    told["tokens"] = sorted({(each["tokens_in"], each["tokens_out"]) for each in split})

worker.load("small_blip2_t5", "scenes", "8bit", PLUGIN.replace("small_lavis", "empty"))
layers = [(name, layer) for name, layer in worker._model.model.t5_model.named_modules() if hasattr(layer, "weight")]
told["8bit"] = {name: str(layer.weight.dtype) for name, layer in layers if type(layer).__name__ == "Linear8bitLt"}
told["linear"] = sorted({name.rpartition(".")[2] for name, layer in layers if type(layer).__name__ == "Linear"})
images = [{"key": path, "width": 192, "height": 192, "rgb": rgb(path)} for path in sorted({path for path, _ in looks})]
worker.encode(images, [])
reply = worker.answer([{"key": path, "text": text} for path, text in looks], **DECODINGS[0])
told["8bit answers"] = [answer["text"] for answer in reply["answers"]]
worker.encode(images[2:3], [images[0]["key"], "never seen"])
told["missing"] = worker.answer([{"key": each["key"], "text": "x"} for each in images[:2]], **DECODINGS[0])
told["dropped"] = {"missing": [images[0]["key"]]}
print(json.dumps(told))
