"""Reference of the equations of "Unsupervised Cross-Lingual Speech Emotion
Recognition Using Domain Adversarial Neural Network" (DANN): plain loops in
float64 NumPy.

Written from the paper's text alone, to be compared against. In a batch of
both languages the n source utterances come first, then the m target ones.
"""

import math

import numpy as np

GROUPS = ("encoder", "emotion", "language")


def as_array(values, n_dimensions, name):
    """values as float64; ValueError unless it has n_dimensions, none empty."""
    array = np.array(values, dtype=np.float64)
    if array.ndim != n_dimensions or array.size == 0:
        raise ValueError(
            f"{name}: {n_dimensions} dimensions, none of them empty, were "
            f"expected and not the shape {array.shape}"
        )
    return array


def fixed_length(frames, n_frames=750):
    """Section 3.3: frames [T, d] -> [n_frames, d]. A shorter utterance is
    padded at its end with its own minimum of each dimension; of a longer one
    the middle is kept, from frame (T - n_frames) // 2.
    """
    frames = as_array(frames, 2, "frames")
    if n_frames < 1:
        raise ValueError(f"cannot make {n_frames} frames")
    n_given, n_dimensions = frames.shape
    result = np.zeros((n_frames, n_dimensions), dtype=np.float64)
    start = 0
    if n_given > n_frames:
        start = (n_given - n_frames) // 2
    for c in range(n_dimensions):
        least = frames[0, c]
        for t in range(n_given):
            if frames[t, c] < least:
                least = frames[t, c]
        for t in range(n_frames):
            if t < n_given:
                result[t, c] = frames[start + t, c]
            else:
                result[t, c] = least
    return result


def standardise(utterances):
    """Section 4.1: a list of [T_i, d] -> the same list, each dimension with
    zero mean and unit variance (ddof 0) over all frames of the one database.
    """
    utterances = [as_array(frames, 2, "frames") for frames in utterances]
    if len(utterances) == 0:
        raise ValueError("no utterances: no mean")
    n_dimensions = utterances[0].shape[1]
    n_frames = 0
    for frames in utterances:
        if frames.shape[1] != n_dimensions:
            raise ValueError("utterances of different dimensions")
        n_frames += len(frames)
    results = [np.zeros_like(frames) for frames in utterances]
    for c in range(n_dimensions):
        mean = 0.0
        for frames in utterances:
            for t in range(len(frames)):
                mean += frames[t, c] / n_frames
        variance = 0.0
        for frames in utterances:
            for t in range(len(frames)):
                variance += (frames[t, c] - mean) ** 2 / n_frames
        if variance == 0.0:
            raise ValueError(f"dimension {c} is constant")
        for frames, result in zip(utterances, results):
            for t in range(len(frames)):
                result[t, c] = (frames[t, c] - mean) / math.sqrt(variance)
    return results


def convolution(x, kernel, bias, stride):
    """The 1D convolution of Section 2.1 along time, no padding, before ReLU.

    x [T, d], kernel [filters, d, size] (not flipped), bias [filters]. Returns
    [(T - size) // stride + 1, filters].
    """
    x = as_array(x, 2, "x")
    kernel = as_array(kernel, 3, "kernel")
    bias = as_array(bias, 1, "bias")
    n_filters, n_dimensions, size = kernel.shape
    if x.shape[1] != n_dimensions or len(bias) != n_filters:
        raise ValueError("x, kernel and bias do not fit each other")
    if stride < 1 or len(x) < size:
        raise ValueError(f"no window of {size} in {len(x)} frames")
    n_windows = (len(x) - size) // stride + 1
    result = np.zeros((n_windows, n_filters), dtype=np.float64)
    for t in range(n_windows):
        for f in range(n_filters):
            total = bias[f]
            for k in range(size):
                total += np.dot(x[t * stride + k], kernel[f, :, k])
            result[t, f] = total
    return result


def relu(x):
    """The ReLU of Section 2.1: max(0, x) of each number, any shape."""
    result = np.array(x, dtype=np.float64)
    for index in np.ndindex(result.shape):
        if result[index] < 0.0:
            result[index] = 0.0
    return result


def max_pool(x, size, stride):
    """The max pooling of Section 2.1 along time, whole windows only.

    x [T, c]. Returns [(T - size) // stride + 1, c].
    """
    x = as_array(x, 2, "x")
    if size < 1 or stride < 1 or len(x) < size:
        raise ValueError(f"no window of {size} in {len(x)} frames")
    n_windows = (len(x) - size) // stride + 1
    result = np.zeros((n_windows, x.shape[1]), dtype=np.float64)
    for i in range(n_windows):
        for c in range(x.shape[1]):
            largest = x[i * stride, c]
            for k in range(1, size):
                if x[i * stride + k, c] > largest:
                    largest = x[i * stride + k, c]
            result[i, c] = largest
    return result


def attention(f_hat, v):
    """Eq. 1: s_i = exp(v . f_i) / sum_j exp(v . f_j); Eq. 2: the attentive
    vector a_f = sum_i s_i f_i. f_hat [N, c], v [c]. Returns s [N], a_f [c].
    """
    f_hat = as_array(f_hat, 2, "f_hat")
    v = as_array(v, 1, "v")
    n_vectors, n_channels = f_hat.shape
    if len(v) != n_channels:
        raise ValueError(f"v is {len(v)} long for {n_channels} channels")
    scores = []
    for i in range(n_vectors):
        score = 0.0
        for c in range(n_channels):
            score += v[c] * f_hat[i, c]
        scores.append(score)
    largest = max(scores)
    total = 0.0
    for score in scores:
        total += math.exp(score - largest)
    s = np.zeros(n_vectors, dtype=np.float64)
    a_f = np.zeros(n_channels, dtype=np.float64)
    for i in range(n_vectors):
        s[i] = math.exp(scores[i] - largest) / total
        for c in range(n_channels):
            a_f[c] += s[i] * f_hat[i, c]
    return s, a_f


def encode(x, kernel, bias, v, stride=3, pool=30):
    """The encoder of Section 2.1 before its BN: x [750, d] -> [(N + 1) * c].

    Convolution, ReLU, max pooling to [N, c], and a_f (Eqs. 1 and 2) behind
    them along time; flattened vector by vector, the first pooled one first.
    """
    f_hat = max_pool(relu(convolution(x, kernel, bias, stride)), pool, pool)
    _, a_f = attention(f_hat, v)
    flat = []
    for i in range(len(f_hat)):
        for c in range(len(a_f)):
            flat.append(f_hat[i, c])
    for c in range(len(a_f)):
        flat.append(a_f[c])
    return np.array(flat, dtype=np.float64)


def batch_norm(x, gamma, beta, eps=1e-5, mean=None, var=None):
    """BN of x [n, d]: gamma (x - mean) / sqrt(var + eps) + beta, all [d].

    Without mean and var, those of the batch, the variance biased (1 / n).
    Returns the result [n, d] and the mean and variance [d] that it used.
    """
    x = as_array(x, 2, "x")
    gamma = as_array(gamma, 1, "gamma")
    beta = as_array(beta, 1, "beta")
    n, d = x.shape
    if (mean is None) != (var is None):
        raise ValueError("mean and var: both or neither")
    if mean is None:
        mean = np.zeros(d, dtype=np.float64)
        var = np.zeros(d, dtype=np.float64)
        for c in range(d):
            for i in range(n):
                mean[c] += x[i, c] / n
            for i in range(n):
                var[c] += (x[i, c] - mean[c]) ** 2 / n
    else:
        mean = as_array(mean, 1, "mean")
        var = as_array(var, 1, "var")
    if not len(gamma) == len(beta) == len(mean) == len(var) == d:
        raise ValueError(f"gamma, beta, mean and var must be {d} long")
    result = np.zeros((n, d), dtype=np.float64)
    for i in range(n):
        for c in range(d):
            scaled = (x[i, c] - mean[c]) / math.sqrt(var[c] + eps)
            result[i, c] = gamma[c] * scaled + beta[c]
    return result, mean, var


def running(mean_old, var_old, batch_mean, batch_var_biased, n, momentum=0.1):
    """The running mean and variance [d] after one batch of n, as PyTorch
    keeps them: (1 - momentum) old + momentum new, the new variance made
    unbiased by n / (n - 1). Not in the paper. Returns both.
    """
    mean_old = as_array(mean_old, 1, "mean_old")
    var_old = as_array(var_old, 1, "var_old")
    batch_mean = as_array(batch_mean, 1, "batch_mean")
    batch_var = as_array(batch_var_biased, 1, "batch_var_biased")
    d = len(mean_old)
    if not len(var_old) == len(batch_mean) == len(batch_var) == d:
        raise ValueError("means and variances of different lengths")
    if n < 2:
        raise ValueError(f"no unbiased variance of a batch of {n}")
    mean_new = np.zeros(d, dtype=np.float64)
    var_new = np.zeros(d, dtype=np.float64)
    for c in range(d):
        unbiased = batch_var[c] * n / (n - 1)
        mean_new[c] = (1.0 - momentum) * mean_old[c]
        mean_new[c] += momentum * batch_mean[c]
        var_new[c] = (1.0 - momentum) * var_old[c] + momentum * unbiased
    return mean_new, var_new


def stack(first, second):
    """first [n, d] and behind it second [m, d]. Returns [n + m, d]."""
    first = as_array(first, 2, "first")
    second = as_array(second, 2, "second")
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"dimensions {first.shape[1]} and {second.shape[1]} in one batch"
        )
    rows = []
    for row in first:
        rows.append(row)
    for row in second:
        rows.append(row)
    return np.array(rows, dtype=np.float64)


def normalised(way, source, target, gamma, beta):
    """BN1 to BN3 of Section 4.2.2, or "none": source [n, d], target [m, d].

    One gamma and beta [d] for all. Returns what the emotion classifier gets,
    [n, d], and what the language classifier gets, [n + m, d], source first.
    """
    whole = stack(source, target)
    source = as_array(source, 2, "source")
    n = len(source)
    if way == "none":
        return source, whole
    if way == "bn1":
        language, _, _ = batch_norm(whole, gamma, beta)
        return language[:n].copy(), language
    if way == "bn2":
        emotion, _, _ = batch_norm(source, gamma, beta)
        language, _, _ = batch_norm(whole, gamma, beta)
        return emotion, language
    if way == "bn3":
        emotion, _, _ = batch_norm(source, gamma, beta)
        other, _, _ = batch_norm(target, gamma, beta)
        return emotion, stack(emotion, other)
    raise ValueError(f"{way!r} is not a way to combine the data of one batch")


def bn4_step(batch, gamma, beta):
    """BN4 of Section 4.2.2: batch [b, d] of one domain alone -> [b, d].

    A source batch goes on to both classifiers, a target batch to the language
    classifier only.
    """
    result, _, _ = batch_norm(batch, gamma, beta)
    return result


def log_softmax(logits):
    """log(exp(z_k) / sum_l exp(z_l)) along the rows of logits [n, c].

    Returns [n, c].
    """
    logits = as_array(logits, 2, "logits")
    result = np.zeros(logits.shape, dtype=np.float64)
    for i in range(len(logits)):
        largest = max(float(value) for value in logits[i])
        total = 0.0
        for value in logits[i]:
            total += math.exp(float(value) - largest)
        for k in range(logits.shape[1]):
            result[i, k] = logits[i, k] - largest - math.log(total)
    return result


def emotion_loss(logits, labels):
    """Eq. 5: L_e = -1/n sum y . log G_e, over the n source utterances.

    logits [n, c] before the softmax, labels [n] of 0 to c - 1. A float.
    """
    log_p = log_softmax(logits)
    n, n_classes = log_p.shape
    if len(labels) != n:
        raise ValueError(f"{len(labels)} labels for {n} utterances")
    total = 0.0
    for i in range(n):
        if not 0 <= labels[i] < n_classes:
            raise ValueError(f"label {labels[i]} of {n_classes} classes")
        for k in range(n_classes):
            y = 1.0 if k == labels[i] else 0.0
            total -= y * log_p[i, k]
    return float(total / n)


def language_loss(logits, n):
    """Eq. 6: L_l = -1/(n+m) sum y_l . log G_l, over source and target.

    logits [n + m, 2] before the softmax; the first n are source, language 0,
    the others target, language 1; n or m may be 0 (BN4). A float.
    """
    logits = as_array(logits, 2, "logits")
    if logits.shape[1] != 2:
        raise ValueError(f"{logits.shape[1]} outputs for two languages")
    if not 0 <= n <= len(logits):
        raise ValueError(f"{n} source utterances in a batch of {len(logits)}")
    languages = []
    for i in range(len(logits)):
        languages.append(0 if i < n else 1)
    return emotion_loss(logits, languages)


def total_loss(alpha, Le, Ll):
    """Eq. 7: L = alpha L_e + (1 - alpha) L_l, of numbers."""
    return alpha * Le + (1.0 - alpha) * Ll


def updates(theta, dLe, dLl, alpha, beta, lr):
    """Eqs. 8 to 10: one step of gradient descent, beta the scale of the GRL.

    theta has the arrays "encoder", "emotion" and "language", dLe (Eq. 5) the
    true gradients of the first two, dLl (Eq. 6) of the first and the last.
    Returns the new theta.
    """
    if sorted(theta) != sorted(GROUPS):
        raise ValueError(f"theta must have {GROUPS}")
    if sorted(dLe) != ["emotion", "encoder"]:
        raise ValueError("dLe must have encoder and emotion")
    if sorted(dLl) != ["encoder", "language"]:
        raise ValueError("dLl must have encoder and language")
    result = {}
    for group in GROUPS:
        old = np.array(theta[group], dtype=np.float64)
        for gradients in (dLe, dLl):
            if group in gradients:
                if np.shape(gradients[group]) != old.shape:
                    raise ValueError(f"a gradient does not fit the {group}")
        new = np.zeros(old.shape, dtype=np.float64)
        for index in np.ndindex(old.shape):
            if group == "emotion":
                slope = alpha * np.asarray(dLe[group])[index]
            elif group == "language":
                slope = (1.0 - alpha) * np.asarray(dLl[group])[index]
            else:
                slope = alpha * np.asarray(dLe[group])[index]
                reversed_slope = beta * np.asarray(dLl[group])[index]
                slope -= (1.0 - alpha) * reversed_slope
            new[index] = old[index] - lr * slope
        result[group] = new
    return result


def learning_rate(epoch, initial=1e-3, decay=0.93, final=5e-5):
    """Section 4.1: the rate of an epoch, the first being 1: initial, times
    decay for every epoch after the first, never below final. A float.
    """
    if epoch < 1:
        raise ValueError(f"epochs count from 1, not from {epoch}")
    rate = initial
    for _ in range(1, epoch):
        rate *= decay
    return max(rate, final)


def l1(weights):
    """The l_1 of Section 4.1 without its weight: sum |w|, a list of arrays."""
    total = 0.0
    for weight in weights:
        for value in np.ravel(np.asarray(weight, dtype=np.float64)):
            total += abs(float(value))
    return total


def l2(weights):
    """The l_2 of Section 4.1 without its weight: sum w^2, a list of arrays."""
    total = 0.0
    for weight in weights:
        for value in np.ravel(np.asarray(weight, dtype=np.float64)):
            total += float(value) * float(value)
    return total


def reversal_ramp(progress, maximum, gamma=10):
    """maximum (2 / (1 + exp(-gamma p)) - 1), for a progress p of 0 to 1.

    Of Ganin et al. 2016 (the paper's [17]), not in the paper itself. A float.
    """
    if not 0.0 <= progress <= 1.0:
        raise ValueError(f"progress {progress} is not between 0 and 1")
    return maximum * (2.0 / (1.0 + math.exp(-gamma * progress)) - 1.0)


def binary(value, threshold):
    """Section 3.3: 1 (high/positive) above the threshold, 0 up to and at it.

    The threshold is 2.5 for IEMOCAP, 0 for RECOLA.
    """
    return 1 if value > threshold else 0


def mean_rating(ratings):
    """Section 3.2: the mean over all frames and raters of an utterance.

    ratings [frames, raters]. A float.
    """
    ratings = as_array(ratings, 2, "ratings")
    total = 0.0
    for t in range(ratings.shape[0]):
        for rater in range(ratings.shape[1]):
            total += ratings[t, rater]
    return float(total / ratings.size)


def numeric_gradient(f, x, step=1e-6):
    """Central differences of f, a scalar function of an array like x.

    x of any shape. Returns the gradient, of the shape of x.
    """
    x = np.array(x, dtype=np.float64)
    result = np.zeros(x.shape, dtype=np.float64)
    for index in np.ndindex(x.shape):
        above = x.copy()
        above[index] += step
        below = x.copy()
        below[index] -= step
        result[index] = (float(f(above)) - float(f(below))) / (2.0 * step)
    return result
