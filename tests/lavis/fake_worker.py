"""A worker without LAVIS that speaks its protocol, and dies, hangs or talks nonsense when it is told to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

images: set[str] = set()
forgetful = True


def answered(texts: list[str]) -> dict[str, object]:
    global forgetful
    for text in texts:
        marker = Path(__file__ + ".died")
        if "die once" in text and marker.exists():
            marker.unlink()
        elif "die" in text:
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if "hang" in text:
            time.sleep(600)
        if "fail" in text:
            raise ValueError("cannot say")
        if "large" in text and len(texts) > 1:
            raise MemoryError("out of memory")
        if "forget" in text and forgetful:
            forgetful = False
            images.clear()
    return {}


def reply(request: dict[str, object]) -> dict[str, object]:
    match request.pop("op"):
        case "about":
            cards = int(os.environ.get("FAKE_GPUS", "0"))
            return {"python": "3", "cuda": cards, "lavis": "1.0.2", "torch": "2", "transformers": "4"}
        case "check":
            config = Path(__file__).with_suffix(".yaml")
            config.touch()
            return {"config": str(config)}
        case "load":
            if Path(__file__ + ".unloadable").exists():
                sys.exit("no room to load it")
            device = str(request["device"]).replace("auto", "cpu")
            return {"device": device, "gpu": None if device == "cpu" else "a card"}
        case "encode":
            images.difference_update(request["drop"])
            images.update(image["key"] for image in request["images"])
        case "answer":
            items = request["items"]
            answered([item["text"] for item in items])
            if missing := [item["key"] for item in items if item["key"] not in images]:
                return {"missing": missing}
            if items[0]["text"] == "how?":
                return {"answers": [{"text": json.dumps(request)}], "seconds": 0.0}
            return {"answers": [{"text": f" {item['key']} {item['text']} "} for item in items], "seconds": 0.0}
        case "echo":
            return request
        case "where":
            named = {"path": "PYTHONPATH", "allocator": "PYTORCH_CUDA_ALLOC_CONF"}
            known = {key: os.environ.get(name) for key, name in named.items()}
            return {"pid": os.getpid(), "session": os.getsid(0), **known}
        case "exit":
            print("spoke before", "the last words", sep="\n", file=sys.stderr, flush=True)
            sys.exit(3)
        case "child":
            return {"pid": subprocess.Popen(["sleep", "600"]).pid}
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "noise":
            for _ in range(100_000):
                print("a library says much about nothing", file=sys.stderr)
        case "garble":
            print("not JSON", flush=True)
        case "halve":
            print('{"result": {', flush=True)
            os._exit(0)
    return {}


for line in sys.stdin:
    asked = json.loads(line)
    with Path(__file__ + ".log").open("a") as log:
        log.write(f"{asked['op']} {asked.get('precision', len(asked.get('images', asked.get('items', ()))))}\n")
    try:
        told: dict[str, object] = {"result": reply(asked)}
    except MemoryError as error:
        told = {"error": {"kind": "out_of_memory", "message": str(error)}}
    except ValueError as error:
        told = {"error": {"kind": "failed", "message": str(error)}}
    print(json.dumps(told), flush=True)
