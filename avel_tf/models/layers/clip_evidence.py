"""Linear classifier of a clip's mean features, fitted in closed form, beside the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product, zip_longest
from typing import Any

import keras
import numpy as np
from keras import ops

from avel_tf.models.layers.blocks import relevance_weights
from avel_tf.models.layers.name_evidence import NameEvidence

# Ridge penalties, in mean squared lengths of the examples. Smaller ones were worse for 3 and 10
# real AudioSet clips per class, where leave-one-out often prefers them.
PENALTIES = (1.0, 3.0, 10.0, 30.0)
# Factors of the scores before the softmax. A score is at most about 1 and many classes need a large
# factor; 0 removes evidence that does not generalise.
FACTORS = (0.0, *np.geomspace(0.5, 64, 22).tolist())
# Factors of the logits of the classes' names.
NAME_WEIGHTS = (0.0, *np.geomspace(0.125, 4, 6).tolist())
# Training clips per class at which the network's choice of the class has half of its weight.
HALF_WEIGHT_CLIPS = 10.0
# Values of `peak_weight` that validation chooses from.
PEAK_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
# Windows whose features are averaged at once: 64 MB of ResNet's maps.
_WINDOWS_AT_ONCE = 16
# More than these are thinned out evenly; the decomposition takes memory for all of them.
_MOST_WINDOWS = 20_000
_TINY = 1e-9


@keras.saving.register_keras_serializable(package="avel_tf")
class ClipEvidence(keras.layers.Layer):
    """Adds the evidence of the clip's mean features to the class logits of each segment.

        logits [B,T,C+1]           features [B,T,D], valid
           |-- P(event) of segments --> weighted mean [B,D], signed root, centre; then embedding
           |                            and class scores of each modality to unit length
           |                                  |
        class logits [B,T,C] * weight  +  kernel [B,1,C]  +  names [B,1,C]

    `peak_weight` is the share of the largest class logit, against the sum of the classes, in the
    decision between event and background. With 1 that decision is the network's; with 0 the
    probability of background is. A network of few clips detects events that it cannot classify, so
    that each class is less probable than background; then 0 is better. Until `fit` the layer
    returns `logits`. Nothing in it is trained by gradients.

    Args:
        score_widths: for each modality, how many of its last features are class scores. Embedding
            and scores have equal weight.
        names: zero-shot evidence for classes that are named by the class table.
        **kwargs: as for every Keras layer.

    Returns:
        A layer that maps logits float32 `[B, T, C+1]`, a list of features float `[B, T, D]` each,
        and valid bool `[B, T]` to logits float32 `[B, T, C+1]`, background last.

    Reference:
        Perronnin et al., Improving the Fisher Kernel for Large-Scale Image Classification, ECCV
        2010, for signed root and unit length; Hinton, Training Products of Experts by Minimizing
        Contrastive Divergence, 2002, for the sum of class logits.
    """

    def __init__(
        self,
        score_widths: Sequence[int] = (),
        names: NameEvidence | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32", "trainable": False})
        self.score_widths = list(map(int, score_widths))
        self.names = names
        self.supports_masking = True

    def build(
        self,
        logits_shape: Sequence[int | None],
        features_shape: Sequence[Sequence[int | None]],
        valid_shape: Sequence[int | None],
    ) -> None:
        classes = logits_shape[-1] - 1  # type: ignore[operator]
        self.widths = [int(shape[-1]) for shape in features_shape]  # type: ignore[arg-type]
        width = sum(self.widths)
        self.center = self.add_weight(name="center", shape=(width,), initializer="zeros")  # [D]
        self.kernel = self.add_weight(
            name="kernel", shape=(width, classes), initializer="zeros"
        )  # [D, C]
        self.network_weight = self.add_weight(
            name="network_weight", shape=(), initializer="ones"
        )  # []
        self.peak_weight = self.add_weight(name="peak_weight", shape=(), initializer="zeros")  # []
        if self.names is not None and not self.names.built:  # built already when it is loaded
            self.names.build([(shape[0], shape[-1]) for shape in features_shape])

    def call(self, logits: Any, features: Sequence[Any], valid: Any) -> Any:
        logits = ops.cast(logits, "float32")
        events, background = logits[..., :-1], logits[..., -1:]  # [B, T, C], [B, T, 1]
        total = ops.logsumexp(events, axis=-1, keepdims=True)  # [B, T, 1]
        weights = relevance_weights(total - background, valid)  # [B, T, 1]
        present = ops.expand_dims(valid, -1)  # [B, T, 1]
        means = []
        for each in features:
            values = ops.where(present, ops.cast(each, "float32"), 0.0)  # [B, T, D]
            means.append(ops.sum(weights * values, axis=1))  # [B, D]
        mean = ops.concatenate(means, axis=-1)
        centred = ops.sign(mean) * ops.sqrt(ops.abs(mean)) - self.center
        parts = []
        for part in self._parts():
            length = ops.sqrt(ops.sum(centred[:, part] ** 2, axis=-1, keepdims=True))  # [B, 1]
            parts.append(centred[:, part] / ops.maximum(length, _TINY))
        evidence = ops.matmul(ops.concatenate(parts, axis=-1), self.kernel)  # [B, C]
        if self.names is not None:
            evidence = evidence + self.names(means)
        named = self.network_weight * (events - total) + ops.expand_dims(evidence, 1)  # [B, T, C]
        change = self._level(events) - self._level(named)  # [B, T, 1]
        return ops.concatenate([named + change, background], axis=-1)  # [B, T, C+1]

    def _parts(self) -> Iterator[slice]:
        """Columns of each vector that is scaled to unit length."""
        first = 0
        for width, scores in zip_longest(self.widths, self.score_widths, fillvalue=0):
            yield slice(first, first + width - scores)
            if scores:
                yield slice(first + width - scores, first + width)
            first += width

    def _level(self, logits: Any) -> Any:
        """Evidence [B, T, 1] for any event in class logits [B, T, C]."""
        total = ops.logsumexp(logits, axis=-1, keepdims=True)
        return total + self.peak_weight * (ops.max(logits, axis=-1, keepdims=True) - total)

    def compute_output_shape(
        self,
        logits_shape: Sequence[int | None],
        features_shape: Sequence[Sequence[int | None]],
        valid_shape: Sequence[int | None],
    ) -> tuple[int | None, ...]:
        return tuple(logits_shape)

    def get_config(self) -> dict[str, Any]:
        settings = {
            "score_widths": self.score_widths,
            "names": keras.saving.serialize_keras_object(self.names),
        }
        return {**super().get_config(), **settings}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ClipEvidence:
        names = keras.saving.deserialize_keras_object(config.pop("names", None))
        return cls(**config, names=names)

    def fit(self, means: Sequence[np.ndarray], shares: np.ndarray) -> None:
        """Fit the classifier by ridge regression, with leave-one-out choice of its constants.

        Penalty, factor and weight of the names have the smallest cross-entropy of left-out clips.
        The weight of the network's class logits grows with the number of clips per class.

        Args:
            means: float `[N, D]` per modality, mean features of the events of each training clip.
            shares: float `[N, C]`, the shares of the classes in these events; rows sum to one.
        """
        mean = np.concatenate(means, axis=1).astype(np.float64)  # [N, D]
        rooted = np.sign(mean) * np.sqrt(np.abs(mean))
        center = rooted.mean(axis=0)
        x = rooted - center
        for part in self._parts():
            length = np.linalg.norm(x[:, part], axis=1, keepdims=True)  # [N, 1]
            x[:, part] /= np.maximum(length, _TINY)
        named = None if self.names is None else self.names.fit_center(means)  # [N, C]
        kernel, weight = _fit_ridge(x, shares.astype(np.float64), named)
        self.center.assign(center)
        self.kernel.assign(kernel)
        if self.names is not None:
            self.names.weight.assign(weight)
        per_class = len(shares) / np.count_nonzero(shares.any(axis=0))
        self.network_weight.assign(per_class / (per_class + HALF_WEIGHT_CLIPS))
        self.peak_weight.assign(self.network_weight)


def _fit_ridge(
    x: np.ndarray, shares: np.ndarray, named: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """Kernel [D, C] of the best penalty and factor, and weight of the logits `named` [N, C].

    Left-out predictions are closed-form: (h - d y) / (1 - d) with hat matrix H, h = H y and
    d = diag H (Hastie et al., The Elements of Statistical Learning, 2009, section 7.10).
    """
    wanted = shares - shares.mean(axis=0)  # [N, C]
    # x = u s v; the smaller of the two Gram matrices gives the decomposition.
    if len(x) <= x.shape[1]:
        squares, u = np.linalg.eigh(x @ x.T)  # [N], [N, N]
    else:
        squares, v = np.linalg.eigh(x.T @ x)  # [D], [D, D]
        u = x @ v / np.sqrt(np.maximum(squares, _TINY))  # [N, D]
    squares = np.maximum(squares, 0.0)
    unit = max(float((x**2).sum(axis=1).mean()), _TINY)
    projected = u.T @ wanted
    best = (np.inf, 0.0, 0.0, 0.0)
    for penalty in PENALTIES:
        shrink = squares / (squares + penalty * unit)
        diagonal = (u**2 @ shrink)[:, None]  # [N, 1]
        left_out = (u @ (shrink[:, None] * projected) - diagonal * wanted) / (1 - diagonal)
        for factor, weight in product(FACTORS, (0.0,) if named is None else NAME_WEIGHTS):
            scores = factor * left_out
            if named is not None:
                scores = scores + weight * named
            logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
            entropy = -float((shares * logs).sum(axis=1).mean())
            best = min(best, (entropy, penalty, factor, weight))
    _, penalty, factor, weight = best
    dual = u @ (projected / (squares + penalty * unit)[:, None])  # [N, C]
    return factor * (x.T @ dual), weight


def fit_clip_evidence(
    model: keras.Model,
    visual: np.ndarray,
    audio: np.ndarray,
    valid: np.ndarray,
    targets: np.ndarray,
) -> None:
    """Fit the clip evidence of a model to training windows; a model without it is unchanged.

    Args:
        model: a model from `build`.
        visual: float `[N, T, Dv]`, any value at invalid segments.
        audio: float `[N, T, Da]`, likewise.
        valid: bool `[N, T]`.
        targets: int `[N, T]`, background is C, or a distribution float `[N, T, C+1]`.

    Example:
        >>> fit_clip_evidence(model, visual, audio, valid, targets)
    """
    names = [layer.name for layer in model.layers]
    columns = {"visual": visual, "audio": audio}
    used = [each for name, each in columns.items() if f"{name}_normalization" in names]
    for layer in model.layers:
        if isinstance(layer, ClipEvidence):
            found = list(_event_means(used, layer.widths, valid, targets, model.output.shape[-1]))
            if found:
                *means, shares = (np.concatenate(part) for part in zip(*found, strict=True))
                layer.fit(means, shares)


def calibrate_clip_evidence(
    model: keras.Model, batches: Iterable[tuple[dict[str, Any], Any, Any]]
) -> bool:
    """Choose the `peak_weight` that is best on validation: highest accuracy, then lowest loss.

    Args:
        model: a trained model from `build`.
        batches: inputs, targets int `[B, T]` and weights `[B, T]`, 0 at invalid segments.

    Returns:
        False if the model has no clip evidence and is unchanged.
    """
    layer = next((each for each in model.layers if isinstance(each, ClipEvidence)), None)
    if layer is None:
        return False
    # The rest of the model, whose last layer this is, does not depend on the weight.
    before = keras.Model(model.input, layer.input)
    right, loss = np.zeros((2, len(PEAK_WEIGHTS)))
    for inputs, targets, weights in batches:
        wanted, weight = np.asarray(targets), np.asarray(weights)  # [B, T]
        own, *features, valid = before(inputs, training=False)
        for place, peak_weight in enumerate(PEAK_WEIGHTS):
            layer.peak_weight.assign(peak_weight)
            logits = np.asarray(layer(own, features, valid))  # [B, T, C+1]
            right[place] += ((logits.argmax(axis=-1) == wanted) * weight).sum()
            entropy = keras.losses.sparse_categorical_crossentropy(wanted, logits, from_logits=True)
            loss[place] += (np.where(weight > 0, np.asarray(entropy), 0.0) * weight).sum()
    layer.peak_weight.assign(max(zip(right, -loss, PEAK_WEIGHTS, strict=True))[-1])
    return True


def _event_means(
    columns: Sequence[np.ndarray],
    widths: Sequence[int],
    valid: np.ndarray,
    targets: np.ndarray,
    outputs: int,
) -> Iterator[tuple[np.ndarray, ...]]:
    """Mean features [n, D] of the events of windows, each modality, and class shares [n, C]."""
    step = -(-len(valid) // _MOST_WINDOWS)
    rows = np.arange(0, len(valid), step)
    for first in range(0, len(rows), _WINDOWS_AT_ONCE):
        part = rows[first : first + _WINDOWS_AT_ONCE]
        wanted = targets[part]
        if wanted.ndim == 2:
            wanted = (wanted[..., None] == np.arange(outputs)).astype(np.float32)
        events = wanted[..., :-1] * valid[part][..., None]  # [n, T, C]
        kept = events.any(axis=(1, 2))  # [n]
        part, events = part[kept], events[kept]
        if not len(part):
            continue
        weights = events.sum(axis=-1)  # [n, T]
        weights = weights / weights.sum(axis=1, keepdims=True)
        means = []
        for column, width in zip(columns, widths, strict=True):
            # [n, T, D]; 0 times NaN is NaN
            values = np.where(valid[part][..., None], column[part], 0).astype(np.float32)
            mean = np.einsum("nt,ntd->nd", weights, values)
            means.append(mean.reshape(len(part), -1, width).mean(axis=1))  # places of maps
        shares = events.sum(axis=1)  # [n, C]
        yield *means, shares / shares.sum(axis=1, keepdims=True)
