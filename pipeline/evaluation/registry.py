"""Every metric, defined once: its name, its unit, and how an RGB image's comes from its components'.

Free of torch: pages and tables are made from files of metrics. A new metric needs a line here; the code that
computes it uses that name (CONTRIBUTING.md says where).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vae.config import ACTIVE_VARIANCE, BOUND_SAMPLES

BOUND_IMAGES = 1000  # test images, evenly spaced, of the importance-weighted bound
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Metric:
    """A number that is computed of a model or of pictures, in metrics/*.json under `name`."""

    name: str
    title: str
    unit: str  # such as nats; empty where it has none
    scale: str  # what stands below the title in the report: of which whole, or for what
    digits: int  # behind the point
    meaning: str
    # How an RGB image's comes from those of its components; "" where it is measured on merged pictures.
    merge: Literal["sum", "mean", ""] = ""
    better: Literal["less", "more", ""] = ""
    headline: bool = False  # among the few of metrics/summary.json, by which experiments are compared
    reported: bool = True  # a column of the report's table
    compared_digits: int | None = None  # where settings are compared, and small differences count

    def text(self, value: float) -> str:
        """The value as it is shown, with a minus sign and thousands apart."""
        return f"{value:,.{self.digits}f}".replace("-", MINUS)

    def compared(self, value: float) -> str:
        """The value as it is shown beside those of other settings."""
        return f"{value:.{self.digits if self.compared_digits is None else self.compared_digits}f}"


_DEFINED = (
    Metric("cost", "cost", "nats", "nats/image", 1,
           "reconstruction + KL: the negative ELBO at one sample of z",
           merge="sum", better="less", headline=True),
    Metric("reconstruction", "reconstruction", "nats", "nats/image", 1,
           f"what the pixels cost once z is known: {MINUS}log p(x|z), summed over them",
           merge="sum", better="less"),
    Metric("kl", "KL", "nats", "nats/image", 2,
           "what z costs: KL(q(z|x) ‖ N(0, I)), summed over the latent units",
           merge="sum", compared_digits=1),
    Metric("floor", "floor", "nats", "nats/image", 1,
           "entropy of the pixels: the least cost of any model", merge="sum"),
    Metric("excess", "excess", "nats", "nats/image", 1,
           "cost less floor: what a model could still gain", merge="sum", better="less", headline=True),
    Metric("bits_per_dim", "bits/dim", "bits", "of 8", 3,
           "the cost in bits, for each pixel of each channel; a byte that is not compressed costs 8",
           merge="mean", better="less", headline=True),
    Metric("iw_cost", "IW cost", "nats", "nats/image", 1,
           f"minus the importance-weighted bound with {BOUND_SAMPLES} samples of z, on at most "
           f"{BOUND_IMAGES:,} of the test images", merge="sum", better="less"),
    Metric("iw_gain", "IW gain", "nats", "nats/image", 2,
           "cost less IW cost on those images: at least so much of the cost is the bound's "
           "looseness", merge="sum"),
    Metric("linear_cost", "linear cost", "nats", "nats/image", 1,
           "the cost of the best linear-Gaussian model with as many latent units",
           merge="sum", better="less", reported=False),
    Metric("active_units", "active", "units", "units", 0,
           f"latent units whose posterior mean has a variance above {ACTIVE_VARIANCE}",
           merge="sum", headline=True),
    Metric("mse", "MSE", "", "in [0, 1]", 4,
           "mean squared error a pixel, of the posterior mean's picture",
           better="less", headline=True, compared_digits=5),
    Metric("psnr", "PSNR", "dB", "dB", 2, "peak signal-to-noise ratio, averaged over images",
           better="more", headline=True, compared_digits=1),
    Metric("ssim", "SSIM", "", "at most 1", 3, "structural similarity, averaged over images",
           better="more", headline=True),
    Metric("parameters", "parameters", "", "count", 0, "numbers that were fitted", merge="sum"),
    Metric("cost_per_pixel", "cost a pixel", "nats", "nats/pixel", 3,
           "cost, by which images of different sizes can be compared",
           merge="mean", better="less", reported=False),
    Metric("excess_per_pixel", "excess a pixel", "nats", "nats/pixel", 3,
           "excess, by which images of different sizes can be compared",
           merge="mean", better="less", reported=False),
    Metric("classifier_accuracy", "classifier on real images", "", "at most 1", 3,
           "share of the test images whose label the classifier reads", better="more", reported=False),
    Metric("sample_accuracy", "classifier on samples", "", "at most 1", 3,
           "share of samples that the classifier reads as the label asked for",
           better="more", headline=True, reported=False),
    Metric("sample_deviation", "deviation of samples", "", "of real images'", 3,
           "deviation of samples' pixels within a label, divided by that of real images",
           better="more", reported=False),
)  # fmt: skip

METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _DEFINED}
