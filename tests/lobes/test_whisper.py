"""Whisper's encoder: transformers' where that runs, a plain loop where not."""

import copy
import os

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from transformers.models.whisper.modeling_whisper import (
    WhisperEncoder as Reference,
)

import speechbrain as sb
from conftest import save_whisper
from speechbrain_ser.data.frame_cache import FrameCache
from speechbrain_ser.data.kept_frames import cached_reader
from speechbrain_ser.lobes.whisper import WhisperEncoder
from speechbrain_ser.lobes.whisper_features import reflected
from speechbrain_ser.utils.errors import InputError
from tests.lobes.helpers import padded
from tests.recipes.helpers import ROOT

REAL = ROOT.parent / "shared" / "models" / "whisper-base-encoder"
NOT_THERE = f"the real weights are not there: {REAL.name}"


def reference(folder):
    """transformers' encoder and features of a folder of ours."""
    features = transformers.WhisperFeatureExtractor.from_pretrained(folder)
    return Reference.from_pretrained(folder).eval(), features


@pytest.fixture(scope="module", params=["tiny", "base"])
def models(request, small_whisper):
    """A folder, and transformers' encoder with its tensors."""
    if request.param == "tiny":
        return small_whisper, *reference(small_whisper)
    if not REAL.is_dir():
        pytest.skip(NOT_THERE)
    from safetensors.torch import load_file

    held = load_file(REAL / "model.safetensors")
    config = transformers.WhisperConfig.from_pretrained(REAL)
    model = Reference(config).eval()
    model.load_state_dict(
        {k.removeprefix("model.encoder."): v.float() for k, v in held.items()}
    )
    features = transformers.WhisperFeatureExtractor.from_pretrained(REAL)
    return str(REAL), model, features


def short(seconds):
    """Noise of so many seconds, louder and louder, after silence.

    The silence shows the floor of the features.
    """
    generator = torch.Generator().manual_seed(round(1000 * seconds))
    wav = torch.randn(round(16000 * seconds), generator=generator)
    wav = 0.1 * wav * torch.linspace(0, 1, len(wav)) + 0.01
    wav[: len(wav) // 4] = 0
    return wav


def test_padded_is_transformers_own(models):
    """Every layer of the real speech; behind the last block without norm."""
    folder, model, features = models
    wav = short(0.613)
    given = features(wav.numpy(), sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        states = model(**given, output_hidden_states=True).hidden_states
        found = {}
        n_layers = len(states) - 1
        for layer in (0, 1, n_layers - 1, n_layers):
            encoder = WhisperEncoder(folder, None, layer=layer, padded=True)
            found[layer], lengths = encoder.eval()(wav[None], torch.ones(1))
            assert found[layer].shape[1] == 31 and lengths.tolist() == [1.0]
        # transformers norms what it calls the last hidden state
        found[n_layers] = model.layer_norm(found[n_layers])
    for layer, frames in found.items():
        expected = states[layer][:, :31]
        torch.testing.assert_close(frames, expected, atol=1e-5, rtol=1e-5)


def attended(block, frames, n_heads):
    """One block by hand, on the frames of one utterance ``[time, dim]``."""

    def linear(layer, x):
        """By its weights."""
        return x @ layer.weight.T + (0 if layer.bias is None else layer.bias)

    def normed(norm, x):
        """By its weights."""
        x = (x - x.mean(1, keepdim=True)) / (
            x.var(1, correction=0, keepdim=True) + 1e-5
        ).sqrt()
        return x * norm.weight + norm.bias

    given, own = normed(block.self_attn_layer_norm, frames), block.self_attn
    query, key, value = (
        linear(layer, given).chunk(n_heads, dim=1)
        for layer in (own.q_proj, own.k_proj, own.v_proj)
    )
    heads = []
    for q, k, v in zip(query, key, value):
        scores = q @ k.T / q.shape[1] ** 0.5
        heads.append(torch.softmax(scores, dim=1) @ v)
    frames = frames + linear(own.out_proj, torch.cat(heads, dim=1))
    inner = F.gelu(linear(block.fc1, normed(block.final_layer_norm, frames)))
    return frames + linear(block.fc2, inner)


def by_hand(model, features, wav):
    """All layers of an utterance alone: no padding anywhere."""
    mels = features(
        wav.numpy(),
        sampling_rate=16000,
        padding="do_not_pad",
        return_tensors="pt",
    ).input_features
    frames = F.gelu(F.conv1d(mels, *model.conv1.parameters(), padding=1))
    frames = F.conv1d(frames, *model.conv2.parameters(), stride=2, padding=1)
    frames = F.gelu(frames)[0].T
    states = [frames + model.embed_positions.weight[: len(frames)]]
    for block in model.layers:
        heads = model.config.encoder_attention_heads
        states.append(attended(block, states[-1], heads))
    return states


def test_cropped_is_a_plain_loop(models):
    """In a batch: every layer of each utterance, as it is alone, by hand."""
    folder, model, features = models
    wavs = [short(seconds) for seconds in (0.9, 0.615, 0.2077, 0.03)]
    batch = padded(wavs, 15000)
    with torch.no_grad():
        expected = [by_hand(model, features, wav) for wav in wavs]
        n_layers = len(model.layers)
        for layer in (0, 2, n_layers):
            encoder = WhisperEncoder(folder, None, layer=layer).eval()
            frames, lengths = encoder(*batch)
            counts = (lengths * frames.shape[1]).round().long().tolist()
            assert counts == [45, 31, 10, 2]
            for row, count, states in zip(frames, counts, expected):
                scale = states[layer].abs().max()
                away = (row[:count] - states[layer]).abs().max()
                assert len(states[layer]) == count
                assert away <= 1e-5 * max(1.0, float(scale))


@pytest.mark.parametrize("pad", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_padding_changes_no_frame(small_whisper, training, pad):
    """Alone, in a batch, padded further, permuted, noise behind the end."""
    encoder = WhisperEncoder(small_whisper, None, padded=pad)
    encoder.train(training)
    wavs = [short(seconds) for seconds in (2.3, 0.97, 0.411, 1.0)]

    def encode(inputs, lengths):
        """The valid frames of each."""
        frames, lengths = encoder(inputs, lengths)
        counts = (lengths * frames.shape[1]).round().long()
        return [row[:n] for row, n in zip(frames, counts)]

    with torch.no_grad():
        alone = [encode(*padded([wav]))[0] for wav in wavs]
        batch, lengths = padded(wavs, 40000)
        noisy = batch.clone()
        for row, wav in zip(noisy, wavs):
            row[len(wav) :] = 5.0
        for found in (
            encode(*padded(wavs)),
            encode(batch, lengths),
            encode(noisy, lengths),
            encode(*padded(wavs, 70000)),
            encode(*padded(wavs[::-1]))[::-1],
        ):
            for one, other in zip(found, alone):
                torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


@pytest.mark.parametrize("pad", [False, True])
def test_longer_speech_is_its_windows(small_whisper, pad):
    """One after the other, from waves and from kept frames."""
    encoder = WhisperEncoder(small_whisper, None, padded=pad).eval()
    kept = WhisperEncoder(
        small_whisper, None, frozen_layers=1, padded=pad
    ).eval()
    wav, other = short(2.37), short(1.4)
    for model in (encoder, kept):
        with torch.no_grad():
            found, lengths = model(*padded([wav, other]))
            pieces = [
                model(p[None], torch.ones(1))[0] for p in wav.split(16000)
            ]
        assert [piece.shape[1] for piece in pieces] == [50, 50, 19]
        assert (lengths * 119).round().tolist() == [119, 70]
        torch.testing.assert_close(
            found[:1], torch.cat(pieces, dim=1), atol=1e-5, rtol=0
        )


def test_thirty_seconds_are_one_window(models):
    """A real model's windows are of 1500 frames, the tiny one's of 50."""
    folder, model, features = models
    encoder = WhisperEncoder(folder, None, layer=0).eval()
    size = features.n_samples
    with torch.no_grad():
        found, _ = encoder(torch.randn(1, size + 3200), torch.ones(1))
    assert found.shape[1] == model.config.max_source_positions + 10


def test_frames_are_counted_for_every_length(small_whisper):
    """What the convolutions give, below one frame and across two windows."""
    encoder = WhisperEncoder(small_whisper, None, layer=0).eval()
    lengths = torch.tensor(
        [*range(1, 700, 13), *range(15600, 17000, 53), 31999, 32000, 33000]
    )
    counts = encoder.count_frames(lengths)
    assert counts[0] == 1 and counts[-1] == 103
    with torch.no_grad():
        for n, count in zip(lengths.tolist(), counts.tolist()):
            frames, _ = encoder(torch.randn(1, n), torch.ones(1))
            assert frames.shape[1] == count, n
        for part in torch.arange(len(lengths)).split(30):
            samples = lengths[part]
            batch = torch.randn(len(part), int(samples.max()))
            frames, relative = encoder(batch, samples / batch.shape[1])
            found = (relative * frames.shape[1]).round().long()
            assert torch.equal(found, counts[part])
            assert frames.isfinite().all()


@pytest.mark.parametrize("n, reach", [(1, 3), (2, 5), (9, 4), (9, 30)])
def test_reflection(n, reach):
    """NumPy's, which reflects as often as is needed."""
    wav = np.random.default_rng(0).normal(size=n)
    found = wav[reflected(torch.tensor([n]), reach, n)[0].numpy()]
    expected = np.pad(wav, reach, mode="reflect")
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("pad", [False, True])
def test_going_on_from_the_prefix_is_the_whole_pass(small_whisper, wavs, pad):
    """Output and gradients, also in bf16 and with checkpointing."""
    for setting in ({}, {"gradient_checkpointing": True}):
        encoder = WhisperEncoder(
            small_whisper, None, layer=2, frozen_layers=1, padded=pad, **setting
        ).train()
        kept, lengths = encoder.prefix(*padded(wavs))
        assert not kept.requires_grad and kept.shape[2] == encoder.prefix_dim
        found = []
        for given in (padded(wavs), (kept, lengths), (kept.double(), lengths)):
            frames, counts = encoder(*given)
            assert torch.equal(counts, lengths)
            (frames**3).sum().backward()
            found.append(
                [frames]
                + [p.grad for p in encoder.parameters() if p.requires_grad]
            )
            encoder.zero_grad(set_to_none=True)
        assert len(found[0]) == 16  # the 15 tensors of one block
        for one, other, third in zip(*found):
            assert torch.equal(one, other) and torch.equal(one, third)
        with torch.autocast("cpu", torch.bfloat16):
            rounded, _ = encoder(kept.half(), lengths)
        torch.testing.assert_close(
            rounded.float(), found[1][0], atol=0.1, rtol=0.05
        )


def test_the_silence_reaches_the_frozen_blocks_alone(small_whisper):
    """`padded` with a prefix: it changes the prefix's frames."""
    wav = short(0.5)[None], torch.ones(1)
    with torch.no_grad():
        one, two = (
            WhisperEncoder(small_whisper, None, frozen_layers=2, padded=pad)
            .eval()
            .prefix(*wav)[0]
            for pad in (False, True)
        )
    assert one.shape == two.shape and not torch.allclose(one, two, atol=1e-3)


def test_what_is_trained(small_whisper):
    """Positions and the last norm never; convolutions on request."""
    for setting, parts in (
        ({}, {"layers"}),
        ({"freeze_feature_extractor": False}, {"layers", "conv1", "conv2"}),
        ({"frozen_layers": 2, "freeze_feature_extractor": False}, {"layers"}),
        ({"frozen": True}, set()),
    ):
        encoder = WhisperEncoder(small_whisper, None, **setting)
        if setting.get("frozen") is None:
            frames, _ = encoder(torch.randn(1, 4000), torch.ones(1))
            (frames**3).sum().backward()
        held = dict(encoder.model.named_parameters())
        trained = {n for n, p in held.items() if p.requires_grad}
        assert {name.split(".")[0] for name in trained} == parts
        assert all(held[name].grad is not None for name in trained)


def test_gradient_checkpointing_gives_the_same_gradient(small_whisper, wavs):
    """It saves memory, nothing else."""
    gradients = []
    for checkpointing in (False, True):
        encoder = WhisperEncoder(
            small_whisper, None, gradient_checkpointing=checkpointing
        ).train()
        (encoder(*padded(wavs))[0] ** 3).sum().backward()
        gradients.append(encoder.model.layers[0])
    for one, other in zip(*(m.parameters() for m in gradients)):
        assert torch.equal(one.grad, other.grad)


@pytest.mark.parametrize("setting", [{"layer": 4}, {"frozen_layers": 9}])
def test_numbers_outside_the_model_are_refused(small_whisper, setting):
    """With the number of layers it has."""
    with pytest.raises(InputError, match="3"):
        WhisperEncoder(small_whisper, None, **setting)


def test_digest_knows_all_that_decides_the_prefix(small_whisper):
    """One weight, the depth, the padding; not what comes behind."""

    def make(**setting):
        """An encoder of the same folder."""
        return WhisperEncoder(small_whisper, None, **setting)

    encoder = make(frozen_layers=1)
    digest = encoder.prefix_digest()
    assert len(digest) == 64
    assert make(frozen_layers=1, layer=2).prefix_digest() == digest
    assert make(layer=1, frozen=True).prefix_digest() == digest
    with torch.no_grad():
        encoder.model.layers[1].fc1.bias.add_(1)
        encoder.model.layer_norm.bias.add_(1)
    assert encoder.prefix_digest() == digest
    others = {
        make(frozen_layers=2).prefix_digest(),
        make(frozen_layers=1, padded=True).prefix_digest(),
        make(frozen_layers=1, weighted=True).prefix_digest(),
    }
    for part in (
        encoder.model.layers[0].fc1.bias,
        encoder.model.embed_positions.weight,
        encoder.model.conv2.weight,
        encoder.model.conv1.bias,
    ):
        with torch.no_grad():
            part.view(-1)[0].add_(1e-2)
        others.add(encoder.prefix_digest())
    encoder.model.config.encoder_attention_heads = 4
    others.add(encoder.prefix_digest())
    encoder.feature_extractor.n_fft = 512
    others.add(encoder.prefix_digest())
    assert len(others | {digest}) == 10


class Brain(sb.Brain):
    """Trains what is not frozen of an encoder, and a head behind it."""

    def compute_forward(self, batch, stage):
        """Logits of frames."""
        return self.modules.head(self.modules.encoder(*batch)[0])

    def compute_objectives(self, predictions, batch, stage):
        """Something that every weight has a part in."""
        return (predictions**3).mean()


@pytest.mark.parametrize("frozen", [1, 3])
def test_frozen_is_bit_equal_through_fit(small_whisper, wavs, frozen, tmp_path):
    """In train mode, with dropout in the config; what is trained changes."""
    folder = save_whisper(tmp_path, dropout=0.5, attention_dropout=0.5)
    encoder = WhisperEncoder(folder, None, frozen_layers=frozen)
    head = torch.nn.Linear(32, 2)
    before = copy.deepcopy(encoder.model.state_dict())
    kept, _ = encoder.prefix(*padded(wavs))
    brain = Brain(
        {"encoder": encoder, "head": head},
        lambda parameters: torch.optim.SGD(
            [p for p in parameters if p.requires_grad], lr=0.1
        ),
        run_opts={"device": "cpu", "noprogressbar": True},
    )
    batches = [padded(wavs)] * 2
    brain.fit(range(2), torch.utils.data.DataLoader(batches, batch_size=None))
    assert encoder.training
    assert torch.equal(encoder.prefix(*padded(wavs))[0], kept)
    changed = {
        name.split(".")[1]
        for name, value in encoder.model.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == ({"1", "2"} if frozen == 1 else set())


def test_checkpoint_holds_what_is_trained(small_whisper, tmp_path):
    """And loads only behind the frozen weights that it was trained with."""
    encoder = WhisperEncoder(small_whisper, None, frozen_layers=2)
    with torch.no_grad():
        for parameter in encoder.model.layers[2].parameters():
            parameter.add_(1.0)
    path = tmp_path / "encoder.ckpt"
    encoder.save(path)
    held = torch.load(path, weights_only=True)
    names = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert held.keys() == names | {"prefix_sha256"}
    fresh = WhisperEncoder(small_whisper, None, frozen_layers=2)
    fresh.load(path, end_of_epoch=True)
    for name, value in encoder.state_dict().items():
        assert value.equal(fresh.state_dict()[name]), name
    other = WhisperEncoder(small_whisper, None, frozen_layers=1)
    with pytest.raises(InputError, match="other frozen weights"):
        other.load(path, end_of_epoch=True)


@pytest.mark.parametrize("layer", [-1, 2])
def test_export_is_the_same_model(small_whisper, tmp_path, layer, wavs):
    """Bit for bit for this lobe; transformers' own loader misses nothing."""
    encoder = WhisperEncoder(small_whisper, None, layer=layer).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    folder = str(tmp_path / "export")
    encoder.export(folder)
    assert encoder.model.config.num_hidden_layers == 3
    assert sorted(os.listdir(folder)) == [
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    ]
    loaded = WhisperEncoder(folder, None).eval()
    assert loaded.layer == loaded.n_layers == layer % 4
    with torch.no_grad():
        one, counts = encoder(*padded(wavs))
        two, same = loaded(*padded(wavs))
    assert torch.equal(one, two) and torch.equal(counts, same)
    _, told = Reference.from_pretrained(folder, output_loading_info=True)
    assert not any(told.values()), told


def test_frames_are_kept(small_whisper, tmp_path, tones):
    """What the cache holds is what the encoder gives, up to half precision."""
    encoder = WhisperEncoder(small_whisper, None, frozen_layers=2)
    for setting in ({}, {"weighted": True}, {"padded": True}):
        encoder = WhisperEncoder(
            small_whisper, None, frozen_layers=2, **setting
        )
        read = cached_reader(
            tmp_path / "frames", encoder, 16000, {"train": tones}, "cpu"
        )
        entry = tones["tone5"]
        wav = torch.from_numpy(
            sb.dataio.dataio.read_audio(entry["wav"]).numpy()
        )
        expected, _ = encoder.prefix(wav[None], torch.ones(1))
        kept = read(entry)
        assert kept.shape == (38, 96 if "weighted" in setting else 32)
        torch.testing.assert_close(kept.float(), expected[0], atol=4e-3, rtol=0)
        cache = FrameCache(tmp_path / "frames", encoder)
        assert cache.fill(tones, encoder, show=False) == 0
    with pytest.raises(InputError, match="--sample_rate 16000"):
        cached_reader(tmp_path, encoder, 8000, {"train": tones}, "cpu")


def test_masked_frames(small_whisper):
    """Before the first block: embedding and position; nothing else is heard."""
    encoder = WhisperEncoder(
        small_whisper, None, layer=0, mask_embedding=True
    ).eval()
    wavs, lengths = torch.randn(2, 8000), torch.tensor([1.0, 0.6])
    masked = torch.rand(2, 25) < 0.5
    plain, _ = encoder(wavs, lengths)
    found, _ = encoder(wavs, lengths, masked)
    assert torch.equal(found[~masked], plain[~masked])
    places = encoder.model.embed_positions.weight[:25].expand(2, 25, 32)
    torch.testing.assert_close(
        found[masked], (encoder.mask_embedding + places)[masked]
    )
    (found**3).sum().backward()
    assert (encoder.mask_embedding.grad != 0).all()
    encoder = WhisperEncoder(small_whisper, None)
    with pytest.raises(ValueError, match="mask_embedding"):
        encoder(wavs, lengths, masked)
