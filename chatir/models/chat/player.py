"""What every player with a chat endpoint shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chatir.models.chat.endpoint import ChatEndpoint


class EndpointPlayer:
    """A player whose replies come from `model`, a chat endpoint: it declares what the endpoint does."""

    model: ChatEndpoint

    @property
    def concurrency(self) -> int:
        """Requests in flight, at most."""
        return self.model.concurrency

    def ready(self) -> None:
        """Raise InputError, before a run starts, if a key is missing or no client can be built."""
        self.model.ready()

    @property
    def adapted(self) -> dict[str, Any]:
        """Options that the server's refusals have changed, by name."""
        return self.model.adapted

    def adapt(self, changes: Mapping[str, Any]) -> None:
        """Change options as an earlier session of the run had to."""
        self.model.adapt(changes)

    @property
    def provenance(self) -> dict[str, Any]:
        """For the record: the models that replies named, and unknown finish reasons."""
        return self.model.provenance

    async def close(self) -> None:
        """Close the connections."""
        await self.model.close()
