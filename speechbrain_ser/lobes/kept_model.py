"""How a speech model is kept: its checkpoint, and as transformers writes it."""

import torch

from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain_ser.lobes.ssl_source import write_model
from speechbrain_ser.utils.errors import InputError

# Of the prefix's digest in a checkpoint.
PREFIX = "prefix_sha256"


@register_checkpoint_hooks
class KeptModel:
    """What `speech_model.SpeechModel` writes and reads.

    With a frozen prefix a checkpoint holds what is trained alone, and the
    prefix's digest: the rest comes from the source.
    """

    def export(self, folder):
        """Writes the model, up to its layer, as transformers would.

        Arguments
        ---------
        folder : str
            Whole or not there; replaced if it is. It can be the `source` of
            another encoder.

        Raises
        ------
        InputError
            If layers are weighted: the format has no place for the weights.
        """
        if self.weighted:
            raise InputError(
                "transformers' format has no place for the weights of layers: "
                "export an encoder with weighted False"
            )
        self.export_blocks(folder)

    def export_blocks(self, folder):
        """Writes the same but for the weights of layers, if there are any."""
        write_model(folder, self.model, self.feature_extractor, self.layer)

    @mark_as_saver
    def save(self, path):
        """Saves what is trained, as a state dict."""
        state = self.state_dict()
        if self.has_prefix:
            trained = {
                name for name, p in self.named_parameters() if p.requires_grad
            }
            state = {name: state[name] for name in trained}
            state[PREFIX] = self._prefix_bytes()
        torch.save(state, path)

    @mark_as_loader
    def load(self, path, end_of_epoch):
        """Loads what `save` saved.

        Raises
        ------
        InputError
            If it was trained on another frozen prefix.
        """
        del end_of_epoch
        state = torch.load(path, map_location="cpu", weights_only=True)
        prefix = state.pop(PREFIX, None)
        if self.has_prefix:
            if prefix is None or not prefix.equal(self._prefix_bytes()):
                raise InputError(
                    f"the blocks in {path} were trained behind other frozen "
                    f"weights than those of {self.source}: give the source that "
                    "they were trained with"
                )
            state = self.state_dict() | state
        self.load_state_dict(state)

    def _prefix_bytes(self):
        """Returns the prefix's digest as a tensor, computed once."""
        if self._digest is None:
            self._digest = self.prefix_digest()
        return torch.frombuffer(
            bytearray.fromhex(self._digest), dtype=torch.uint8
        )
