"""Reference of the equations of "Speaker-invariant Affective Representation
Learning via Adversarial Training" (MEnAN): plain loops in float64 NumPy.

Written from the paper's text alone, to be compared against. Logarithms are
natural; a layer's weights are laid out as torch lays them out.
"""

import math

import numpy as np

RATED = ("happy", "sad", "anger", "surprise", "disgust", "fear")
EMOTIONS = ("hap", "sad", "ang", "neu")


def as_array(values, n_dimensions, name):
    """values as float64; ValueError unless it has n_dimensions, none empty."""
    array = np.array(values, dtype=np.float64)
    if array.ndim != n_dimensions or array.size == 0:
        raise ValueError(
            f"{name}: {n_dimensions} dimensions, none of them empty, were "
            f"expected and not the shape {array.shape}"
        )
    return array


def shaped(weights, key, *shape):
    """weights[key] as nested lists of floats; ValueError for another shape."""
    array = np.array(weights[key], dtype=np.float64)
    if array.shape != shape:
        raise ValueError(f"{key} is {array.shape}, not {shape}")
    return array.tolist()


def slope(weights, key):
    """weights[key], the one learnt number of a PReLU, as a float."""
    array = np.array(weights[key], dtype=np.float64)
    if array.size != 1:
        raise ValueError(f"{key} is {array.shape}, not one number")
    return float(array.reshape(1)[0])


def log_probabilities(logits):
    """The log P(k | enc(x)) of Eqs. 1, 2 and 4, by a softmax of each row.

    logits [n, classes]. Returns n lists of floats.
    """
    rows = []
    for row in as_array(logits, 2, "logits").tolist():
        largest = max(row)
        total = 0.0
        for value in row:
            total += math.exp(value - largest)
        rows.append([value - largest - math.log(total) for value in row])
    return rows


def cross_entropy(logits, labels):
    """The mean of -log P(label), for Eqs. 1 and 4. labels [n], from 0."""
    rows = log_probabilities(logits)
    if len(labels) != len(rows):
        raise ValueError(f"{len(labels)} labels for {len(rows)} utterances")
    total = 0.0
    for row, label in zip(rows, labels):
        if not 0 <= label < len(row):
            raise ValueError(f"label {label} of {len(row)} classes")
        total -= row[int(label)]
    return total / len(rows)


def speaker_loss(logits, speakers):
    """Eq. 1: L_D_Spk = -log P(k_i | enc(x_i)), the loss of SC alone.

    The mean over the utterances given, where Eq. 1 sums over all the data.
    logits [n, speakers] before the softmax, speakers [n] from 0. A float.
    """
    return cross_entropy(logits, speakers)


def entropy(logits):
    """Eq. 2: L_H_Spk = sum_j -P(k_j | enc(x_i)) log P(k_j | enc(x_i)).

    The mean over the utterances given, where Eq. 2 sums over all the data;
    the sum over the speakers stays a sum. logits [n, speakers]. A float.
    """
    rows = log_probabilities(logits)
    total = 0.0
    for row in rows:
        for log_p in row:
            total -= math.exp(log_p) * log_p
    return total / len(rows)


def emotion_loss(logits, emotions):
    """Eq. 4: L_D_Emo = -log P(e_i | enc(x_i)).

    The mean over the utterances given, where Eq. 4 sums over all the data.
    logits [n, emotions] before the softmax, emotions [n] from 0. A float.
    """
    return cross_entropy(logits, emotions)


def objective(emotion_logits, emotions, speaker_logits, lam):
    """Eq. 5: L(ENC, EC) = lam L_D_Emo - (1 - lam) L_H_Spk, a float.

    Of Eqs. 4 and 2 as means. The paper has lam in (0, 1), 0.5 in Table 1;
    the ends are taken too.
    """
    if not 0.0 <= lam <= 1.0:
        raise ValueError(f"lam {lam} is not between 0 and 1")
    if len(emotion_logits) != len(speaker_logits):
        raise ValueError("emotions and speakers of different utterances")
    emotion = emotion_loss(emotion_logits, emotions)
    return lam * emotion - (1.0 - lam) * entropy(speaker_logits)


def table_1_parameters():
    """Table 1: part -> its number of learnt parameters, counted by hand.

    A PReLU has one; a GRU has three gates with two bias vectors each.
    """
    encoder = (
        (32 * 43 * 10 + 32)  # Conv1D(43, 32, 10): 13760 + 32 = 13792
        + 1  # PReLU
        + (32 * 32 * 5 + 32)  # Conv1D(32, 32, 5): 5120 + 32 = 5152
        + 1  # PReLU
        + 3 * (32 * 32 + 32 * 32 + 32 + 32)  # GRU: 3 * 2112 = 6336
        + (32 * 32 + 32)  # Linear(32, 32): 1024 + 32 = 1056
        + 1  # PReLU
    )  # 13792 + 1 + 5152 + 1 + 6336 + 1056 + 1 = 26339
    emotion_classifier = (
        (96 * 32 + 32)  # Linear(32 * 3, 32): 3072 + 32 = 3104
        + 1  # PReLU
        + (32 * 10 + 10)  # Linear(32, 10): 320 + 10 = 330
        + 1  # PReLU
        + (10 * 4 + 4)  # Linear(10, 4): 40 + 4 = 44
    )  # 3104 + 1 + 330 + 1 + 44 = 3480
    speaker_classifier = (
        (96 * 32 + 32)  # Linear(32 * 3, 32): 3072 + 32 = 3104
        + 1  # PReLU
        + (32 * 10 + 10)  # Linear(32, 10): 320 + 10 = 330
        + 1  # PReLU
        + (10 * 8 + 8)  # Linear(10, 8): 80 + 8 = 88
    )  # 3104 + 1 + 330 + 1 + 88 = 3524
    return {
        "encoder": encoder,
        "emotion_classifier": emotion_classifier,
        "speaker_classifier": speaker_classifier,
    }


def convolution(frames, kernel, bias, stride):
    """Conv1D of Table 1: cross-correlation along time, padding 0.

    frames [T][d], kernel [filters][d][size], bias [filters], as lists.
    Returns [(T - size) // stride + 1][filters].
    """
    size = len(kernel[0][0])
    if len(frames) < size:
        raise ValueError(f"no window of {size} in {len(frames)} frames")
    result = []
    for start in range(0, len(frames) - size + 1, stride):
        outputs = []
        for f in range(len(kernel)):
            total = bias[f]
            for c in range(len(kernel[f])):
                for k in range(size):
                    total += kernel[f][c][k] * frames[start + k][c]
            outputs.append(total)
        result.append(outputs)
    return result


def linear(vector, weight, bias):
    """Linear of Table 1: W x + b. weight [out][in], bias [out], as lists."""
    result = []
    for row, b in zip(weight, bias):
        total = b
        for w, x in zip(row, vector):
            total += w * x
        result.append(total)
    return result


def prelu(vector, a):
    """PReLU of Table 1: x for x > 0, a x else, one a for all channels."""
    return [x if x > 0.0 else a * x for x in vector]


def sigmoid(x):
    """1 / (1 + exp(-x)), without overflow."""
    if x >= 0.0:
        return 1.0 / (1.0 + math.exp(-x))
    return math.exp(x) / (1.0 + math.exp(x))


def gru(frames, w_ih, w_hh, b_ih, b_hh):
    """GRU of Table 1 with the equations of torch.nn.GRU, h_0 = 0.

    r = sigmoid(W_ir x + b_ir + W_hr h + b_hr), z likewise,
    n = tanh(W_in x + b_in + r (W_hn h + b_hn)), h' = (1 - z) n + z h; the
    rows of the weights are r's, z's, n's. Returns h of each frame [T][hidden].
    """
    size = len(w_hh[0])
    h = [0.0] * size
    result = []
    for frame in frames:
        given = linear(frame, w_ih, b_ih)
        kept = linear(h, w_hh, b_hh)
        new = []
        for c in range(size):
            r = sigmoid(given[c] + kept[c])
            z = sigmoid(given[size + c] + kept[size + c])
            n = math.tanh(given[2 * size + c] + r * kept[2 * size + c])
            new.append((1.0 - z) * n + z * h[c])
        h = new
        result.append(h)
    return result


def statistics(frames, epsilon):
    """Statistical Pooling[Mean, Std, Max] of Table 1, over time.

    frames [T][c] -> 3 c numbers: all means, all standard deviations
    sqrt(sum (x - mean)^2 / T + epsilon), all maxima.
    """
    n = len(frames)
    means = []
    deviations = []
    maxima = []
    for c in range(len(frames[0])):
        total = 0.0
        largest = frames[0][c]
        for frame in frames:
            total += frame[c]
            if frame[c] > largest:
                largest = frame[c]
        mean = total / n
        squares = 0.0
        for frame in frames:
            squares += (frame[c] - mean) ** 2
        means.append(mean)
        deviations.append(math.sqrt(squares / n + epsilon))
        maxima.append(largest)
    return means + deviations + maxima


def encode(features, weights, epsilon=0.0):
    """ENC of Section 3.1 and Table 1: one utterance [time, 43] -> v [96].

    weights: conv1_weight [32, 43, 10], conv1_bias, prelu1, conv2_weight
    [32, 32, 5], conv2_bias, prelu2, gru_w_ih and gru_w_hh [96, 32], gru_b_ih,
    gru_b_hh, linear_weight [32, 32], linear_bias, prelu3. epsilon is added
    to the variance inside the root. At least 18 frames.
    """
    x = as_array(features, 2, "features")
    if x.shape[1] != 43:
        raise ValueError(f"{x.shape[1]} features a frame, not 43")
    kernel_1 = shaped(weights, "conv1_weight", 32, 43, 10)
    bias_1 = shaped(weights, "conv1_bias", 32)
    kernel_2 = shaped(weights, "conv2_weight", 32, 32, 5)
    bias_2 = shaped(weights, "conv2_bias", 32)
    w_ih = shaped(weights, "gru_w_ih", 96, 32)
    w_hh = shaped(weights, "gru_w_hh", 96, 32)
    b_ih = shaped(weights, "gru_b_ih", 96)
    b_hh = shaped(weights, "gru_b_hh", 96)
    weight = shaped(weights, "linear_weight", 32, 32)
    bias = shaped(weights, "linear_bias", 32)
    frames = convolution(x.tolist(), kernel_1, bias_1, 2)
    frames = [prelu(frame, slope(weights, "prelu1")) for frame in frames]
    frames = convolution(frames, kernel_2, bias_2, 2)
    frames = [prelu(frame, slope(weights, "prelu2")) for frame in frames]
    frames = gru(frames, w_ih, w_hh, b_ih, b_hh)
    frames = [linear(frame, weight, bias) for frame in frames]
    frames = [prelu(frame, slope(weights, "prelu3")) for frame in frames]
    return np.array(statistics(frames, epsilon), dtype=np.float64)


def classify(vector, weights):
    """EC or SC of Table 1: v [96] -> logits [4] or [8], no softmax.

    weights: w1 [32, 96], b1, a1 (PReLU), w2 [10, 32], b2, a2, w3 [4 or 8,
    10], b3. The number of classes is b3's.
    """
    x = as_array(vector, 1, "vector").tolist()
    if len(x) != 96:
        raise ValueError(f"a vector of {len(x)}, not 96")
    n_classes = len(weights["b3"])
    w1, b1 = shaped(weights, "w1", 32, 96), shaped(weights, "b1", 32)
    w2, b2 = shaped(weights, "w2", 10, 32), shaped(weights, "b2", 10)
    w3 = shaped(weights, "w3", n_classes, 10)
    b3 = shaped(weights, "b3", n_classes)
    x = prelu(linear(x, w1, b1), slope(weights, "a1"))
    x = prelu(linear(x, w2, b2), slope(weights, "a2"))
    return np.array(linear(x, w3, b3), dtype=np.float64)


def fixed_indices(n, target):
    """Section 5: the frames taken of an utterance of n, a list of target.

    Of a longer one the middle, an odd surplus dropping one more at the end;
    a shorter one is repeated from its start until target are reached.
    """
    if n < 1 or target < 1:
        raise ValueError(f"cannot make {target} frames of {n}")
    start = 0
    if n > target:
        start = (n - target) // 2
    indices = []
    for i in range(target):
        indices.append((start + i) % n)
    return indices


def polynomial_rate(epoch, epochs, power):
    """Table 1's polynomial decay: (1 - (epoch - 1) / epochs)^power, a float.

    The factor of the first learning rate in an epoch of 1 to epochs.
    """
    if not 1 <= epoch <= epochs:
        raise ValueError(f"epoch {epoch} is not one of 1 to {epochs}")
    return (1.0 - (epoch - 1) / epochs) ** power


def mosei_present(ratings):
    """Section 6, CMU-MOSEI: the right answers for a sample, None if not used.

    ratings: one number from 0 on for each of the six emotions of RATED.
    {"neu"} if all six are zero, else those of "hap", "sad" and "ang" with a
    positive rating; none of the three leaves the sample out.
    """
    if sorted(ratings) != sorted(RATED):
        raise ValueError(f"ratings must be of {RATED}")
    all_zero = True
    for emotion in RATED:
        if not ratings[emotion] >= 0.0:
            raise ValueError(f"rating {ratings[emotion]} of {emotion}")
        if ratings[emotion] > 0.0:
            all_zero = False
    if all_zero:
        return {"neu"}
    present = set()
    if ratings["happy"] > 0.0:
        present.add("hap")
    if ratings["sad"] > 0.0:
        present.add("sad")
    if ratings["anger"] > 0.0:
        present.add("ang")
    if len(present) == 0:
        return None
    return present


def mosei_accuracy(predictions, presents):
    """Section 6, CMU-MOSEI: the fraction of the selected samples whose one
    predicted emotion is among the right answers.

    presents as mosei_present gives them, None (not selected) not counted.
    """
    if len(predictions) != len(presents):
        raise ValueError(
            f"{len(predictions)} predictions for {len(presents)} samples"
        )
    n_right = 0
    n_selected = 0
    for prediction, present in zip(predictions, presents):
        if prediction not in EMOTIONS:
            raise ValueError(f"{prediction!r} is not one of {EMOTIONS}")
        if present is None:
            continue
        n_selected += 1
        if prediction in present:
            n_right += 1
    if n_selected == 0:
        raise ValueError("no sample was selected")
    return n_right / n_selected
