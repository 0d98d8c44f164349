"""Reference of the equations of "GMP-ATL: Gender-augmented Multi-scale
Pseudo-label Enhanced Adaptive Transfer Learning for Speech Emotion
Recognition via HuBERT": plain loops in float64 NumPy.

Written from the paper's text alone, to be compared against. Where the paper
is silent the docstring says what was taken. Logarithms are natural; every
arg max and arg min takes the first on a tie. Nothing is guarded against a
division by zero: a cosine with an all-zero vector is not defined.
"""

import math

import numpy as np


def dot(left, right):
    """The product x^T w of Eq. 3, for two vectors [D]."""
    total = 0.0
    for d in range(len(left)):
        total += float(left[d]) * float(right[d])
    return total


def squared_distance(left, right):
    """The square of the Euclidean distance, for two vectors [C]."""
    total = 0.0
    for c in range(len(left)):
        difference = float(left[c]) - float(right[c])
        total += difference * difference
    return total


def argmax(values):
    """The first index of the largest value, for one vector [K]."""
    best = 0
    for k in range(1, len(values)):
        if values[k] > values[best]:
            best = k
    return best


def log_sum_exp(values):
    """log(sum_k exp(v_k)), for one vector [K].

    The largest value is taken out first, so that no exp overflows.

    >>> round(log_sum_exp([1000.0, 1000.0]) - 1000.0, 6)
    0.693147
    """
    largest = float(values[argmax(values)])
    total = 0.0
    for value in values:
        total += math.exp(float(value) - largest)
    return largest + math.log(total)


def cross_entropy(logits, label):
    """The CE-loss of one sample: -log(exp(v_y) / sum_k exp(v_k)).

    logits [K] and the label y, one of 0 ... K - 1.
    """
    if not 0 <= int(label) < len(logits):
        raise ValueError(f"no label {label} among {len(logits)} classes")
    return log_sum_exp(logits) - float(logits[int(label)])


def mean_cross_entropy(logits, labels):
    """The CE-loss of a batch. logits [N, K], labels [N].

    The paper does not say how a batch is reduced: the mean was taken.
    """
    total = 0.0
    for i in range(len(logits)):
        total += cross_entropy(logits[i], labels[i])
    return total / len(logits)


def multitask_loss(emotion_logits, emotions, gender_logits, genders, alpha_e):
    """Eq. 1: L_Total = alpha_e L_Emo + (1 - alpha_e) L_Gender.

    emotion_logits [N, E], emotions [N], gender_logits [N, G], genders [N];
    the paper has alpha_e = 0.9. Each of the two losses is the mean over the
    batch, which the paper does not say. Returns a float.

    >>> loss = multitask_loss([[0.0] * 4], [2], [[0.0] * 2], [1], 0.9)
    >>> abs(loss - 0.9 * math.log(4) - 0.1 * math.log(2)) < 1e-12
    True
    """
    emotion_loss = mean_cross_entropy(emotion_logits, emotions)
    gender_loss = mean_cross_entropy(gender_logits, genders)
    return alpha_e * emotion_loss + (1.0 - alpha_e) * gender_loss


def am_softmax_cosines(features, weights):
    """Eq. 3: cos(theta_j,i) = x_i^T w_j / (||x_i|| ||w_j||).

    features [N, D], weights [C, D] with one row a class. Returns [N, C],
    sample i in row i, while the paper writes the class first.

    >>> am_softmax_cosines([[3.0, 4.0]], [[2.0, 0.0], [0.0, -1.0]]).tolist()
    [[0.6, -0.8]]
    """
    result = np.zeros((len(features), len(weights)), dtype=np.float64)
    for i in range(len(features)):
        x_length = math.sqrt(dot(features[i], features[i]))
        for j in range(len(weights)):
            w_length = math.sqrt(dot(weights[j], weights[j]))
            product = dot(features[i], weights[j])
            result[i, j] = product / (x_length * w_length)
    return result


def am_softmax_loss(features, weights, labels, scale, margin):
    """Eq. 2: the mean over the batch of -log(e^a / (e^a + sum_j e^b_j)).

    Here a = s (cos(theta_y,i) - m) and b_j = s cos(theta_j,i), j != y_i.
    features [N, D], weights [C, D], labels [N]; the paper has s = 30 and
    m = 0.2. The text at hand prints Eq. 2 twice: the flattened copy has lost
    its minus signs, so the one in LaTeX was taken. There is no bias. Returns
    a float.

    >>> loss = am_softmax_loss([[2.0, 0.0]], [[1.0, 0.0]] * 2, [0], 30, 0.2)
    >>> abs(loss - math.log(1 + math.exp(6))) < 1e-12
    True
    """
    cosines = am_softmax_cosines(features, weights)
    total = 0.0
    for i in range(len(features)):
        y = int(labels[i])
        if not 0 <= y < len(weights):
            raise ValueError(f"no label {y} among {len(weights)} classes")
        numerator = float(scale) * (cosines[i, y] - float(margin))
        denominator = [numerator]
        for j in range(len(weights)):
            if j != y:
                denominator.append(float(scale) * cosines[i, j])
        total += -(numerator - log_sum_exp(denominator))
    return float(total / len(features))


def am_softmax_gradients(features, weights, labels, scale, margin, step=1e-6):
    """The gradients of Eq. 2, by central finite differences.

    The arguments of am_softmax_loss, and the step by which each coordinate
    is moved up and down. Returns dfeatures [N, D] and dweights [C, D]. For
    vectors of a length near 1 and s = 30 they are good to about 1e-7.
    """
    gradients = []
    for which in range(2):
        shape = np.shape((features, weights)[which])
        gradient = np.zeros(shape, dtype=np.float64)
        for row in range(shape[0]):
            for d in range(shape[1]):
                losses = []
                for offset in (step, -step):
                    moved = [
                        np.array(features, dtype=np.float64),
                        np.array(weights, dtype=np.float64),
                    ]
                    moved[which][row, d] += offset
                    losses.append(
                        am_softmax_loss(
                            moved[0], moved[1], labels, scale, margin
                        )
                    )
                gradient[row, d] = (losses[0] - losses[1]) / (2.0 * step)
        gradients.append(gradient)
    return gradients[0], gradients[1]


def scaled_cosine_softmax_loss(features, weights, labels, scale):
    """Eq. 2 without its margin: the CE-loss of the logits s cos(theta_j,i).

    features [N, D], weights [C, D], labels [N]. Eq. 2 with m = 0 must give
    the same. Returns a float.

    >>> loss = scaled_cosine_softmax_loss([[5.0]], [[1.0], [-2.0]], [0], 2)
    >>> abs(loss - math.log(1 + math.exp(-4))) < 1e-12
    True
    """
    logits = float(scale) * am_softmax_cosines(features, weights)
    return float(mean_cross_entropy(logits, labels))


def masked_frames(mask):
    """The pairs (utterance, frame) where mask [N, T] is true, in order."""
    result = []
    for n in range(len(mask)):
        for t in range(len(mask[n])):
            if mask[n][t]:
                result.append((n, t))
    if not result:
        raise ValueError("no frame is masked")
    return result


def masked_prediction_loss(logits, labels, mask):
    """The CE-loss of Section 3.2, on the pseudo-labels of every scale.

    logits is a list over the scales of [N, T, K_scale], labels
    [N, T, scales] and mask [N, T]. The paper has no equation. As in the
    usual HuBERT, only the masked frames count. Not in the paper, and taken
    here: the loss of a scale is the mean over all masked frames of the batch
    together, so that a long utterance weighs more, and the total is the mean
    over the scales. A padded frame is not to be masked; the labels of
    unmasked frames are not read. Returns a float.

    >>> logits = [[[[0.0, 0.0], [9.0, 0.0]]], [[[0.0] * 8, [9.0] * 8]]]
    >>> loss = masked_prediction_loss(
    ...     logits, [[[0, 7], [0, 0]]], [[True, False]]
    ... )
    >>> abs(loss - math.log(4)) < 1e-12
    True
    """
    frames = masked_frames(mask)
    total = 0.0
    for scale in range(len(logits)):
        scale_total = 0.0
        for n, t in frames:
            scale_total += cross_entropy(
                logits[scale][n][t], labels[n][t][scale]
            )
        total += scale_total / len(frames)
    return float(total / len(logits))


def masked_accuracy(logits, labels, mask):
    """The share of masked frames whose arg max is the pseudo-label.

    Not in the paper. The arguments of masked_prediction_loss. Returns
    [scales].

    >>> logits = [[[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]]]
    >>> labels = [[[0], [0], [0]]]
    >>> masked_accuracy(logits, labels, [[True, True, False]]).tolist()
    [0.5]
    """
    frames = masked_frames(mask)
    result = np.zeros(len(logits), dtype=np.float64)
    for scale in range(len(logits)):
        right = 0
        for n, t in frames:
            if argmax(logits[scale][n][t]) == int(labels[n][t][scale]):
                right += 1
        result[scale] = right / len(frames)
    return result


def linear(vector, weight, bias):
    """W v + b: vector [C], weight [out, C], bias [out]. Returns [out]."""
    result = np.zeros(len(weight), dtype=np.float64)
    for k in range(len(weight)):
        result[k] = dot(weight[k], vector) + float(bias[k])
    return result


def sigmoid(value):
    """1 / (1 + exp(-v)), for one number."""
    if value >= 0.0:
        return 1.0 / (1.0 + math.exp(-value))
    return math.exp(value) / (1.0 + math.exp(value))


def lstm(frames, weight_ih, weight_hh, bias_ih, bias_hh):
    """One direction of the LSTM of Section 3.1, from zero states.

    frames [T, C], in the order in which they are read; weight_ih [4H, C],
    weight_hh [4H, H], bias_ih [4H], bias_hh [4H], the gates one below the
    other in the order i, f, g, o. The paper gives no equations; these are

        i, f, o = sigmoid(W_ih x + b_ih + W_hh h + b_hh)
        g = tanh(W_ih x + b_ih + W_hh h + b_hh)
        c' = f c + i g
        h' = o tanh(c')

    Returns the h' of each frame, [T, H].
    """
    n_hidden = len(weight_hh[0])
    h = np.zeros(n_hidden, dtype=np.float64)
    c = np.zeros(n_hidden, dtype=np.float64)
    outputs = np.zeros((len(frames), n_hidden), dtype=np.float64)
    for t in range(len(frames)):
        from_frame = linear(frames[t], weight_ih, bias_ih)
        from_state = linear(h, weight_hh, bias_hh)
        for u in range(n_hidden):
            gates = []
            for gate in range(4):
                row = gate * n_hidden + u
                gates.append(from_frame[row] + from_state[row])
            i = sigmoid(gates[0])
            f = sigmoid(gates[1])
            g = math.tanh(gates[2])
            o = sigmoid(gates[3])
            c[u] = f * c[u] + i * g
            h[u] = o * math.tanh(c[u])
        outputs[t] = h
    return outputs


def head_forward(frames, counts, parameters):
    """Section 3.1: BiLSTM, average pooling, linear, ReLU, linear.

    frames [N, T, C] is padded and counts [N] tells how many frames of each
    utterance are valid: the others take no part, so that the backward
    direction starts at the last valid frame. parameters is a dict, with the
    names of PyTorch: weight_ih_l0 [4H, C], weight_hh_l0 [4H, H],
    bias_ih_l0 [4H] and bias_hh_l0 [4H], the same four with _reverse at the
    end, and weight1 [H1, 2H], bias1 [H1], weight2 [out, H1], bias2 [out].

    The paper has "two linear layers and one ReLU activation layer" and does
    not give their order: the ReLU was put between the two. Taken too: one
    LSTM layer, the forward output before the backward one, the mean over the
    valid frames only, no dropout. Returns [N, out].
    """
    p = parameters
    result = np.zeros((len(frames), len(p["weight2"])), dtype=np.float64)
    for n in range(len(frames)):
        count = int(counts[n])
        if not 1 <= count <= len(frames[n]):
            raise ValueError(f"utterance {n} cannot have {count} frames")
        read = [frames[n][t] for t in range(count)]
        forward = lstm(
            read,
            p["weight_ih_l0"],
            p["weight_hh_l0"],
            p["bias_ih_l0"],
            p["bias_hh_l0"],
        )
        backward = lstm(
            [read[count - 1 - t] for t in range(count)],
            p["weight_ih_l0_reverse"],
            p["weight_hh_l0_reverse"],
            p["bias_ih_l0_reverse"],
            p["bias_hh_l0_reverse"],
        )
        n_hidden = len(forward[0])
        pooled = np.zeros(2 * n_hidden, dtype=np.float64)
        for t in range(count):
            for u in range(n_hidden):
                # The backward direction read frame t at this step.
                step = count - 1 - t
                pooled[u] += forward[t, u] / count
                pooled[n_hidden + u] += backward[step, u] / count
        hidden = linear(pooled, p["weight1"], p["bias1"])
        for k in range(len(hidden)):
            if hidden[k] < 0.0:
                hidden[k] = 0.0
        result[n] = linear(hidden, p["weight2"], p["bias2"])
    return result


def nearest_centres(frames, centres):
    """The pseudo-labels of Section 3.1, for one k-means.

    frames [n, C], centres [k, C]. The paper says k-means and no more: the
    centre at the least squared Euclidean distance was taken. Returns [n]
    indices.

    >>> nearest_centres([[0.0], [1.0], [5.0]], [[2.0], [0.0]]).tolist()
    [1, 0, 0]
    """
    result = np.zeros(len(frames), dtype=np.int64)
    for i in range(len(frames)):
        best = 0
        least = squared_distance(frames[i], centres[0])
        for j in range(1, len(centres)):
            distance = squared_distance(frames[i], centres[j])
            if distance < least:
                best = j
                least = distance
        result[i] = best
    return result


def inertia(frames, centres):
    """What k-means makes small: the sum of the squared distances.

    Not in the paper. frames [n, C], centres [k, C]; the distance is that of
    each frame to its nearest centre, and the sum is not divided by n.
    Returns a float.

    >>> inertia([[0.0], [1.0], [5.0]], [[2.0], [0.0]])
    10.0
    """
    assigned = nearest_centres(frames, centres)
    total = 0.0
    for i in range(len(frames)):
        total += squared_distance(frames[i], centres[assigned[i]])
    return total


def entropy(counts, total):
    """-sum_k q_k log q_k, where q_k = counts_k / total."""
    result = 0.0
    for count in counts:
        result -= count / total * math.log(count / total)
    return result


def normalized_mutual_information(a, b):
    """I(a; b) / ((H(a) + H(b)) / 2), for two lists of n labels.

    Not in the paper. 0 if both lists are constant, where it would be 0 / 0.
    Returns a float between 0 and 1, up to rounding.

    >>> normalized_mutual_information([0, 0, 1, 1], ["x", "x", "y", "y"])
    1.0
    >>> normalized_mutual_information([0, 0, 1, 1], [0, 1, 0, 1])
    0.0
    """
    if len(a) != len(b) or len(a) == 0:
        raise ValueError(f"{len(a)} labels against {len(b)}")
    n = len(a)
    a_counts = {}
    b_counts = {}
    pair_counts = {}
    for i in range(n):
        pair = (a[i], b[i])
        a_counts[a[i]] = a_counts.get(a[i], 0) + 1
        b_counts[b[i]] = b_counts.get(b[i], 0) + 1
        pair_counts[pair] = pair_counts.get(pair, 0) + 1
    information = 0.0
    for (left, right), count in pair_counts.items():
        joint = count / n
        apart = (a_counts[left] / n) * (b_counts[right] / n)
        information += joint * math.log(joint / apart)
    normaliser = (
        entropy(a_counts.values(), n) + entropy(b_counts.values(), n)
    ) / 2.0
    if normaliser == 0.0:
        return 0.0
    return information / normaliser
