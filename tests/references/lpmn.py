"""Reference of the equations of "An Effective Local Prototypical Mapping
Network for Speech Emotion Recognition" (LPMN): plain loops in float64 NumPy.

Written from the paper's text alone, to be compared against. X are frames
[N, C] or [T, C], P the codebook of prototypes [K, C]. Nothing is guarded
against a division by zero: a cosine with an all-zero vector is not defined.
"""

import math

import numpy as np


def dot(left, right):
    """The product x . p of Eq. 2, for two vectors [C]."""
    total = 0.0
    for c in range(len(left)):
        total += float(left[c]) * float(right[c])
    return total


def squared_distance(left, right):
    """The square of the ||x - p||_2 of Eq. 1, for two vectors [C]."""
    total = 0.0
    for c in range(len(left)):
        difference = float(left[c]) - float(right[c])
        total += difference * difference
    return total


def cosine(frame, prototype):
    """The first line of Eq. 2: x . p / (||x|| ||p||), for two vectors [C]."""
    frame_length = math.sqrt(dot(frame, frame))
    prototype_length = math.sqrt(dot(prototype, prototype))
    return dot(frame, prototype) / (frame_length * prototype_length)


def log_softmax(values):
    """log(exp(v_k) / sum_l exp(v_l)), for one vector [K]. Returns [K]."""
    largest = max(float(value) for value in values)
    total = 0.0
    for value in values:
        total += math.exp(float(value) - largest)
    result = np.zeros(len(values), dtype=np.float64)
    for k in range(len(values)):
        result[k] = float(values[k]) - largest - math.log(total)
    return result


def nearest(frames, prototypes):
    """The assignment behind Eq. 1: which p_j of P stands against each x_i.

    frames [N, C], prototypes [K, C]. Returns a list of N indices: for each
    frame the prototype at the least Euclidean distance, the first on a tie.
    """
    result = []
    for i in range(len(frames)):
        best = 0
        least = squared_distance(frames[i], prototypes[0])
        for j in range(1, len(prototypes)):
            distance = squared_distance(frames[i], prototypes[j])
            if distance < least:
                best = j
                least = distance
        result.append(best)
    return result


def quantization_loss(
    frames,
    prototypes,
    codebook_weight=1.0,
    commitment_weight=1.0,
    squared=False,
):
    """Eq. 1: L_OPL = ||sg(X) - P||_2 + ||X - sg(P)||_2, each term weighted.

    frames [N, C], prototypes [K, C]; the P of a frame is its nearest
    prototype. As printed, each term is the mean over the N frames of the
    Euclidean norm; squared=True takes the VQ-VAE reading, the mean over the
    N frames and the C channels of the squared differences. Returns a float.
    """
    assigned = nearest(frames, prototypes)
    codebook = 0.0
    commitment = 0.0
    for i in range(len(frames)):
        prototype = prototypes[assigned[i]]
        if squared:
            n_channels = len(frames[i])
            codebook += squared_distance(frames[i], prototype) / n_channels
            commitment += squared_distance(frames[i], prototype) / n_channels
        else:
            codebook += math.sqrt(squared_distance(frames[i], prototype))
            commitment += math.sqrt(squared_distance(frames[i], prototype))
    codebook /= len(frames)
    commitment /= len(frames)
    return codebook_weight * codebook + commitment_weight * commitment


def quantization_gradients(
    frames,
    prototypes,
    codebook_weight=1.0,
    commitment_weight=1.0,
    squared=False,
):
    """The gradients of Eq. 1, as its stop-gradients sg(.) let them through.

    frames [N, C], prototypes [K, C]. The first term moves the prototypes
    only and the second the frames only; the assignment is held fixed. As
    printed, d||x - p|| / dx = (x - p) / ||x - p|| = -d||x - p|| / dp, taken
    as 0 where x = p; squared=True has 2 (x - p) / C instead. Both are divided
    by N, for the mean. Returns dframes [N, C] and dprototypes [K, C].
    """
    n_frames = len(frames)
    n_channels = len(frames[0])
    dframes = np.zeros((n_frames, n_channels), dtype=np.float64)
    dprototypes = np.zeros((len(prototypes), n_channels), dtype=np.float64)
    assigned = nearest(frames, prototypes)
    for i in range(n_frames):
        j = assigned[i]
        length = math.sqrt(squared_distance(frames[i], prototypes[j]))
        for c in range(n_channels):
            difference = float(frames[i][c]) - float(prototypes[j][c])
            if squared:
                slope = 2.0 * difference / n_channels
            elif length > 0.0:
                slope = difference / length
            else:
                slope = 0.0
            dprototypes[j, c] += codebook_weight * -slope / n_frames
            dframes[i, c] += commitment_weight * slope / n_frames
    return dframes, dprototypes


def mapping(frames, prototypes, tau):
    """Eq. 2: s(x_i, p_j) = exp(cos_ij / tau) / sum_l exp(cos_il / tau).

    One utterance: frames [T, C], prototypes [K, C]. Returns D [T, K], the
    rows d_i, each of which sums to one.
    """
    n_prototypes = len(prototypes)
    D = np.zeros((len(frames), n_prototypes), dtype=np.float64)
    for i in range(len(frames)):
        scaled = []
        for j in range(n_prototypes):
            scaled.append(cosine(frames[i], prototypes[j]) / tau)
        log_s = log_softmax(scaled)
        for j in range(n_prototypes):
            D[i, j] = math.exp(log_s[j])
    return D


def maxpool(D):
    """The Y = maxpool([d_1, ..., d_T]) of Section 3.2, along time.

    D [T, K]. Returns Y [K] and the frames [K] where each prototype has its
    maximum, the first one on a tie.
    """
    n_prototypes = len(D[0])
    Y = np.zeros(n_prototypes, dtype=np.float64)
    winners = np.zeros(n_prototypes, dtype=np.int64)
    for j in range(n_prototypes):
        best = 0
        for i in range(1, len(D)):
            if D[i][j] > D[best][j]:
                best = i
        Y[j] = D[best][j]
        winners[j] = best
    return Y, winners


def local_prototypical_mapping(batch, counts, prototypes, tau):
    """Eq. 2 and the maxpool of Section 3.2, utterance by utterance.

    batch [B, T, C] is padded and counts [B] tells how many frames of each
    utterance are valid: the others take no part. prototypes [K, C]. Returns
    Y [B, K].
    """
    result = np.zeros((len(batch), len(prototypes)), dtype=np.float64)
    for b in range(len(batch)):
        frames = batch[b][: int(counts[b])]
        result[b], _ = maxpool(mapping(frames, prototypes, tau))
    return result


def log_probability(
    frames, prototypes, tau, weight, bias, label, scale=1.0, shift=0.0
):
    """The log p(y | X) of Eqs. 3 and 4, for one utterance.

    frames [T, C], prototypes [K, C]; the classifier is linear, with weight
    [n_classes, K] and bias [n_classes], on scale * Y + shift, where Y [K] is
    pooled as in Section 3.2 and scale and shift are numbers or [K]. Returns
    the log softmax of the logits at the label, a float.
    """
    Y, _ = maxpool(mapping(frames, prototypes, tau))
    scales = np.broadcast_to(np.asarray(scale, dtype=np.float64), Y.shape)
    shifts = np.broadcast_to(np.asarray(shift, dtype=np.float64), Y.shape)
    logits = []
    for n in range(len(weight)):
        logit = float(bias[n])
        for j in range(len(Y)):
            logit += float(weight[n][j]) * (scales[j] * Y[j] + shifts[j])
        logits.append(logit)
    return float(log_softmax(logits)[int(label)])


def fisher_importance(
    batch,
    counts,
    labels,
    prototypes,
    tau,
    weight,
    bias,
    scale=1.0,
    shift=0.0,
    step=1e-5,
):
    """Eq. 4: F(p_j) = 1 / (B T) sum (d log p(y | X; p_j) / d p_j)^2.

    batch [B, T, C] is padded, counts [B] are its valid frames, labels [B];
    prototypes [K, C]; the rest as in log_probability. The label and so
    log p(y_b | X_b) belong to an utterance: the sum runs over the B
    utterances, while B T counts all the valid frames. The square of the
    gradient, a vector [C], is the sum of the squares of its coordinates,
    each by central differences of the given step. Returns F [K].
    """
    n_frames = 0
    for b in range(len(batch)):
        n_frames += int(counts[b])
    result = np.zeros(len(prototypes), dtype=np.float64)
    for b in range(len(batch)):
        frames = batch[b][: int(counts[b])]
        for j in range(len(prototypes)):
            for c in range(len(prototypes[j])):
                values = []
                for offset in (step, -step):
                    moved = np.array(prototypes, dtype=np.float64)
                    moved[j, c] += offset
                    values.append(
                        log_probability(
                            frames,
                            moved,
                            tau,
                            weight,
                            bias,
                            labels[b],
                            scale=scale,
                            shift=shift,
                        )
                    )
                slope = (values[0] - values[1]) / (2.0 * step)
                result[j] += slope * slope
    return result / n_frames


def moving_average(values, decay):
    """The EMA of F of Section 3.3, over a sequence of importances [K].

    Starts with the first one as it is; each further one makes it
    decay * old + (1 - decay) * new. Returns the last average, [K].
    """
    average = np.array(values[0], dtype=np.float64)
    for i in range(1, len(values)):
        for j in range(len(average)):
            new = float(values[i][j])
            average[j] = decay * average[j] + (1.0 - decay) * new
    return average


def select(importance, k):
    """The top-K' of Section 3.3: the k largest of importance [K].

    Returns a list of k indices, the most important first; of two that are
    equal the lower index comes first.
    """
    if not 0 <= k <= len(importance):
        raise ValueError(f"cannot select {k} of {len(importance)} prototypes")
    kept = []
    for _ in range(k):
        best = None
        for j in range(len(importance)):
            if j in kept:
                continue
            if best is None or importance[j] > importance[best]:
                best = j
        kept.append(best)
    return kept


def selected_mapping(frames, prototypes, kept, tau):
    """Eq. 2 after the selection of Section 3.3.

    frames [T, C], prototypes [K, C], kept K' indices. Only the kept
    prototypes take part in the softmax. Returns D [T, K'], its columns in
    the order of kept.
    """
    remaining = []
    for j in kept:
        remaining.append(prototypes[int(j)])
    return mapping(frames, remaining, tau)


def perplexity(counts):
    """How many prototypes are in use: exp(-sum_j q_j log q_j).

    Not in the paper; usual with a VQ-VAE codebook. counts [K] are the frames
    that each prototype is nearest to and q_j their shares; 0 log 0 = 0.
    Returns a float between 1 and K.
    """
    total = 0.0
    for count in counts:
        total += float(count)
    if total == 0.0:
        raise ValueError("no frames: no shares")
    entropy = 0.0
    for count in counts:
        share = float(count) / total
        if share > 0.0:
            entropy -= share * math.log(share)
    return math.exp(entropy)
