"""The frozen blocks of SSL models: frozen, named, gone on from."""

import copy

import pytest
import torch

from conftest import save_ssl_model
from speechbrain_ser.lobes.ssl import SSLEncoder
from speechbrain_ser.lobes.ssl_prefix import frozen_blocks
from speechbrain_ser.utils.errors import InputError
from tests.lobes.helpers import KINDS, padded, without_dropout


@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("kind", KINDS)
def test_going_on_from_the_prefix_is_the_whole_pass(tmp_path, kind, norm, wavs):
    """Output and gradients, also in bf16 and with checkpointing."""
    save_ssl_model(tmp_path, kind, norm)
    for setting in ({}, {"gradient_checkpointing": True}):
        encoder = SSLEncoder(
            str(tmp_path), "unused", layer=2, frozen_layers=1, **setting
        )
        without_dropout(encoder).train()
        kept, lengths = encoder.prefix(*padded(wavs))
        assert not kept.requires_grad
        found = []
        for given in (padded(wavs), (kept, lengths), (kept.double(), lengths)):
            frames, counts = encoder(*given)
            assert torch.equal(counts, lengths)
            (frames**3).sum().backward()
            gradients = [
                p.grad for p in encoder.parameters() if p.requires_grad
            ]
            found.append([frames, *gradients])
            encoder.zero_grad(set_to_none=True)
        for one, other, third in zip(*found):
            assert torch.equal(one, other)
            assert torch.equal(one, third)
        with torch.autocast("cpu", torch.bfloat16):
            rounded, _ = encoder(kept.half(), lengths)
        (rounded.float() ** 3).sum().backward()
        torch.testing.assert_close(
            rounded.float(), found[1][0], atol=0.1, rtol=0.05
        )


def test_padded_frames_change_nothing(layer_norm_model, wavs):
    """Nonsense behind the end of the prefix's frames is not attended to."""
    encoder = SSLEncoder(layer_norm_model, "unused", frozen_layers=1).eval()
    kept, lengths = encoder.prefix(*padded(wavs[2:]))
    behind = torch.full((1, 7, encoder.dim), 99.0)
    longer = torch.cat([kept, behind], dim=1)
    shorter = lengths * kept.shape[1] / longer.shape[1]
    with torch.no_grad():
        alone, _ = encoder(kept, lengths)
        found, counts = encoder(longer, shorter)
    torch.testing.assert_close(found[:, : kept.shape[1]], alone)
    assert float(counts * longer.shape[1]) == pytest.approx(kept.shape[1])


def test_digest_knows_all_that_decides_the_prefix(tmp_path):
    """One weight, the depth, the norm of waveforms, an epsilon; not more."""

    def make(**setting):
        """An encoder of the same folder."""
        return SSLEncoder(str(tmp_path), "unused", **setting)

    save_ssl_model(tmp_path)
    encoder = make(frozen_layers=1)
    digest = encoder.prefix_digest()
    assert len(digest) == 64
    assert make(frozen_layers=1).train().prefix_digest() == digest
    assert make(frozen_layers=1, layer=2).prefix_digest() == digest
    assert make(layer=1, frozen=True).prefix_digest() == digest
    last = encoder.model.encoder.layers[1].final_layer_norm.bias
    with torch.no_grad():
        last.add_(1)
    assert encoder.prefix_digest() == digest
    others = {make(frozen_layers=2).prefix_digest()}
    for part in (
        encoder.model.encoder.layers[0].final_layer_norm.bias,
        encoder.model.encoder.layer_norm.weight,
        encoder.model.encoder.pos_conv_embed.conv.bias,
        encoder.model.feature_extractor.conv_layers[0].conv.weight,
    ):
        with torch.no_grad():
            part.view(-1)[0].add_(1e-3)
        others.add(encoder.prefix_digest())
    encoder.model.config.layer_norm_eps = 0.1
    others.add(encoder.prefix_digest())
    encoder.normalize_wav = True
    others.add(encoder.prefix_digest())
    assert len(others | {digest}) == 8


def test_without_frozen_blocks_there_is_no_prefix(small_wav2vec2):
    """Each way to ask for it says what to do."""
    encoder = SSLEncoder(small_wav2vec2, save_path="unused")
    for ask in (
        encoder.prefix_digest,
        lambda: encoder.prefix(torch.randn(1, 4000), torch.ones(1)),
        lambda: encoder(torch.randn(1, 9, 32), torch.ones(1)),
    ):
        with pytest.raises(InputError, match="freeze blocks"):
            ask()


def test_frozen_blocks_of_a_setting():
    """The table of the paper."""
    found = [frozen_blocks(19, word) for word in ("none", "last1", "last2")]
    assert found == [19, 18, 17]
    with pytest.raises(InputError, match="none, last1, last2"):
        frozen_blocks(19, "all")
    with pytest.raises(InputError, match="1 blocks"):
        frozen_blocks(1, "last2")


def test_frozen_stays_frozen_in_train_mode(small_wav2vec2, wavs):
    """Eval mode, no gradient, and two passes of one input are equal."""
    encoder = SSLEncoder(small_wav2vec2, save_path="unused", frozen=True)
    encoder.train()
    assert not any(m.training for m in encoder.model.modules())
    first, _ = encoder(*padded(wavs))
    assert not first.requires_grad
    assert torch.equal(first, encoder(*padded(wavs))[0])


def test_frozen_prefix_changes_not_a_bit(small_wav2vec2, wavs):
    """After a step the first block is what it was, the second is not."""
    encoder = SSLEncoder(small_wav2vec2, save_path="unused", frozen_layers=1)
    encoder.train()
    before = copy.deepcopy(encoder.state_dict())
    step = torch.optim.SGD(
        [p for p in encoder.parameters() if p.requires_grad], lr=0.1
    )
    # the sum of a layer-normed output has no gradient
    (encoder(*padded(wavs))[0] ** 3).sum().backward()
    step.step()
    changed = {
        name.split("layers.")[1][0] if "encoder.layers" in name else name
        for name, value in encoder.state_dict().items()
        if not torch.equal(value, before[name])
    }
    # the norm in front of the first block is as frozen as the block
    assert changed == {"1", "2"}
    assert not encoder.model.encoder.layers[0].training
    assert encoder.model.encoder.layers[1].training


def test_checkpoint_holds_what_is_trained(small_wav2vec2, tmp_path):
    """And loads only behind the frozen weights that it was trained with."""
    encoder = SSLEncoder(small_wav2vec2, "unused", frozen_layers=2)
    with torch.no_grad():
        for parameter in encoder.model.encoder.layers[2].parameters():
            parameter.add_(1.0)
    path = tmp_path / "encoder.ckpt"
    encoder.save(path)
    held = torch.load(path, weights_only=True)
    names = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert held.keys() == names | {"prefix_sha256"}
    fresh = SSLEncoder(small_wav2vec2, "unused", frozen_layers=2)
    fresh.load(path, end_of_epoch=True)
    for name, value in encoder.state_dict().items():
        assert value.equal(fresh.state_dict()[name]), name
    other = SSLEncoder(small_wav2vec2, "unused", frozen_layers=2)
    with torch.no_grad():
        other.model.encoder.layers[0].attention.k_proj.weight[0, 0] += 1
    with pytest.raises(InputError, match="other frozen weights"):
        other.load(path, end_of_epoch=True)
    whole = SSLEncoder(small_wav2vec2, "unused")
    whole.save(path)
    assert (
        torch.load(path, weights_only=True).keys() == whole.state_dict().keys()
    )
