"""Lloyd's algorithm and its k-means++ start in plain torch, on any device.

Distances are float32 matrix products without TF32; the frames of each centre are
summed in float64, after a stable sort, one centre after another. So nothing is
added in an order that varies from run to run, as ``index_add`` does on a GPU,
and frames may come in pieces of any size: the work is cut at the same rows.

Reference of the start: "k-means++: The Advantages of Careful Seeding", Arthur
and Vassilvitskii 2007, with the trials of its section 5.
"""

import contextlib
import math

import numpy as np
import torch

# Numbers in the largest work array, and rows of a block at most.
WORK_SIZE = {"cpu": 2**20, "cuda": 2**26}
MOST_ROWS = 2**15
# Bytes of frames that are moved to the device at once.
PIECE_BYTES = 2**28
# Of a device's free memory, what frames that stay there may take.
SHARE = 0.5


class DeviceFrames:
    """Frames for a k-means on a device.

    They stay there if they fit half of what is free, else each pass moves them
    there again, piece by piece.

    Arguments
    ---------
    frames : np.ndarray or StreamedFrames
        ``[n, channels]``, float32; or what has ``pieces`` of such.
    device : str or torch.device
    piece_bytes : int
        Of the frames that are moved at once.
    """

    def __init__(self, frames, device, piece_bytes=PIECE_BYTES):
        self.frames = frames
        self.device = torch.device(device)
        self.piece_bytes = piece_bytes
        streamed = hasattr(frames, "pieces")
        self.channels = frames.channels if streamed else frames.shape[1]
        self.held = None
        if fits(len(frames), self.channels, self.device):
            held = torch.empty((len(frames), self.channels), device=device)
            filled = 0
            for piece in self.pieces(1):
                held[filled : filled + len(piece)] = piece
                filled += len(piece)
            self.held = held

    def __len__(self):
        """Returns the number of frames."""
        return len(self.frames)

    def pieces(self, rows):
        """Yields pieces on the device, each a multiple of so many frames.

        The last may have fewer.
        """
        if self.held is not None:
            yield self.held
            return
        bytes_of_rows = 4 * self.channels * rows
        rows *= max(1, self.piece_bytes // bytes_of_rows)
        if hasattr(self.frames, "pieces"):
            pieces = self.frames.pieces(rows)
        else:
            begins = range(0, len(self), rows)
            pieces = (self.frames[begin : begin + rows] for begin in begins)
        for piece in pieces:
            yield torch.from_numpy(piece).to(self.device)

    def take(self, rows):
        """Returns some of the frames, by their indices, as an array."""
        if self.held is not None:
            rows = torch.from_numpy(rows).to(self.device)
            return self.held[rows].cpu().numpy()
        if hasattr(self.frames, "pieces"):
            return self.frames.take(rows)
        return self.frames[rows]


@torch.no_grad()
def iterate(frames, centres):
    """One iteration of Lloyd's algorithm.

    Arguments
    ---------
    frames : DeviceFrames
    centres : np.ndarray
        ``[size, channels]``, float32.

    Returns
    -------
    np.ndarray
        As `centres`; one that is nobody's nearest stays where it was.

    Example
    -------
    >>> frames = DeviceFrames(np.float32([[0], [1], [10]]), "cpu")
    >>> iterate(frames, np.float32([[0.4], [100], [11]])).tolist()
    [[0.5], [100.0], [10.0]]
    """
    held = torch.from_numpy(centres).to(frames.device)
    sums = torch.zeros_like(held, dtype=torch.float64)
    counts = torch.zeros(len(held), dtype=torch.long, device=held.device)
    # |x - c|^2 - |x|^2, halved
    bias = held.square().sum(dim=1) / 2
    rows = rows_of_block(held)
    with exact_products():
        for piece in frames.pieces(rows):
            for block in piece.split(rows):
                add_block(sums, counts, block, held, bias)
    means = (sums / counts.clamp(min=1).unsqueeze(1)).float()
    moved = torch.where((counts > 0).unsqueeze(1), means, held)
    return moved.cpu().numpy()


def add_block(sums, counts, block, centres, bias):
    """Adds the frames of a block to their centres' sums.

    Arguments
    ---------
    sums : torch.Tensor
        ``[size, channels]``, float64; changed.
    counts : torch.Tensor
        ``[size]``; changed.
    block : torch.Tensor
        ``[rows, channels]``, float32.
    centres : torch.Tensor
        ``[size, channels]``, float32.
    bias : torch.Tensor
        Half of their squared norms, ``[size]``.
    """
    nearest = torch.addmm(bias, block, centres.T, alpha=-1).argmin(dim=1)
    ordered, order = nearest.sort(stable=True)
    # where each centre's frames end
    bounds = torch.searchsorted(
        ordered, torch.arange(len(centres), device=block.device), right=True
    )
    own = bounds.diff(prepend=bounds.new_zeros(1))
    sums += torch.segment_reduce(
        block[order].double(), "sum", lengths=own, axis=0, initial=0
    )
    counts += own


def plus_plus(frames, size, seed, device):
    """Chooses centres among frames by k-means++, greedily among some trials.

    The draws are those of scikit-learn's ``kmeans_plusplus`` with this seed, so
    that the centres are too, unless two trials are equally good up to the last
    bits of a double.

    Arguments
    ---------
    frames : np.ndarray
        ``[n, channels]``.
    size : int
    seed : int
    device : str or torch.device
        Where distances are computed.

    Returns
    -------
    np.ndarray
        Rows of `frames`, ``[size]``.

    Example
    -------
    >>> frames = np.float32([[1], [2], [9]])
    >>> sorted(plus_plus(frames, 3, seed=0, device="cpu").tolist())
    [0, 1, 2]
    """
    draw = np.random.RandomState(seed)
    trials = 2 + int(math.log(size))
    held = torch.tensor(frames, dtype=torch.float64, device=device)
    norms = held.square().sum(dim=1)

    def squares(rows):
        """Squared distances of all frames to some, ``[rows, n]``."""
        rows = torch.as_tensor(rows, device=held.device)
        found = norms[rows].unsqueeze(1) + norms - 2 * held[rows] @ held.T
        found = found.clamp_(min=0)
        # a frame is at no distance of itself, whatever the rounding says
        return found.scatter_(1, rows.unsqueeze(1), 0)

    chosen = [draw.choice(len(frames), p=np.full(len(frames), 1 / len(frames)))]
    closest = squares(chosen)[0]
    for _ in range(1, size):
        # summed on the CPU: on a GPU the order of such sums varies
        running = closest.cpu().numpy().cumsum()
        drawn = running.searchsorted(draw.uniform(size=trials) * running[-1])
        drawn = drawn.clip(max=len(frames) - 1)
        nearer = torch.minimum(squares(drawn), closest)
        best = int(nearer.sum(dim=1).argmin())
        chosen.append(drawn[best])
        closest = nearer[best]
    return np.array(chosen)


def rows_of_block(centres):
    """Returns how many frames are compared with the centres at once.

    It hangs on the number of centres and the kind of device alone, so that the
    result does not hang on the memory that happens to be free.
    """
    size = WORK_SIZE.get(centres.device.type, WORK_SIZE["cuda"])
    return min(MOST_ROWS, max(256, size // len(centres)))


def fits(n, channels, device):
    """Whether so many frames may stay on a device."""
    if device.type != "cuda":
        return False  # they are where they are: a piece is no copy
    free, _ = torch.cuda.mem_get_info(device)
    return 4 * n * channels <= SHARE * free


@contextlib.contextmanager
def exact_products():
    """Switches TF32 off for matrix products; undone at the end."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
