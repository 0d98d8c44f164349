"""What every lobe and loss can do, in whatever project it is taken into.

A new one is in it by being there: without a case the first test fails. What one
can't do by nature its case says, with the reason, and it must indeed fail.
"""

import contextlib
import copy
import multiprocessing
import pickle

import pytest
import torch

from conftest import save_ssl_model, save_whisper
from tests.lobes import contract_processes
from tests.lobes.contract_cases import (
    BATCH,
    CASES,
    NO_FORWARD,
    OLDER,
    Called,
    N,
    flat,
    gradients,
    objective,
    public_modules,
)

HALF = [torch.bfloat16, torch.float16]
# what a case that says so fails by
FAILURES = (RuntimeError, ValueError, NotImplementedError, TypeError)
TRAINED = [case for case in CASES if "gradient" not in case.exempt]


@pytest.fixture(scope="module")
def ssl_folder(tmp_path_factory):
    """A tiny model that padding does not matter to; below it a Whisper."""
    folder = tmp_path_factory.mktemp("ssl")
    save_whisper(folder / "whisper", encoder_layers=1)
    return save_ssl_model(folder, norm="layer", layers=1)


def every(cases):
    """One test a case."""
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.id)


@contextlib.contextmanager
def promised(case, what):
    """What is done here works, or it fails if the case says so."""
    if what not in case.exempt:
        yield
    else:
        with pytest.raises(FAILURES):
            yield


def check_near(found, expected, tolerance):
    """Whether outputs differ by no more than a part of the largest number."""
    assert len(flat(found)) == len(flat(expected))
    for one, other in zip(flat(found), flat(expected)):
        assert one.shape == other.shape
        if one.is_floating_point():
            assert one.isfinite().all()
            away = (one.double() - other.double()).abs().max()
            assert away <= tolerance * other.double().abs().max()
        elif tolerance < 1e-3:
            assert torch.equal(one, other)


def trained(case, called, inputs):
    """Outputs in training, and the gradients of all that is trained."""
    outputs = called.train()(*inputs)
    if "gradient" in case.exempt:
        assert not any(output.requires_grad for output in outputs)
        return outputs, {}
    objective(case, outputs, N).backward()
    found = gradients(called)
    assert all(grad.isfinite().all() for grad in found.values())
    return outputs, found


def called(case, folder, seed=0):
    """A fresh module, in evaluation."""
    return Called(case, case.make(seed, folder)).eval()


def other_batch(case, n):
    """Other inputs than `Case.draw`, of so many utterances."""
    return [tensor.flip(0)[:n] for tensor in case.draw()]


def test_every_module_has_a_case():
    """A new class of the lobes and losses must be put in."""
    assert {case.of for case in CASES} == set(public_modules())
    assert len({case.id for case in CASES}) == len(CASES)


@every(CASES)
def test_from_yaml_forward_and_backward(case, ssl_folder):
    """What is trained, and what it is given, gets a gradient."""
    module = called(case, ssl_folder)
    assert type(module.module).__name__ == case.of.split(".")[-1]
    _, found = trained(case, module, case.draw())
    assert all(grad.abs().sum() > 0 for grad in found.values())


@every(CASES)
def test_copies_give_the_same(case, ssl_folder):
    """Deep copy, pickle and strict state dict, after a training step."""
    module = called(case, ssl_folder)
    trained(case, module, case.draw())
    module = module.eval().module
    with torch.no_grad():
        for value in module.state_dict().values():
            if value.is_floating_point():
                value.mul_(1.1)
    inputs = case.draw()
    expected = case.run(module, *inputs)
    loaded = case.make(7, ssl_folder).eval()
    loaded.load_state_dict(module.state_dict(), strict=True)
    for copied in (copy.deepcopy(module), loaded):
        check_near(case.run(copied, *inputs), expected, 0.0)
    with promised(case, "pickle"):
        copied = pickle.loads(pickle.dumps(module))
        check_near(case.run(copied, *inputs), expected, 0.0)


@every(CASES)
def test_double(case, ssl_folder):
    """Cast whole, it says the same with more digits."""
    expected = called(case, ssl_folder)(*case.draw())
    module = called(case, ssl_folder).double()
    check_near(module(*case.draw(dtype=torch.float64)), expected, 1e-4)
    trained(case, module, case.draw(dtype=torch.float64))


@every(CASES)
@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_half(case, dtype, ssl_folder):
    """Cast whole, it says nearly the same, and it can be trained."""
    expected = called(case, ssl_folder)(*case.draw())
    module = called(case, ssl_folder).to(dtype)
    check_near(module(*case.draw(dtype=dtype)), expected, 0.05)
    trained(case, module, case.draw(dtype=dtype))


@every(CASES)
@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_autocast(case, dtype, ssl_folder):
    """Nearly the same as without, with finite gradients."""
    expected, _ = trained(case, called(case, ssl_folder), case.draw())
    with torch.autocast("cpu", dtype):
        found, _ = trained(case, called(case, ssl_folder), case.draw())
    check_near(found, expected, 0.05)


@every([case for case in CASES if case.one_frame])
def test_one_frame(case, ssl_folder):
    """Utterances of one frame: all numbers are finite."""
    module = called(case, ssl_folder)
    with promised(case, "one frame"):
        outputs, _ = trained(case, module, case.one_frame(case.draw()))
        assert all(output.isfinite().all() for output in outputs)


@every(CASES)
def test_batch_of_one(case, ssl_folder):
    """An utterance alone has what it has among others."""
    module, inputs = called(case, ssl_folder), case.draw()
    whole = module(*inputs)
    alone = [module(*[x[i : i + 1] for x in inputs]) for i in range(N)]
    assert all(part.isfinite().all() for part in flat(alone))
    if case.rows == "each":
        check_near([torch.cat(rows) for rows in zip(*alone)], whole, 1e-5)
    if case.rows == "mean":
        check_near(torch.stack(flat(alone)).mean(), whole, 1e-5)


@every(CASES)
def test_compiled(case, ssl_folder):
    """``torch.compile`` gives the same numbers and gradients."""
    if case.exempt.get("compile") not in (None, NO_FORWARD):
        pytest.skip(case.exempt["compile"])
    torch._dynamo.reset()
    with promised(case, "compile"):
        if "compile" in case.exempt:
            case.make()(*case.draw())
        module, other = called(case, ssl_folder), called(case, ssl_folder)
        expected, slopes = trained(case, module, case.draw())
        compiled = torch.compile(other, backend="aot_eager")
        found = compiled.train()(*case.draw())
        check_near(found, expected, 1e-5)
        objective(case, found, N).backward()
        check_near(list(gradients(other).values()), list(slopes.values()), 1e-5)


# Graphs that are written down


class Together(torch.nn.Module):
    """Several cases as one graph: an exporter's start is what takes time."""

    def __init__(self, cases, folder):
        super().__init__()
        self.parts = torch.nn.ModuleList(called(c, folder) for c in cases)

    def forward(self, inputs):
        """The outputs of each, in a list of lists."""
        return [part(*given) for part, given in zip(self.parts, inputs)]


EXPORTED = [case for case in CASES if "export" not in case.exempt]


@pytest.fixture(scope="module")
def together(ssl_folder):
    """All that can be exported, in evaluation, and its graph."""
    module = Together(EXPORTED, ssl_folder).eval()
    return module, torch.export.export(
        module, ([tuple(case.draw()) for case in EXPORTED],)
    )


def test_exported(together):
    """The graph holds for inputs that it was not made with."""
    module, program = together
    inputs = [tuple(other_batch(case, N)) for case in EXPORTED]
    found, expected = program.module()(inputs), module(inputs)
    for case, one, other in zip(EXPORTED, found, expected):
        try:
            check_near(one, other, 1e-5)
        except AssertionError as failure:
            raise AssertionError(case.id) from failure


@every([case for case in CASES if "export" in case.exempt])
def test_what_is_not_exported_is_refused(case):
    """By an error, never by a graph with other numbers."""
    module = case.make().eval()
    with pytest.raises(FAILURES):
        torch.export.export(module, tuple(case.draw()))


def run_onnx(path, inputs):
    """What onnxruntime makes of inputs that a graph asks for, in order."""
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    assert len(names) == len(inputs), "an input is no part of the graph"
    given = {name: x.numpy() for name, x in zip(names, inputs)}
    return [torch.from_numpy(x) for x in session.run(None, given)]


@pytest.mark.filterwarnings("ignore")
def test_onnx(together, tmp_path):
    """The newer exporter, of the graph of ``torch.export``."""
    pytest.importorskip("onnxscript")
    module, program = together
    path = str(tmp_path / "together.onnx")
    torch.onnx.export(program, dynamo=True, verbose=False).save(path)
    inputs = [tuple(other_batch(case, N)) for case in EXPORTED]
    expected = module(inputs)
    found = iter(run_onnx(path, [x for given in inputs for x in given]))
    for case, outputs in zip(EXPORTED, expected):
        try:
            check_near([next(found) for _ in outputs], outputs, 1e-4)
        except AssertionError as failure:
            raise AssertionError(case.id) from failure


@pytest.mark.filterwarnings("ignore")
@every(CASES)
def test_onnx_of_the_older_exporter(case, ssl_folder, tmp_path):
    """It traces, for any batch; what it can't is not wrong in silence."""
    pytest.importorskip("onnx")
    module = called(case, ssl_folder)
    if case.exempt.get(OLDER) == NO_FORWARD:
        module = module.module
    path, given = str(tmp_path / "traced.onnx"), tuple(case.draw())
    names = [f"input{i}" for i in range(len(given))]
    with promised(case, OLDER):
        torch.onnx.export(
            module,
            given,
            path,
            dynamo=False,
            input_names=names,
            dynamic_axes={name: {0: "batch"} for name in names},
        )
    if OLDER not in case.exempt:
        inputs = other_batch(case, N if BATCH in case.exempt else N - 1)
        check_near(run_onnx(path, inputs), module(*inputs), 1e-4)
    if BATCH in case.exempt:
        with pytest.raises(Exception, match="ONNXRuntimeError"):
            run_onnx(path, [tensor[:3] for tensor in given])


# Two processes


@pytest.fixture(scope="module")
def processes(tmp_path_factory, ssl_folder):
    """What each of two processes found, of all cases."""
    out = tmp_path_factory.mktemp("processes")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.lobes.contract_processes"])
    both = [
        context.Process(
            target=contract_processes.main, args=(rank, str(out), ssl_folder)
        )
        for rank in range(2)
    ]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    return [torch.load(out / f"{rank}.pt") for rank in range(2)]


@every(TRAINED)
def test_two_processes_are_as_one(case, processes, ssl_folder):
    """The gradient of the whole batch, the same bits in both of them."""
    _, expected = trained(case, called(case, ssl_folder), case.draw())
    one, two = (found[case.id] for found in processes)
    assert not isinstance(one, str), one
    assert one.keys() == two.keys() == expected.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    for name, value in expected.items():
        torch.testing.assert_close(one[name], value, rtol=1e-4, atol=1e-5)


def test_the_codebook_learns_in_a_brain(processes):
    """By a name of its own, as DDP hides ``pool.codebook``."""
    expected, brain = contract_processes.fitted(slice(None))
    assert brain.modules.pool.codebook is brain.hparams.codebook
    one, two = (found["Brain"] for found in processes)
    for name, value in expected.items():
        assert torch.equal(one[name], two[name])
        torch.testing.assert_close(one[name], value, rtol=1e-5, atol=1e-6)
    assert processes[0]["hidden"] and processes[1]["hidden"]
