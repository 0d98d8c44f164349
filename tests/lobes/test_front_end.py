"""The front end with its channels last: transformers' own, to the last bits."""

import copy

import pytest
import torch
import transformers

from conftest import save_ssl_model
from speechbrain_ser.lobes import front_end
from speechbrain_ser.lobes.front_end import channels_last, convolve
from speechbrain_ser.lobes.ssl import SSLEncoder
from tests.lobes.helpers import KINDS, without_dropout


@pytest.fixture
def forced(monkeypatch):
    """Takes it on a CPU too; gives how often it was taken."""
    taken = []
    monkeypatch.setattr(
        front_end,
        "is_faster",
        lambda extractor, wavs: taken.append(1) or True,
    )
    return taken


def extractor_of(folder):
    """Transformers' front end; its norms are no identities."""
    model = transformers.AutoModel.from_pretrained(folder)
    extractor = model.feature_extractor.eval()
    torch.manual_seed(1)
    for name, parameter in extractor.named_parameters():
        if "layer_norm" in name or name.endswith("bias"):
            torch.nn.init.normal_(parameter, mean=0.5)
    return extractor


def both_ways(function, extractor, wavs, upstream):
    """Frames, and the gradients of waveforms and parameters."""
    wavs = wavs.clone().requires_grad_()
    frames = function(extractor, wavs)
    held = [wavs, *extractor.parameters()]
    return frames, torch.autograd.grad(frames, held, upstream)


@pytest.mark.parametrize("shape", [(3, 3001), (1, 4000), (2, 401), (1, 250)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_frames_and_gradients(layer_norm_model, shape, dtype):
    """Odd lengths, a batch of one, a single frame; of all kinds of model."""
    extractor = extractor_of(layer_norm_model).to(dtype)
    wavs = torch.randn(shape, dtype=dtype)
    expected = extractor(wavs).transpose(1, 2)
    upstream = torch.randn_like(expected)
    frames, gradients = both_ways(
        lambda extractor, wavs: extractor(wavs).transpose(1, 2),
        extractor,
        wavs,
        upstream,
    )
    found, others = both_ways(channels_last, extractor, wavs, upstream)
    atol = 1e-12 if dtype == torch.float64 else 1e-5
    assert found.shape == expected.shape and found.dtype == dtype
    torch.testing.assert_close(found, frames, atol=atol, rtol=0)
    for mine, theirs in zip(others, gradients, strict=True):
        assert theirs.abs().max() > 0
        scale = theirs.abs().max()
        torch.testing.assert_close(
            mine / scale, theirs / scale, atol=atol, rtol=0
        )


def test_without_a_bias(tmp_path):
    """As a configuration may have it."""
    folder = save_ssl_model(tmp_path, "wav2vec2", "layer")
    config = transformers.AutoConfig.from_pretrained(folder)
    config.conv_bias = False
    extractor = transformers.AutoModel.from_config(config).feature_extractor
    wavs = torch.randn(2, 999)
    torch.testing.assert_close(
        channels_last(extractor, wavs), extractor(wavs).transpose(1, 2)
    )


def test_channels_lie_side_by_side():
    """Also of one channel, where a plain view has strides of another order."""
    for shape in ((2, 50, 1), (2, 50, 7), (1, 1, 7), (4, 10, 1)):
        tensor = torch.randn(shape)
        seen = front_end.in_channels_last(tensor)
        assert seen.data_ptr() == tensor.data_ptr()
        assert seen.shape == (shape[0], shape[2], 1, shape[1])
        assert seen.stride()[1] == 1 and seen.stride()[3] == shape[2]
        turned = tensor.transpose(1, 2).contiguous().transpose(1, 2)
        assert front_end.in_channels_last(turned).equal(seen)


def test_under_autocast(layer_norm_model):
    """bf16: as far from float64 as transformers' own."""
    extractor = extractor_of(layer_norm_model)
    wavs = torch.randn(2, 3000)
    exact = copy.deepcopy(extractor).double()(wavs.double()).transpose(1, 2)
    with torch.autocast("cpu", torch.bfloat16):
        theirs = extractor(wavs).transpose(1, 2)
        mine = channels_last(extractor, wavs)
    assert mine.dtype == theirs.dtype
    errors = [float((x - exact).abs().mean()) for x in (mine, theirs)]
    assert 0 < errors[0] < 1.1 * errors[1]


@pytest.mark.parametrize("kind", KINDS)
def test_encoder_is_what_it_was(tmp_path, kind, forced):
    """Frames, gradients and names; with gradient checkpointing too."""
    folder = save_ssl_model(tmp_path, kind, "layer")
    wavs = torch.randn(2, 4001)
    results = []
    for again in (False, False, True):
        encoder = SSLEncoder(
            folder,
            "unused",
            freeze_feature_extractor=False,
            gradient_checkpointing=again,
        )
        without_dropout(encoder).train()
        if not results:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(front_end, "is_faster", lambda *args: False)
                frames, _ = encoder(wavs, torch.ones(2))
            names = list(encoder.state_dict())
            assert forced == []
        else:
            frames, _ = encoder(wavs, torch.ones(2))
            assert list(encoder.state_dict()) == names
        frames.square().mean().backward()
        gradients = {
            name: parameter.grad
            for name, parameter in encoder.named_parameters()
            if parameter.grad is not None
        }
        assert any("conv_layers" in name for name in gradients)
        results.append((frames, gradients))
    assert len(forced) == 2
    for frames, gradients in results[1:]:
        torch.testing.assert_close(frames, results[0][0])
        torch.testing.assert_close(gradients, results[0][1])


def test_checkpointing_computes_again(layer_norm_model):
    """What is switched on in transformers' front end holds here."""
    extractor = extractor_of(layer_norm_model).train()
    calls = []
    layer = extractor.conv_layers[1]
    layer.layer_norm.register_forward_hook(lambda *args: calls.append(1))
    for again, expected in ((False, 1), (True, 2)):
        calls.clear()
        for one in extractor.conv_layers:
            one.gradient_checkpointing = again
        channels_last(extractor, torch.randn(1, 2000)).sum().backward()
        assert len(calls) == expected


class OnCuda:
    """Stands in for waveforms on a GPU."""

    is_cuda = True


def test_where_it_is_taken(tmp_path, layer_norm_model):
    """On CUDA, for the layer-norm kind."""
    extractor = extractor_of(layer_norm_model)
    there, here = OnCuda(), torch.randn(1, 800)
    group = extractor_of(save_ssl_model(tmp_path, "wav2vec2", "group"))
    assert front_end.is_faster(extractor, there)
    assert not front_end.is_faster(extractor, here)
    assert not front_end.is_faster(group, there)
    assert convolve(group, here).equal(group(here).transpose(1, 2))
