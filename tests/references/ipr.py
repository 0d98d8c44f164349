"""Reference of the equations of "Iterative Prototype Refinement for Ambiguous
Speech Emotion Recognition" (IPR): plain loops in float64 NumPy.

Written from the paper's text alone, to be compared against. Every embedding
and every prototype is L2-normalised before it enters a product. Run as a
script, it checks itself on cases that were worked out by hand.
"""

import math

import numpy as np


def normalize(vector):
    """The "Normalize" of Eq. 4: v / ||v||_2, for one vector [D]."""
    total = 0.0
    for value in vector:
        total += float(value) * float(value)
    length = math.sqrt(total)
    unit = np.zeros(len(vector), dtype=np.float64)
    for d in range(len(vector)):
        unit[d] = float(vector[d]) / length
    return unit


def dot(left, right):
    """The product k^T p of Eq. 3, for two vectors [D]."""
    total = 0.0
    for d in range(len(left)):
        total += float(left[d]) * float(right[d])
    return total


def argmax(values):
    """The "arg max" of Eqs. 3 and 4: the first index of the largest value."""
    best = 0
    for c in range(len(values)):
        if values[c] > values[best]:
            best = c
    return best


def log_softmax(values):
    """log(exp(v_c) / sum_j exp(v_j)), for one vector [C]."""
    largest = max(float(value) for value in values)
    total = 0.0
    for value in values:
        total += math.exp(float(value) - largest)
    result = np.zeros(len(values), dtype=np.float64)
    for c in range(len(values)):
        result[c] = float(values[c]) - largest - math.log(total)
    return result


def class_prototypes(embeddings, labels, n_classes):
    """Eq. 2: p_c = 1/n sum_{i in c} q_i, then normalised.

    The q_i [N, D] are normalised before the mean. A class without a sample
    has no mean: ValueError. Returns [C, D].
    """
    n_dims = len(embeddings[0])
    prototypes = np.zeros((n_classes, n_dims), dtype=np.float64)
    for c in range(n_classes):
        total = np.zeros(n_dims, dtype=np.float64)
        n = 0
        for i in range(len(embeddings)):
            if int(labels[i]) == c:
                q = normalize(embeddings[i])
                for d in range(n_dims):
                    total[d] += q[d]
                n += 1
        if n == 0:
            raise ValueError(f"Eq. 2: class {c} has no sample")
        prototypes[c] = normalize(total / n)
    return prototypes


def soft_labels(embeddings, prototypes, temperature):
    """The ambiguous soft labels {s_1, ..., s_C} of Section 2.2.

    As proportions: s_c = exp(k.p_c / T) / sum_j exp(k.p_j / T), with k [D]
    and p_c [D] normalised. Returns [N, C].
    """
    n_classes = len(prototypes)
    result = np.zeros((len(embeddings), n_classes), dtype=np.float64)
    for i in range(len(embeddings)):
        k = normalize(embeddings[i])
        scaled = []
        for c in range(n_classes):
            scaled.append(dot(k, normalize(prototypes[c])) / temperature)
        log_s = log_softmax(scaled)
        for c in range(n_classes):
            result[i, c] = math.exp(log_s[c])
    return result


def hard_labels(embeddings, prototypes):
    """Eq. 3: z = arg max_c k_i^T p_c, k_i and p_c normalised. Returns [N]."""
    result = np.zeros(len(embeddings), dtype=np.int64)
    for i in range(len(embeddings)):
        k = normalize(embeddings[i])
        similarities = []
        for c in range(len(prototypes)):
            similarities.append(dot(k, normalize(prototypes[c])))
        result[i] = argmax(similarities)
    return result


def updated_prototypes(
    prototypes,
    embeddings,
    logits,
    logits_augmented,
    gamma,
    temperature,
    which="agreed",
):
    """Eq. 4: p_c = Normalize(gamma p_c + (1 - gamma) k_i s_ic).

    Only for a sample i with max MLP(k_i) = max MLP(k_i^aug). Then "agreed"
    moves c = max MLP(k_i) alone, as printed; "weighted" moves every c, each
    with its own s_ic. The samples follow each other in batch order; s comes
    from the prototypes as they were before the batch; Normalize is applied
    once to each touched prototype, after the whole batch. A prototype that
    nothing touched is returned exactly as it was given. Returns [C, D].
    """
    if which not in ("agreed", "weighted"):
        raise ValueError(f"which is {which!r}: not 'agreed' or 'weighted'")
    n_classes = len(prototypes)
    n_dims = len(prototypes[0])
    s = soft_labels(embeddings, prototypes, temperature)
    result = np.array(prototypes, dtype=np.float64)
    touched = [False] * n_classes
    for i in range(len(embeddings)):
        agreed = argmax(logits[i])
        if agreed != argmax(logits_augmented[i]):
            continue
        k = normalize(embeddings[i])
        for c in range(n_classes):
            if which == "agreed" and c != agreed:
                continue
            for d in range(n_dims):
                old = result[c, d]
                result[c, d] = gamma * old + (1.0 - gamma) * k[d] * s[i, c]
            touched[c] = True
    for c in range(n_classes):
        if touched[c]:
            result[c] = normalize(result[c])
    return result


def contrastive_loss(
    embeddings, augmented, labels, labels_augmented, temperature
):
    """Eq. 5 over the 2N samples: the utterances, then the augmented copies.

    All 2N are normalised and all are anchors. The positives of an anchor a
    are its own other view, whatever its pseudo-label, and every other sample
    with the pseudo-label of a. Per anchor, the mean over its positives p of
    -log(exp(a.p / tau) / sum_{j != a} exp(a.j / tau)); then the mean over the
    anchors.
    """
    n = len(embeddings)
    samples = []
    pseudo = []
    for i in range(n):
        samples.append(normalize(embeddings[i]))
        pseudo.append(int(labels[i]))
    for i in range(n):
        samples.append(normalize(augmented[i]))
        pseudo.append(int(labels_augmented[i]))

    loss = 0.0
    for a in range(2 * n):
        other_view = a + n if a < n else a - n
        others = [j for j in range(2 * n) if j != a]
        log_p = log_softmax(
            [dot(samples[a], samples[j]) / temperature for j in others]
        )
        total = 0.0
        n_positives = 0
        for position in range(len(others)):
            j = others[position]
            if j == other_view or pseudo[j] == pseudo[a]:
                total += -log_p[position]
                n_positives += 1
        loss += total / n_positives
    return float(loss / (2 * n))


def total_loss(ce_precise, ce_pseudo, contrastive, alpha, beta, mu):
    """Eq. 6: L = alpha L_cls(x^q, y) + beta L_cls(x^k, y^) + mu L_con."""
    return alpha * ce_precise + beta * ce_pseudo + mu * contrastive


def cross_entropy(logits, targets, weights=None):
    """The L_cls of Eq. 6: the cross entropy of logits [N, C].

    With labels [N]: the mean of -log softmax(logits_i)[y_i], or with class
    weights [C] the weighted mean sum_i w_{y_i} ce_i / sum_i w_{y_i}. With
    distributions [N, C]: the mean of -sum_c t_ic log softmax(logits_i)[c];
    class weights are not defined for these.
    """
    soft = np.ndim(targets) == 2
    if soft and weights is not None:
        raise ValueError("class weights go with integer labels only")
    total = 0.0
    divisor = 0.0
    for i in range(len(logits)):
        log_p = log_softmax(logits[i])
        if soft:
            for c in range(len(log_p)):
                total += -float(targets[i][c]) * log_p[c]
            divisor += 1.0
        else:
            y = int(targets[i])
            weight = 1.0 if weights is None else float(weights[y])
            total += -weight * log_p[y]
            divisor += weight
    return float(total / divisor)


def pseudo_label_weight(epoch, n_epochs, maximum, growth):
    """Eq. 7: beta = min(w (r^(e / (E / 2)) - 1) / (r - 1), w).

    e is epoch, E n_epochs, w maximum and r growth. The "- 1" stands outside
    the exponent, so that beta is 0 at epoch 0, as the text says (the print
    has it inside).
    """
    power = growth ** (epoch / (n_epochs / 2))
    return min(maximum * (power - 1.0) / (growth - 1.0), maximum)


def _close(value, expected):
    """Raise AssertionError unless the two are equal to rounding."""
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12)


def _same(value, expected):
    """Raise AssertionError unless the two are exactly equal."""
    np.testing.assert_array_equal(value, expected)


def _check():
    """Every function on a case that was worked out by hand."""
    # With T = 1 / ln 3, exp(1 / T) = 3 and exp(0) = 1.
    t = 1.0 / math.log(3.0)
    log2, log3, log5 = math.log(2.0), math.log(3.0), math.log(5.0)
    half = math.sqrt(0.5)

    _close(normalize([3.0, -4.0]), [0.6, -0.8])
    _close(dot([1.0, 2.0], [3.0, 4.0]), 11.0)
    _same(argmax([1.0, 5.0, 5.0]), 1)
    _close(log_softmax([log3, 0.0]), [math.log(0.75), math.log(0.25)])

    # Eq. 2: (1, 0) and (0, 1) after normalising, so their mean is diagonal.
    _close(
        class_prototypes([[2.0, 0.0], [0.0, -4.0], [0.0, 3.0]], [0, 1, 0], 2),
        [[half, half], [0.0, -1.0]],
    )

    # Similarities (1, 0), (half, half), (0, -1) for prototypes e1 and e2.
    _close(
        soft_labels(
            [[3.0, 0.0], [1.0, 1.0], [0.0, -5.0]], [[1.0, 0.0], [0.0, 2.0]], t
        ),
        [[0.75, 0.25], [0.5, 0.5], [0.75, 0.25]],
    )

    # Eq. 3: the long first prototype must not win by its length.
    _same(
        hard_labels([[1.0, 2.0], [2.0, 1.0]], [[100.0, 0.0], [0.0, 1.0]]),
        [1, 0],
    )

    # Eq. 4: s = (3/4, 1/4), (1/4, 3/4), (1/4, 3/4); sample 1 disagrees, 0 and
    # 2 agree on class 0. p_0: (1, 0) -> (7/8, 0) -> (7/16, 2/16); weighted
    # also p_1: (0, 1) -> (1/8, 1/2) -> (1/16, 10/16).
    batch = {
        "embeddings": [[3.0, 0.0], [0.0, 2.0], [0.0, 7.0]],
        "logits": [[2.0, 1.0], [0.0, 1.0], [1.0, 0.0]],
        "logits_augmented": [[5.0, 0.0], [1.0, 0.0], [3.0, 1.0]],
        "gamma": 0.5,
        "temperature": t,
    }
    before = np.eye(2)
    p_0 = [7.0 / math.sqrt(53.0), 2.0 / math.sqrt(53.0)]
    p_1 = [1.0 / math.sqrt(101.0), 10.0 / math.sqrt(101.0)]
    _close(updated_prototypes(before, **batch), [p_0, [0.0, 1.0]])
    _close(updated_prototypes(before, **batch, which="weighted"), [p_0, p_1])
    _same(before, np.eye(2))
    untouched = updated_prototypes([[1.0, 0.0], [0.0, 4.0]], **batch)
    _close(untouched[0], p_0)
    _same(untouched[1], [0.0, 4.0])
    batch["logits_augmented"] = [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]
    for which in ("agreed", "weighted"):
        _same(updated_prototypes(before, **batch, which=which), before)

    # Eq. 5. A single pair has one positive and nothing else: 0.
    _close(contrastive_loss([[1.0, 0.0]], [[0.0, 1.0]], [0], [1], t), 0.0)
    # Views e1, e1 and e2, e2: each sum is 3 + 1 + 1, so the other view costs
    # log 5 - log 3 and each other sample log 5.
    views = ([[1.0, 0.0], [0.0, 1.0]], [[2.0, 0.0], [0.0, 5.0]])
    _close(contrastive_loss(*views, [0, 1], [0, 1], t), log5 - log3)
    # All alike: three positives, one of which is the other view.
    _close(contrastive_loss(*views, [0, 0], [0, 0], t), log5 - log3 / 3)
    # The first copy goes over to class 1: 1, 2, 3 and 2 positives, so the
    # mean share of log 3 is (1 + 1/2 + 1/3 + 1/2) / 4 = 7/12.
    _close(contrastive_loss(*views, [0, 1], [1, 1], t), log5 - log3 * 7 / 12)

    # Eq. 6: 2 + 1.5 + 0.8.
    _close(total_loss(2.0, 3.0, 4.0, 1.0, 0.5, 0.2), 4.3)

    # Probabilities (3/4, 1/4) and (1/2, 1/2).
    logits = [[log3, 0.0], [0.0, 0.0]]
    log4_3 = math.log(4.0 / 3.0)
    _close(cross_entropy(logits, [0, 1]), (log4_3 + log2) / 2)
    _close(
        cross_entropy(logits, [0, 1], weights=[1.0, 3.0]),
        (log4_3 + 3 * log2) / 4,
    )
    _close(
        cross_entropy(logits, [[0.5, 0.5], [0.25, 0.75]]),
        ((log4_3 + 2 * log2) / 2 + log2) / 2,
    )

    # Eq. 7 with r = 4: a quarter of the way 4^(1/2) - 1 = 1, over 3.
    _close(pseudo_label_weight(0, 8, 0.6, 4.0), 0.0)
    _close(pseudo_label_weight(2, 8, 0.6, 4.0), 0.2)
    _close(pseudo_label_weight(4, 8, 0.6, 4.0), 0.6)
    _close(pseudo_label_weight(8, 8, 0.6, 4.0), 0.6)


if __name__ == "__main__":
    _check()
