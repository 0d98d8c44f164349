"""Two processes that train together, by gloo, against one of them alone.

Each process has one thread and the same number of utterances a step, as by
``torchrun --nproc-per-node 2``; what is compared is samples a second. The model
is IPR's baseline on a wav2vec 2.0 of BASE's form and less of it, all of its
blocks trained, with random weights. One process alone and the two take turns;
the ratio is the median of the turns' ratios. Once more with short utterances,
where what is exchanged counts for more.

What two processes can gain at most is what the machine gives them: beside it
stands what two gain that train for themselves and exchange nothing.

> python benchmarks/processes.py
"""

import argparse
import contextlib
import multiprocessing
import os
import socket
import statistics
import tempfile
import time

import torch
from ipr_step import FOLDER, RATE, save_wav2vec2
from rows import add_rows_option, row, write_rows

import speechbrain as sb
from speechbrain.dataio.batch import PaddedBatch
from speechbrain_ser.experiment import hparams as recipe

GOAL = "at least 1.7"
PATIENCE = 300  # seconds that a turn may take
SHAPE = {
    "num_attention_heads": 4,
    "num_conv_pos_embeddings": 64,
    "num_conv_pos_embedding_groups": 16,
}
# Command lines of the tests, each a trial of a second.
SMOKE = (
    "--seconds 0.2 --turns 1 --steps 1 --batch 1 --blocks 1 --hidden 16 "
    "--channels 8",
)


def make_brain(folder, arguments):
    """Makes the Brain of a process, wrapped by DDP if it is one of two."""
    hidden = arguments.hidden
    save_wav2vec2(
        folder,
        arguments.blocks,
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        conv_dim=(arguments.channels,) * 7,
        **SHAPE,
    )
    settings = {
        "output_folder": folder,
        "ssl_source": folder,
        "system": "baseline",
        "embedding_dim": hidden,
    }
    hparams = recipe.load(
        FOLDER / "hparams" / "ipr.yaml", recipe.with_overrides("", **settings)
    )
    run_opts = sb.core.RunOptions.from_dictionary(
        {"device": "cpu", "distributed_backend": "gloo"}
    )
    sb.utils.distributed.ddp_init_group(run_opts)
    brain = hparams["brain"](run_opts=run_opts, checkpointer=None)
    brain.set_parts(
        {
            part: {"a": {"wav": "", "duration": 1.0, "emotion": "neu"}}
            for part in ("train", "valid", "test")
        }
    )
    brain.epoch = 1
    sb.Brain.on_fit_start(brain)
    brain.modules.train()
    return brain


def make_batch(n, seconds):
    """Makes a batch of noise."""
    return PaddedBatch(
        [
            {
                "id": str(i),
                "sig": 0.1 * torch.randn(int(RATE * seconds)),
                "label": i % 4,
                "domain": 0,
            }
            for i in range(n)
        ]
    )


def work(connection, arguments, environment):
    """A process: trains so many steps, whenever it is told to.

    Arguments
    ---------
    connection : multiprocessing.Connection
        It is told the seconds of an utterance and the steps, gives the time;
        told None, it ends.
    arguments : argparse.Namespace
    environment : dict
        Of torchrun; empty: it trains alone.
    """
    parent = os.getppid()
    torch.set_num_threads(1)
    os.environ |= environment
    torch.manual_seed(int(environment.get("RANK", 0)))
    with tempfile.TemporaryDirectory() as folder:
        brain = make_brain(folder, arguments)
        while os.getppid() == parent:
            if not connection.poll(5):
                continue
            told = connection.recv()
            if told is None:
                return
            seconds, steps = told
            batch = make_batch(arguments.batch, seconds)
            brain.fit_batch(batch)  # what is new to it is not measured
            start = time.perf_counter()
            for _ in range(steps):
                brain.fit_batch(batch)
            connection.send(time.perf_counter() - start)


def free_port():
    """Returns a port that nobody listens at."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return str(held.getsockname()[1])


def start_method():
    """Chooses how processes begin: forked where all is imported, if they may.

    Where torch sees a GPU, a process that ran a backward pass, on a CPU too,
    leaves to those that it forks no other.
    """
    return "spawn" if torch.cuda.is_available() else "fork"


def start(arguments):
    """Starts two processes that train alone and two that train together.

    Returns
    -------
    list of tuple
        Process and connection: the two alone, then the two together.
    """
    together = {
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": free_port(),
    }
    context = multiprocessing.get_context(start_method())
    started = []
    for environment in [
        {},
        {},
        *(together | {"RANK": r, "LOCAL_RANK": r} for r in "01"),
    ]:
        here, there = context.Pipe()
        process = context.Process(
            target=work, args=(there, arguments, environment), daemon=True
        )
        process.start()
        there.close()
        started.append((process, here))
    return started


def end(started):
    """Lets processes end by themselves, as they remove what they wrote."""
    for _, connection in started:
        with contextlib.suppress(ConnectionError):  # it has ended
            connection.send(None)
    for process, connection in started:
        process.join(10)
        process.kill()
        process.join()
        connection.close()


def turn(started, seconds, steps):
    """Lets processes train at once; returns the time of the slowest."""
    taken = []
    try:
        for process, connection in started:
            connection.send((seconds, steps))
        for process, connection in started:
            if not connection.poll(PATIENCE):
                raise SystemExit(f"process {process.pid} said nothing too long")
            taken.append(connection.recv())
    except (EOFError, ConnectionError):
        raise SystemExit(f"process {process.pid} ended, see above") from None
    return max(taken)


def compare(started, seconds, arguments):
    """Takes turns.

    Returns
    -------
    times : dict
        The median time of each side's steps, in seconds.
    ratio : float
        Of samples a second, two together to one alone: the median of the turns'.
    most : float
        The same of two that exchange nothing.
    """
    sides = {"one": started[:1], "apart": started[:2], "two": started[2:]}
    times = {name: [] for name in sides}
    for _ in range(arguments.turns):
        for name, side in sides.items():
            times[name].append(turn(side, seconds, arguments.steps))

    def gain(name):
        """Twice the samples in a side's time."""
        pairs = zip(times["one"], times[name])
        return statistics.median(2 * alone / taken for alone, taken in pairs)

    middle = {name: statistics.median(held) for name, held in times.items()}
    return middle, gain("two"), gain("apart")


def main(argv=None):
    """Prints one row a length of utterances."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=2, help="of each process")
    parser.add_argument("--seconds", type=float, nargs="+", default=(3.0, 0.5))
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--steps", type=int, default=2, help="of a turn")
    parser.add_argument("--turns", type=int, default=5)
    add_rows_option(parser)
    arguments = parser.parse_args(argv)
    print(
        f"{arguments.batch} utterances a process and step, "
        f"{arguments.blocks} blocks of {arguments.hidden}; cpu, one thread a "
        f"process, {os.cpu_count()} cores\n"
        f"{'s':>5}{'one: ms a step':>16}{'two: ms a step':>16}{'ratio':>7}"
        f"{'apart':>7}"
    )
    started, rows = start(arguments), []
    try:
        for seconds in arguments.seconds:
            times, ratio, most = compare(started, seconds, arguments)
            one, two = (
                1e3 * times[name] / arguments.steps for name in ("one", "two")
            )
            print(
                f"{seconds:5g}{one:16.1f}{two:16.1f}{ratio:7.2f}{most:7.2f}",
                flush=True,
            )
            rows.append(
                row(
                    "processes",
                    "samples a second of two gloo processes, wav2vec 2.0 of "
                    f"{arguments.blocks} blocks of {arguments.hidden}, "
                    f"{arguments.batch} x {seconds:g} s; apart {most:.2f}",
                    f"{two:.0f} ms a step of both",
                    f"{one:.0f} ms a step of one",
                    ratio,
                    GOAL if seconds >= 2 else None,
                )
            )
    finally:
        end(started)
    write_rows(arguments.rows, rows, threads=1)


if __name__ == "__main__":
    main()
