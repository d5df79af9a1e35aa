"""Sentences of the report, which follow from its figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.common import paths
from pipeline.common.wording import count, listed
from pipeline.evaluation.registry import METRICS, MINUS
from pipeline.experiment.params import Params
from pipeline.report.table import linear
from vae.config import ModelConfig

Metrics = Mapping[str, Mapping[str, float]]  # as in metrics/test.json

COLLAPSED, USED = 0.5, 0.9  # share of units that are active: below, the latent space is called so; from, so
ALIKE = 0.02  # relative difference of two errors that is not worth a word
# What samples of a conditional model have to reach.
LEAST_ACCURACY, LEAST_DEVIATION = 0.75, 0.8

LIKELIHOODS = {
    "bernoulli": "Bernoulli",
    "continuous_bernoulli": "continuous Bernoulli",
    "gaussian": "Gaussian",
}


@dataclass(frozen=True)
class Fact:
    """A figure and what it is."""

    value: str
    meaning: str


@dataclass(frozen=True)
class Sentence:
    """A sentence of the report, and what it is about."""

    topic: str
    text: str


@dataclass(frozen=True)
class Verdict:
    """Whether samples of a conditional model are what was asked for."""

    passed: bool
    text: str  # why


def text(name: str, values: Mapping[str, float]) -> str:
    """A metric's value, as the registry has it written."""
    return METRICS[name].text(values[name])


def number(value: float, form: str) -> str:
    """Any other number, with a minus sign, not a hyphen."""
    return format(value, form).replace("-", MINUS)


def about(model: ModelConfig, noun: str) -> str:
    """Model that was fitted, as the beginning of a sentence."""
    network = {"mlp": "fully connected", "conv": "convolutional"}[model.architecture]
    kind = f"{network}, {count(model.latent, 'latent unit')}"
    pixels = f"{LIKELIHOODS[model.likelihood]} pixels"
    if model.channels == "separate":
        return f"Three variational auto-encoders, one for each colour channel ({kind} each, {pixels})"
    told = f", told the {noun}" if model.conditional else ""
    return f"One variational auto-encoder of all three colour channels{told} ({kind}, {pixels})"


def facts(params: Params, metrics: Metrics, noun: str) -> list[Fact]:
    """The key figures, of the RGB picture."""
    rgb, listed = metrics[paths.MERGED], []
    if "bits_per_dim" in rgb:
        listed.append(Fact(text("bits_per_dim", rgb), "bits per dimension; a raw byte has 8"))
    elif "cost" in rgb:
        listed.append(Fact(text("cost", rgb), "cost, nats an RGB image"))
    if "excess" in rgb:
        listed.append(Fact(text("excess", rgb), "excess over the floor, nats"))
    if used := _used(params, metrics):
        whole = params.model.latent * len(used)
        listed.append(Fact(f"{sum(used)} of {whole}", "latent units active"))
    for name, title in (("psnr", "PSNR, dB"), ("ssim", "SSIM")):
        if name in rgb:
            by_pca = rgb.get(f"pca_{name}")
            beside = "" if by_pca is None else f"; PCA has {METRICS[name].text(by_pca)}"
            listed.append(Fact(text(name, rgb), title + beside))
    if judged := verdict(rgb, noun):
        read = f"{percent(rgb['sample_accuracy'])} of samples read as the {noun} asked for"
        differ = f"{rgb['sample_deviation']:.2f} of real images' deviation"
        listed.append(Fact("passes" if judged.passed else "fails", f"{read}, {differ}"))
    return listed


def sentences(params: Params, metrics: Metrics, values: int) -> list[Sentence]:
    """Write what the figures mean. values: numbers in an RGB image."""
    written = (
        Sentence("Latent space", units(params, metrics)),
        Sentence("Pictures", pictures(params, metrics, values)),
        Sentence("Cost", cost(metrics, values)),
        Sentence("Left out", left_out(params, metrics)),
    )
    return [sentence for sentence in written if sentence.text]


def units(params: Params, metrics: Metrics) -> str:
    """Sentence on how many latent units are used, and so whether the latent space is; "" where unknown."""
    used = _used(params, metrics)
    if not used:
        return ""
    latent = params.model.latent
    if len(used) > 1:
        names = listed(paths.components(params.model.channels))
        begin = f"The {names} models use {listed(used)} of their {count(latent, 'latent unit')} each"
    else:
        begin = f"The model uses {used[0]} of its {count(latent, 'latent unit')}"
    share = sum(used) / (latent * len(used))
    if share == 0:
        return (
            f"{begin}: the latent space has collapsed. z says nothing about an image, so all images"
            f"{' of a label' if params.model.conditional else ''} are reconstructed as the same picture."
        )
    if share < COLLAPSED:
        return (
            f"{begin}: most of the latent space has collapsed. A unit that is not used says nothing about an "
            "image; its posterior is the prior."
        )
    if share < USED:
        return f"{begin}: the latent space is used, though not all of it."
    return f"{begin}: the latent space is used."


def pictures(params: Params, metrics: Metrics, values: int) -> str:
    """Reconstructions against PCA with as many numbers, and what their blur comes from."""
    rgb, used = metrics[paths.MERGED], _used(params, metrics)
    if not {"mse", "pca_mse"} <= rgb.keys() or rgb["pca_mse"] <= 0:
        return ""
    channel = " a channel" if params.model.channels == "separate" else ""
    factor = rgb["mse"] / rgb["pca_mse"]
    pca = f"PCA's with equally many numbers, k={params.model.latent}{channel}"
    if factor > 1 + ALIKE:
        begin = (
            f"Reconstructions are worse than {pca}: their mean squared error is {factor:.3g} times as large."
        )
    elif factor < 1 - ALIKE:
        begin = (
            f"Reconstructions are better than {pca}, whose mean squared error is "
            f"{1 / factor:.3g} times as large."
        )
    else:
        begin = f"Reconstructions are as good as {pca}: their mean squared errors are within {ALIKE:.0%}."
    if not used:
        return begin
    if not sum(used):
        return f"{begin} They are blurred because nothing of an image passes through z."
    label = " and a label" if params.model.conditional else ""
    several = sum(used) > 1 or bool(label)
    return (
        f"{begin} Blur comes from what does not pass: {count(sum(used), 'number')}{label} "
        f"{'stand' if several else 'stands'} for the {values:,} values of an image, and the decoder shows "
        f"the mean of all images that {'they fit' if several else 'it fits'}."
    )


def cost(metrics: Metrics, values: int) -> str:
    """Cost over the floor or in bits per dimension, against the best linear model; the bound's part."""
    rgb = metrics[paths.MERGED]
    beside = linear(rgb, values)
    written = []
    if {"cost", "floor", "excess"} <= rgb.keys():
        written.append(
            f"An image costs {text('cost', rgb)} nats, {text('excess', rgb)} above the "
            f"floor that no model gets below; for each of its {values:,} values, to compare sizes by, "
            f"{number(rgb['cost'] / values, '.4f')} and {number(rgb['excess'] / values, '.4f')}."
        )
        if "excess" in beside:
            written.append(
                "The best linear model with as many units is about "
                f"{text('excess', beside)} above, "
                f"{_than_this(beside['excess'] - rgb['excess'], ',.1f', 'nats')}."
            )
    elif "bits_per_dim" in rgb:
        written.append(
            f"An image costs {text('bits_per_dim', rgb)} bits per dimension, that is for each pixel "
            "of each channel, where a raw byte has 8."
        )
        if "bits_per_dim" in beside:
            written.append(
                f"The best linear model with as many units costs {text('bits_per_dim', beside)}, "
                f"{_than_this(beside['bits_per_dim'] - rgb['bits_per_dim'], '.3f', 'bits')}."
            )
    if "iw_gain" in rgb:
        written.append(
            f"A tighter bound, with many samples of z, is {number(rgb['iw_gain'], ',.1f')} nats lower: "
            "at least so much of the cost is the bound's looseness."
        )
    return " ".join(written)


def left_out(params: Params, metrics: Metrics) -> str:
    """Sentences on metrics that have no finite value here, and why."""
    rgb, written = metrics[paths.MERGED], []
    if "floor" in rgb and "linear_cost" not in rgb:
        without = [c for c in metrics if c in paths.COLOURS and "linear_cost" not in metrics[c]]
        of = f" of {listed(without)}" if without else ""
        written.append(
            f"There is no linear model to compare the cost with: the pixels{of} are black or white, and "
            "under a Bernoulli likelihood every error of a linear model would cost without bound."
        )
    if "mse" in rgb and "psnr" not in rgb:
        written.append("PSNR is infinite: some test image is reconstructed without any error.")
    if "sample_accuracy" in rgb and "sample_deviation" not in rgb:
        written.append(
            "Whether samples of a label differ is not measured: no label has two test images that differ."
        )
    return " ".join(written)


def verdict(rgb: Mapping[str, float], noun: str) -> Verdict | None:
    """On samples of a conditional model: of the class asked for, and different? None if unknown."""
    if not {"sample_accuracy", "sample_deviation"} <= rgb.keys():
        return None
    accuracy, deviation = rgb["sample_accuracy"], rgb["sample_deviation"]
    own = ""
    if "classifier_accuracy" in rgb:
        own = f"; of real test images it reads {percent(rgb['classifier_accuracy'])} right"
    read = f"A classifier reads {percent(accuracy)} of the samples as the {noun} that was asked for{own}."
    differ = (
        f"Samples of one {noun} differ from each other {deviation:.2f} times as much as real images of it do."
    )
    reasons = []
    if not accuracy >= LEAST_ACCURACY:
        reasons.append(
            f"Fewer than {LEAST_ACCURACY:.0%} is too few: the model does not draw the {noun} it is told."
        )
    if not deviation >= LEAST_DEVIATION:
        reasons.append(
            f"Less than {LEAST_DEVIATION} is too little: one mean picture for each {noun}, shown again and "
            "again, would be read right too, and is no sample."
        )
    return Verdict(not reasons, " ".join([read, differ, *reasons]))


def noun(classes: Sequence[str]) -> str:
    """Word for a label: digit or class."""
    return "digit" if classes and all(len(name) == 1 and name.isdecimal() for name in classes) else "class"


def percent(share: float) -> str:
    """A share in [0, 1] as `12.3 %`."""
    return f"{100 * share:.1f} %"


def _used(params: Params, metrics: Metrics) -> list[int]:
    """Active units of each model; nothing unless all are known."""
    counts = [metrics.get(c, {}).get("active_units") for c in paths.components(params.model.channels)]
    return [] if None in counts else [round(value) for value in counts if value is not None]


def _than_this(more: float, form: str, unit: str) -> str:
    if float(format(more, form).replace(",", "")) == 0:
        return "just as much as this one"
    return f"{number(abs(more), form)} {unit} {'more' if more > 0 else 'less'} than this one"
