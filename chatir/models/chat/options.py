"""How an endpoint is asked: the options that every player with a chat endpoint has."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

OWN_FIELDS = frozenset(
    {"model", "messages", "temperature", "max_tokens", "max_completion_tokens", "seed", "stream", "n", "best_of"}
)
"""Fields of a request that options fill in, and fields that would change the shape of a reply."""
AUTO = "auto"
_SECRET = re.compile(r"key|token|secret|passw|signature|credential|\b(?:code|sig|auth)\b", re.IGNORECASE)
"""Names of query parameters that hold secrets; the query is recorded."""
_SECRET_FIELD = re.compile(r"api_?key|secret|passw|authorization|access_?token", re.IGNORECASE)
"""Names of fields that hold secrets; other keys and tokens, as `prompt_cache_key`, are ordinary fields."""


def _further_fields(value: Any) -> Any:
    """Parse the option `extra`, JSON text or an object."""
    try:
        fields = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError('must be a JSON object, as {"top_k": 3}') from None
    if isinstance(fields, dict) and (own := OWN_FIELDS & fields.keys()):
        raise ValueError(f"{', '.join(sorted(own))} cannot be set here")
    for name in fields if isinstance(fields, dict) else ():
        if _SECRET_FIELD.search(name):
            raise ValueError(f"{name} looks like a secret, and extra is recorded; keys go into the environment")
    return fields


def _field_name(value: str) -> str:
    if not value.isidentifier() or value in OWN_FIELDS - {"max_tokens", "max_completion_tokens"}:
        raise ValueError("must be the name of a field for the length, as max_completion_tokens")
    return value


def _query(value: Any) -> Any:
    """Parse the option `query`: `a=1&b=2`, JSON text, or a mapping."""
    try:
        if isinstance(value, str):
            value = json.loads(value) if value.startswith("{") else dict(parse_qsl(value, strict_parsing=bool(value)))
    except ValueError:
        raise ValueError("must be name=value, as api-version=2024-10-21; several are joined by &") from None
    for name in value if isinstance(value, dict) else ():
        if _SECRET.search(str(name)):
            raise ValueError(f"{name} looks like a secret, and the query is recorded; keys go into the environment")
    return value


class ChatOptions(BaseModel):
    """An endpoint and how it is asked.

    - `model`: its name there
    - `base_url`: of the API, `OPENAI_BASE_URL` or OpenAI's own unless given
    - `temperature`: None leaves it to the server
    - `max_tokens`: new ones per reply
    - `seed`: `run` derives one for each request from the run's, `none` sends none, a number is sent with every request
    - `tokens_field`: the field that holds `max_tokens`; `auto`: `max_completion_tokens` for OpenAI, else `max_tokens`
    - `system`: `merge` puts the system message into the user's first message, `keep` sends it as it is
    - `alternate`: whether consecutive messages of one role are joined, and the user always speaks first
    - `query`: parameters of the URL, as `api-version=2024-10-21`
    - `extra`: further fields of the request, a JSON object
    - `concurrency`: requests in flight, at most; `requests_per_minute`: None for no limit
    - `timeout`: seconds for one attempt
    - `key_env`: the environment variable that holds the key; None: `OPENAI_API_KEY`, which is sent to OpenAI only
    - `price_in`, `price_out`: US dollars per million tokens, for what the price list lacks

    Where a server refuses `tokens_field`, `temperature`, `seed`, `system` or `alternate`, the endpoint changes it.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)
    model: str = Field(min_length=1)
    base_url: str | None = None
    temperature: float | None = Field(default=0.0, ge=0, le=2)
    max_tokens: int = Field(default=64, ge=1)
    seed: Literal["run", "none"] | Annotated[int, Field(ge=0, lt=2**63)] = "run"
    tokens_field: Annotated[str, AfterValidator(_field_name)] = AUTO
    system: Literal["keep", "merge"] = "keep"
    alternate: bool = False
    query: Annotated[dict[str, str], BeforeValidator(_query)] = {}
    extra: Annotated[dict[str, Any], BeforeValidator(_further_fields)] = {}
    concurrency: int = Field(default=16, ge=1)
    requests_per_minute: float | None = Field(default=None, gt=0)
    timeout: float = Field(default=60, gt=0)
    key_env: str | None = None
    price_in: float | None = Field(default=None, ge=0)
    price_out: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> ChatOptions:
        if (self.price_in is None) != (self.price_out is None):
            raise ValueError("price_in and price_out go together")
        if self.tokens_field in self.extra:
            raise ValueError(f"{self.tokens_field} is set by max_tokens, and cannot be in extra too")
        return self

    @property
    def identity(self) -> dict[str, Any]:
        """What of the options determines a completion. Options that version 0.1 lacked are named only where set."""
        recorded = {name: getattr(self, name) for name in ("model", "temperature", "max_tokens", "seed", "extra")}
        later = {"tokens_field": AUTO, "system": "keep", "alternate": False, "query": {}}
        changed = {name: getattr(self, name) for name, default in later.items() if getattr(self, name) != default}
        return recorded | changed
