"""How each lobe and loss is made and called, for the tests of its contract.

A new class of `ROOMS` has no case, and `test_contract.py` says so.
"""

import copy
import dataclasses
import importlib
import inspect
import io
import pkgutil

import torch
from hyperpyyaml import load_hyperpyyaml

import speechbrain_ser.lobes
from speechbrain_ser.lobes.codebook import Codebook
from speechbrain_ser.lobes.local_prototypes import LocalPrototypicalMapping
from speechbrain_ser.utils.distributed import gather_batch, world_size

ROOMS = ["losses", "schedules"] + [
    f"lobes.{module.name}"
    for module in pkgutil.iter_modules(speechbrain_ser.lobes.__path__)
]
N, TIME, DIM, CLASSES = 4, 12, 6, 3
# Relative lengths of the utterances; two processes hold as many, not as long.
LENGTHS = (1.0, 0.5, 0.75, 2 / 3)
# Samples: as long as a frame and its neighbours need, some frames more.
SAMPLES = 1600

OLDER, BATCH = "older ONNX", "another batch size"
WRITTEN = (
    "a loss: its graph holds the size of the batch that it was traced with"
)
FIXED = "what it gives is fixed, no gradient goes through it"
NO_FORWARD = "it has no forward"
AT_TRAINING = "as many frames as are valid: a loss is trained on, not exported"
NUMPY = "its path is searched by NumPy, utterance by utterance"
LOOPS = "torch.compile unrolls its loops, for half a minute"
COMPLEX = "the older exporter has no complex numbers for the STFT"
WEIGHT_NORM = "torch pickles no parametrized module, its weight norm"
LENGTH_IS_FIXED = "its number of frames is fixed"
CONVOLVED = "its convolutions need more frames than one"


@dataclasses.dataclass(frozen=True)
class Case:
    """A lobe or loss, how it is made and called, and what it can't do.

    Arguments
    ---------
    of : str
        Module and class, below the package.
    arguments : str
        As they stand in a YAML file.
    inputs : callable
        Draws the inputs of N utterances.
    name : str
        Of a second case of a class.
    signals : int
        How many of the inputs, the first, are cast and get a gradient.
    prepare : callable, optional
        Gives the module a state.
    run : callable
        Gives module and inputs; default: the call.
    together : callable, optional
        The same where a batch lies in two processes.
    rows : str
        ``each``: an utterance has a row of each output; ``mean``: a scalar, the
        mean over utterances; ``whole``: a scalar or a state of the whole batch.
    one_frame : callable, optional
        Makes of the inputs those with one frame; None: there is no time.
    exempt : dict
        Property of the contract to the reason why it can't hold.
    """

    of: str
    arguments: str
    inputs: callable
    name: str = ""
    signals: int = 1
    prepare: callable = None
    run: callable = lambda module, *inputs: module(*inputs)
    together: callable = None
    rows: str = "each"
    one_frame: callable = None
    exempt: dict = dataclasses.field(default_factory=dict)

    @property
    def id(self):
        """What the test is called by."""
        return self.of.split(".")[-1] + (self.name and f"-{self.name}")

    def make(self, seed=0, folder=None):
        """Makes the module as a YAML file does, without chance in training."""
        torch.manual_seed(seed)
        lines = self.arguments.replace("FOLDER", str(folder)).splitlines()
        text = f"module: !new:speechbrain_ser.{self.of}\n"
        text += "".join(f"  {line}\n" for line in lines)
        module = load_hyperpyyaml(io.StringIO(text))["module"]
        for part in module.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0
            elif isinstance(getattr(part, "dropout", None), float):
                part.dropout = 0.0
        if self.prepare is not None:
            self.prepare(module)
        return module

    def draw(self, n=N, dtype=torch.float32):
        """Draws the inputs of the first n utterances of N."""
        generator = torch.Generator().manual_seed(1)
        drawn = self.inputs(lambda *shape: normal(generator, *shape))
        return self.cast([tensor[:n] for tensor in drawn], dtype)

    def cast(self, inputs, dtype):
        """Casts the signals; a length stays what a batch has."""
        inputs = list(inputs)
        for i in range(self.signals):
            inputs[i] = inputs[i].to(dtype)
        return inputs


def normal(generator, *shape):
    """Normally distributed numbers."""
    return torch.randn(*shape, generator=generator)


def frames(draw):
    """Padded frames and their lengths."""
    return draw(N, TIME, DIM), torch.tensor(LENGTHS)


def one_frame(inputs):
    """The first frame alone."""
    return [inputs[0][:, :1], torch.ones(len(inputs[0])), *inputs[2:]]


def waves(draw):
    """Padded waves and their lengths."""
    wavs = 0.1 * draw(N, SAMPLES)
    return torch.sin(0.2 * torch.arange(SAMPLES)) + wavs, torch.tensor(LENGTHS)


def one_frame_of_waves(inputs):
    """So few samples that they give one frame."""
    return [inputs[0][:, :150], torch.ones(len(inputs[0]))]


def vectors(draw):
    """Embeddings."""
    return (draw(N, DIM),)


def labelled(draw):
    """Embeddings, each of a class or domain."""
    return draw(N, DIM), torch.arange(N) % 2


def logits(draw):
    """Outputs of a classifier and the classes that are right."""
    return draw(N, CLASSES).tanh(), torch.arange(N) % CLASSES


def pairs(draw):
    """Two views of each embedding and their classes."""
    labels = torch.tensor([0, 0, 1, 2])
    return draw(N, DIM), draw(N, DIM), labels, labels.roll(1)


def contrasted_together(module, *inputs):
    """The loss of a batch that lies in several processes."""
    return world_size() * module(*map(gather_batch, inputs))


def fit(module):
    """Mean and deviation of a few frames."""
    module.fit([normal(torch.Generator().manual_seed(2), 9, DIM) * 3 + 1])


def fit_kinds(module):
    """Prototypes, and the mean of each kind of a few frames."""
    generator = torch.Generator().manual_seed(2)
    frames = normal(generator, 9, DIM) * 3 + 1
    module.fit(normal(generator, 3, DIM), [frames])


def run_norm(module, source, target):
    """In training by the batch, in evaluation by what was learnt."""
    if module.training:
        return module(source, target)
    return [
        module.of(classifier, both, torch.zeros_like(both[:, 0]) + domain)
        for classifier in ("emotion", "language")
        for domain, both in enumerate((source, target))
    ]


def move(module):
    """Running statistics that are not those of the beginning."""
    module.train()
    for seed in (3, 4):
        drawn = normal(torch.Generator().manual_seed(seed), 2, 9, DIM) * 2 + 1
        if type(module).__name__ == "RunningStatistics":
            module(drawn[0])
        else:
            module(*drawn)


def initialize(module):
    """Prototypes or means of a few embeddings."""
    drawn = normal(torch.Generator().manual_seed(2), 9, DIM) + 1
    if hasattr(module, "means") and isinstance(module.means, torch.nn.Module):
        module.means.initialize(drawn, torch.arange(9) % 2)
        module.initialize(drawn, torch.arange(9) % CLASSES)
    else:
        module.initialize(drawn, torch.arange(9) % 2)


def weigh(module, frames, lengths):
    """The importance that a batch gives prototypes, of a copy."""
    module = copy.deepcopy(module)
    with torch.enable_grad():
        torch.manual_seed(3)
        pool = LocalPrototypicalMapping(Codebook(7, DIM), 0.3).to(frames.dtype)
        pooled, winners = pool(frames, lengths)
        log_p = torch.log_softmax(pooled[:, :CLASSES], dim=1)[:, 0]
        for _ in range(2):
            module.update(log_p, pooled, winners, frames, lengths, pool)
    return module.importance, module.ranking()


def remember(module, embeddings, speakers):
    """What a memory, of which a copy is made, holds of a batch."""
    module = copy.deepcopy(module)
    module.add(embeddings, speakers)
    return module.held()


def fill(module):
    """A memory that is not empty."""
    module.add(
        normal(torch.Generator().manual_seed(2), 2, DIM), torch.tensor([5, 6])
    )


WITHOUT_FORWARD = dict.fromkeys(("compile", "export", OLDER), NO_FORWARD)
WITHOUT_FORWARD["gradient"] = FIXED
SEARCHED = {"compile": LOOPS, "export": NUMPY, OLDER: NUMPY}


CASES = (
    [
        Case(
            "lobes.centering.DomainMeans",
            f"dim: {DIM}\ncenter: domain",
            labelled,
            prepare=initialize,
        ),
        Case(
            "lobes.conditional.OuterProduct",
            "",
            lambda draw: (draw(N, DIM), draw(N, CLASSES).softmax(1)),
        ),
        Case(
            "lobes.pooled_encoder.PooledEncoder",
            f"input_size: {DIM}\nsize: 5\nhidden_sizes: [7]",
            vectors,
        ),
        Case(
            "lobes.codebook.Codebook",
            f"n_prototypes: 7\ndim: {DIM}",
            frames,
            rows="whole",
            one_frame=one_frame,
            exempt={"export": AT_TRAINING, BATCH: WRITTEN},
        ),
        Case(
            "lobes.codebook.Codebook",
            f"n_prototypes: 7\ndim: {DIM}\nsquared: True",
            frames,
            "squared",
            rows="whole",
            one_frame=one_frame,
            exempt={"export": AT_TRAINING, BATCH: WRITTEN},
        ),
        Case(
            "lobes.local_prototypes.LocalPrototypicalMapping",
            "codebook: !new:speechbrain_ser.lobes.codebook.Codebook\n"
            f"  n_prototypes: 7\n  dim: {DIM}\ntau: 0.3",
            frames,
            one_frame=one_frame,
        ),
        Case(
            "lobes.conv_attention.GlobalAttention",
            f"dim: {DIM}",
            frames,
            one_frame=one_frame,
        ),
        Case(
            "lobes.conv_attention.ConvAttentionEncoder",
            f"n_mels: {DIM}\nn_frames: {TIME}\nfilters: 5\nkernel_size: 3\n"
            "stride: 1\npool_size: 2",
            frames,
            one_frame=one_frame,
            exempt={"one frame": LENGTH_IS_FIXED},
        ),
        Case(
            "lobes.domain_norm.RunningStatistics",
            f"dim: {DIM}",
            vectors,
            prepare=move,
        ),
    ]
    + [
        Case(
            "lobes.domain_norm.DomainBatchNorm",
            f"dim: {DIM}\nway: {way}",
            lambda draw: (draw(N, DIM), draw(N, DIM)),
            way,
            signals=2,
            prepare=move,
            run=run_norm,
        )
        for way in ("bn1", "bn2", "bn3", "none")
    ]
    + [
        Case(
            "lobes.gradient_reversal.GradientReversal",
            "scale: 0.5",
            vectors,
        ),
        Case(
            "lobes.importance.FisherImportance",
            "n_prototypes: 7",
            frames,
            run=weigh,
            rows="whole",
            one_frame=one_frame,
            exempt=WITHOUT_FORWARD,
        ),
        Case(
            "lobes.logmel.ConvBlock",
            f"in_channels: {DIM}\nout_channels: {DIM}\nkernel_size: 3",
            lambda draw: (draw(N, TIME, DIM), torch.tensor([12, 6, 9, 8])),
            one_frame=lambda inputs: [inputs[0][:, :1], torch.ones(N).long()],
        ),
        Case(
            "lobes.logmel.LogMelEncoder",
            "n_mels: 8\nchannels: 6\nstrides: [2, 1]",
            waves,
            one_frame=one_frame_of_waves,
            exempt={OLDER: COMPLEX},
        ),
        Case(
            "lobes.masked_prediction.PseudoLabelHeads",
            f"input_size: {DIM}\nhidden_size: 5\nsizes: [4, 7]",
            vectors,
        ),
        Case(
            "lobes.multitask_head.BLSTMHead",
            f"input_size: {DIM}\nhidden_size: 5\noutput_size: 4",
            frames,
            one_frame=one_frame,
        ),
        Case(
            "lobes.multitask_head.CosineClassifier",
            f"input_size: {DIM}\nn_classes: {CLASSES}",
            vectors,
        ),
        Case(
            "lobes.pooling.StatisticsPooling",
            "statistics: mean",
            frames,
            one_frame=one_frame,
        ),
        Case(
            "lobes.pooling.StatisticsPooling",
            "statistics: mean_std",
            frames,
            "mean_std",
            one_frame=one_frame,
        ),
        Case("lobes.pooling.MaxPooling", "", frames, one_frame=one_frame),
        Case(
            "lobes.local_means.LocalMeans",
            f"{{n_prototypes: 3, dim: {DIM}, tau: 0.3}}",
            frames,
            one_frame=one_frame,
            prepare=fit_kinds,
        ),
        Case(
            "lobes.pitch.Pitch",
            "{}",
            waves,
            one_frame=one_frame_of_waves,
            exempt=SEARCHED | {"gradient": FIXED},
        ),
        Case(
            "lobes.features.LogMel",
            "n_mels: 8",
            waves,
            one_frame=one_frame_of_waves,
            exempt={OLDER: COMPLEX},
        ),
        Case(
            "lobes.features.LogMelPitchEnergy",
            "n_mels: 8",
            waves,
            one_frame=one_frame_of_waves,
            exempt=SEARCHED,
        ),
        Case(
            "lobes.features.Standardisation",
            f"dim: {DIM}",
            lambda draw: (draw(N, TIME, DIM),),
            prepare=fit,
        ),
        Case(
            "lobes.linear_probe.LinearProbe",
            f"n_rows: 2\ndim: {DIM // 2}\nn_classes: {CLASSES}\nn_chosen: 2",
            vectors,
        ),
        Case(
            "lobes.linear_probe.LinearProbe",
            f"n_rows: 2\ndim: {DIM // 2}\nn_classes: {CLASSES}\nn_chosen: 2\n"
            "pairwise: True",
            vectors,
            "pairwise",
        ),
        Case(
            "lobes.prototypes.PrototypeBank",
            f"n_classes: {CLASSES}\ndim: {DIM}\ncenter: all",
            vectors,
            prepare=initialize,
        ),
        Case(
            "lobes.speaker_invariant.MEnANEncoder",
            f"n_features: {DIM}\nchannels: 4\nkernel_sizes: [3, 2]\nstride: 1",
            frames,
            one_frame=one_frame,
            exempt={"one frame": CONVOLVED},
        ),
        Case(
            "lobes.speaker_invariant.MEnANClassifier",
            f"n_classes: {CLASSES}\ninput_size: {DIM}\nhidden_sizes: [5]",
            vectors,
        ),
        Case(
            "lobes.speaker_invariant.EmbeddingMemory",
            f"size: 5\ndim: {DIM}",
            labelled,
            prepare=fill,
            run=remember,
            rows="whole",
            exempt=WITHOUT_FORWARD,
        ),
        Case(
            "lobes.ssl.SSLEncoder",
            "source: FOLDER\nsave_path: unused",
            waves,
            one_frame=one_frame_of_waves,
            exempt={"pickle": WEIGHT_NORM},
        ),
        Case(
            "lobes.whisper.WhisperEncoder",
            "source: FOLDER/whisper\nsave_path: unused",
            waves,
            one_frame=one_frame_of_waves,
            exempt={OLDER: COMPLEX},
        ),
        Case(
            "losses.PrototypeContrastiveLoss",
            "temperature: 0.5",
            pairs,
            signals=2,
            together=contrasted_together,
            rows="whole",
            exempt={BATCH: WRITTEN},
        ),
        Case("losses.MaxEntropyLoss", "", lambda d: logits(d)[:1], rows="mean"),
        Case("losses.AMSoftmaxLoss", "margin: 0.1", logits, rows="mean"),
    ]
)


def public_modules():
    """The dotted name of every public torch module of the rooms."""
    found = []
    for room in ROOMS:
        module = importlib.import_module(f"speechbrain_ser.{room}")
        for name, thing in vars(module).items():
            own = getattr(thing, "__module__", None) == module.__name__
            if own and inspect.isclass(thing) and not name.startswith("_"):
                whole = not inspect.isabstract(thing)
                if whole and issubclass(thing, torch.nn.Module):
                    found.append(f"{room}.{name}")
    return found


def flat(outputs):
    """The tensors of an output, in order."""
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    return [tensor for part in outputs for tensor in flat(part)]


class Called(torch.nn.Module):
    """A case's module as it is called, its signals times a trained gain.

    So the gradient by the signals is one by a parameter, in any process.

    Arguments
    ---------
    case : Case
    module : torch.nn.Module
    together : bool
        Whether a batch lies in several processes.
    """

    def __init__(self, case, module, together=False):
        super().__init__()
        self.case = case
        self.module = module
        self.call = case.together if together and case.together else case.run
        self.gain = torch.nn.Parameter(torch.ones(()))

    def forward(self, *inputs):
        """The outputs in a list."""
        inputs = list(inputs)
        for i in range(self.case.signals):
            inputs[i] = inputs[i] * self.gain.to(inputs[i].dtype)
        return flat(self.call(self.module, *inputs))


def gradients(module):
    """Of each trained parameter, by name."""
    return {
        name: parameter.grad
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }


def objective(case, outputs, n):
    """A scalar of all outputs that have a gradient, a mean over utterances."""
    total = 0.0
    for output in flat(outputs):
        if output.requires_grad:
            output = output.double()
            if case.rows == "each":
                draw = torch.Generator().manual_seed(5)
                output = output * normal(draw, *output.shape[1:]) / n
            total = total + output.sum()
    return total
