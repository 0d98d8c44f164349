"""Gradient reversal: Eq. 3 and 4 by finite differences, and where it can live."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from speechbrain_ser.lobes.gradient_reversal import GradientReversal
from tests.references import dann as reference

SCALES = [0, 0.1, 0.5, 1, 3]
TYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
ALONE = """
import sys
from speechbrain_ser.lobes.gradient_reversal import GradientReversal
assert GradientReversal(0.5).scale == 0.5
held = {name.split(".")[0] for name in sys.modules}
print("speechbrain_ser.brain" in sys.modules, held & set(
    ("speechbrain", "transformers", "matplotlib", "sklearn")
))
"""


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (2, 0, 3), (2, 3, 4, 5)])
def test_eq_3_is_the_same_bits(dtype, shape):
    """Of any shape and type; also what is no number stays what it is."""
    inputs = torch.randn(shape).to(dtype)
    if inputs.numel() > 2:
        inputs.view(-1)[0] = torch.nan
        inputs.view(-1)[1] = torch.inf
    outputs = GradientReversal(0.3)(inputs)
    assert outputs.dtype == dtype and outputs.shape == shape
    # NaN is not equal to itself, its bits are
    bits = [bytes(x.clone().untyped_storage()) for x in (outputs, inputs)]
    assert bits[0] == bits[1]


@pytest.mark.parametrize("scale", SCALES)
def test_eq_4_by_finite_differences(scale):
    """The gradient is that of -scale * f, for an f that bends."""

    def f(x):
        """Of an array or a tensor."""
        return (x**3 + 2 * x[0] * x).sum()

    x = np.random.default_rng(1).normal(size=4)
    inputs = torch.tensor(x, requires_grad=True)
    f(GradientReversal(scale)(inputs)).backward()
    expected = reference.numeric_gradient(lambda v: -scale * f(v), x)
    np.testing.assert_allclose(inputs.grad.numpy(), expected, atol=1e-7)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("scale", SCALES)
def test_eq_4_in_every_type(dtype, scale):
    """The gradient keeps its type, and its precision: a product, rounded."""
    inputs = torch.randn(7, 3).to(dtype).requires_grad_()
    upstream = torch.randn(7, 3).to(dtype)
    GradientReversal(scale)(inputs).backward(upstream)
    assert inputs.grad.dtype == dtype
    expected = (-float(scale) * upstream.double()).to(dtype)
    torch.testing.assert_close(
        inputs.grad, expected, rtol=torch.finfo(dtype).eps, atol=0
    )


def test_float64_sees_all_digits_of_the_scale():
    """0.1 and not the float32 beside it."""
    inputs = torch.ones(1, dtype=torch.float64, requires_grad=True)
    reverse = GradientReversal(0.1)
    reverse(inputs).sum().backward()
    assert inputs.grad.item() == -0.1 and reverse.scale == 0.1


def test_number_without_dimensions():
    """As a loss is: the gradient is of its type too."""
    x = torch.tensor(2.0, requires_grad=True)
    (GradientReversal(0.5)(x) * 3).backward()
    assert x.grad.dtype == torch.float32 and x.grad.item() == -1.5


def test_scale_of_the_forward_pass_counts():
    """Set anew before the backward pass, it is for the next forward pass."""
    reverse = GradientReversal(0.5)
    inputs = torch.ones(2, requires_grad=True)
    outputs = reverse(inputs)
    reverse.scale = 3
    outputs.sum().backward()
    assert inputs.grad.tolist() == [-0.5, -0.5]
    inputs.grad = None
    reverse(inputs).sum().backward()
    assert inputs.grad.tolist() == [-3, -3]
    assert reverse.scale == 3


def test_twice_in_one_graph():
    """Side by side with two scales, and one behind the other."""
    reverse = GradientReversal(0.5)
    inputs = torch.ones(2, requires_grad=True)
    first = reverse(inputs)
    reverse.scale = 2
    (first + 10 * reverse(inputs)).sum().backward()
    assert inputs.grad.tolist() == [-20.5, -20.5]
    inputs.grad = None
    reverse(reverse(inputs)).sum().backward()
    assert inputs.grad.tolist() == [4, 4]


def test_input_itself_is_not_reversed():
    """The way past it keeps its gradient, though the numbers are shared."""
    inputs = torch.ones(2, requires_grad=True)
    hidden = 3 * inputs
    reversed_ = GradientReversal(0.5)(hidden)
    (hidden + 10 * reversed_).sum().backward()
    assert inputs.grad.tolist() == [3 - 15, 3 - 15]
    assert not GradientReversal()(torch.ones(2)).requires_grad


def test_holds_nothing_that_trains_or_is_saved():
    """No parameter, no buffer, nothing in a checkpoint; types leave it be."""
    reverse = GradientReversal(0.1)
    assert not list(reverse.parameters()) and not list(reverse.buffers())
    assert reverse.state_dict() == {}
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), reverse)
    assert list(model.state_dict()) == ["0.weight", "0.bias"]
    model.half()
    assert reverse.scale == 0.1
    model.load_state_dict(model.state_dict())
    assert reverse.scale == 0.1


def test_copies_have_a_scale_of_their_own():
    """A deep copy, and what was pickled."""
    reverse = GradientReversal(0.5)
    for other in (
        copy.deepcopy(reverse),
        pickle.loads(pickle.dumps(reverse)),
    ):
        assert other.scale == 0.5
        other.scale = 2
        assert reverse.scale == 0.5
        inputs = torch.ones(1, requires_grad=True)
        other(inputs).backward()
        assert inputs.grad.item() == -2


def test_says_its_scale():
    """Where the module is printed."""
    assert repr(GradientReversal(0.25)) == "GradientReversal(scale=0.25)"
    assert GradientReversal().scale == 1


@pytest.mark.parametrize(
    "scale", [-0.1, -float("inf"), float("inf"), float("nan")]
)
def test_bad_scales_are_refused(scale):
    """When it is made and when it is set; the old one is then kept."""
    with pytest.raises(ValueError, match="scale of GradientReversal is"):
        GradientReversal(scale)
    reverse = GradientReversal(0.5)
    with pytest.raises(ValueError, match="finite number, 0 or more"):
        reverse.scale = scale
    assert reverse.scale == 0.5


@pytest.mark.parametrize("training", [True, False])
def test_in_evaluation_too(training):
    """A frozen model can still be asked for its gradient."""
    inputs = torch.ones(1, requires_grad=True)
    GradientReversal(0.5).train(training)(inputs).backward()
    assert inputs.grad.item() == -0.5


def test_under_autocast():
    """A classifier in bf16 behind it: the float32 gradient before, reversed."""
    torch.manual_seed(1)
    encoder, classifier = torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)
    inputs = torch.randn(5, 3)
    found = []
    for between in (torch.nn.Identity(), GradientReversal(0.5)):
        encoder.zero_grad()
        classifier.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            outputs = classifier(between(encoder(inputs)))
            assert outputs.dtype == torch.bfloat16
            loss = outputs.float().square().sum()
        loss.backward()
        found.append((encoder.weight.grad.clone(), classifier.weight.grad))
        classifier.weight.grad = None
    (plain, behind), (reversed_, same) = found
    torch.testing.assert_close(reversed_, -0.5 * plain, rtol=1e-2, atol=1e-6)
    assert torch.equal(behind, same)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_once_whatever_the_scale(backend):
    """Five scales, one graph, right gradients."""
    from torch._dynamo.testing import CompileCounterWithBackend

    torch._dynamo.reset()
    counter = CompileCounterWithBackend(backend)
    torch.manual_seed(1)
    reverse = GradientReversal(1)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), reverse)
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    inputs = torch.randn(5, 3)
    counts = []
    for scale in (1.0, 0.5, 0.0, 0.1, 3.0):
        reverse.scale = scale
        model.zero_grad()
        outputs = compiled(inputs)
        outputs.sum().backward()
        torch.testing.assert_close(outputs, model[0](inputs))
        torch.testing.assert_close(
            model[0].bias.grad, torch.full((4,), -5.0 * scale)
        )
        counts.append(counter.frame_count)
    assert counts[0] > 0 and counts == [counts[0]] * 5
    torch._dynamo.reset()


def test_importable_alone():
    """Without the Brain and all that reads speech, models or draws."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False", "set()"]
