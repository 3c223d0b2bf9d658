"""What every player with a model in this process, or in a worker, shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatir.plugins import Free

if TYPE_CHECKING:
    from chatir.models.local.text_model import LocalModel
    from chatir.models.local.vision_model import LookingModel


class LocalPlayer(Free):
    """A player whose replies come from `model`, which is loaded here: it declares what the model does."""

    model: LocalModel | LookingModel

    @property
    def batch_size(self) -> int:
        """Dialogs a call, at most: more than the model's own batches, so that they can be sorted by length."""
        return self.model.batch_size

    def ready(self) -> None:
        """Raise InputError, before a run starts, if there is not enough memory for the model."""
        self.model.ready()

    @property
    def provenance(self) -> dict[str, Any]:
        """For the record: the device that the model is on, or that of each of its parts, once it is loaded."""
        return self.model.provenance
