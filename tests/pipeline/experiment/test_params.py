import copy
from pathlib import Path
from typing import Any

import pytest

from pipeline.common.errors import PipelineError
from pipeline.experiment import params
from tests.helpers.checkout import ROOT
from vae.config import PAPER_MODEL, PAPER_TRAIN

DEFAULTS = params.load(ROOT / "params.yaml")
MISSING = object()
MODEL_KEYS = ", ".join(DEFAULTS["model"])


def changed(key: str, value: Any) -> Any:
    values = copy.deepcopy(DEFAULTS)
    *sections, last = key.split(".")
    inner = values
    for section in sections:
        inner = inner[section]
    if value is MISSING:
        del inner[last]
    else:
        inner[last] = value
    return values


def test_defaults_are_the_papers() -> None:
    read = params.read(ROOT / "params.yaml")
    assert (read.model, read.train) == (PAPER_MODEL, PAPER_TRAIN)
    assert (PAPER_MODEL.latent, PAPER_MODEL.hidden, PAPER_MODEL.activation) == (20, (500, 500), "softplus")
    assert (PAPER_TRAIN.epochs, PAPER_TRAIN.batch_size, PAPER_TRAIN.learning_rate) == (50, 100, 0.001)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("data.source", 3, "data.source is 3, but must be a text"),
        ("data.source", "", 'data.source is "", but must be a URL, a folder, an .npz file, or synthetic'),
        ("data.extra", "yes", 'data.extra is "yes", but must be true or false'),
        ("data.format", "mat", "data.format is \"mat\"; allowed: 'cropped' or 'full'"),
        ("data.margin", -0.1, "data.margin is -0.1, but must be from 0 to 1"),
        ("data.neighbours", False, "data.neighbours is false; allowed: 'hidden' or 'shown'"),
        ("data.size", 0, "data.size is 0, but must be from 8 to 256, or null"),
        ("data.size", 257, "data.size is 257, but must be from 8 to 256, or null"),
        ("data.size", "as they are", 'data.size is "as they are", but must be a whole number'),
        ("data.frames", "two", "data.frames is \"two\"; allowed: 'one', 'first' or 'all'"),
        ("data.white_level", 0, "data.white_level is 0, but must be from 1 to 2,147,483,647, or null"),
        ("data.white_level", 0.5, "data.white_level is 0.5, but must be a whole number"),
        ("data.test", 0, "data.test is 0, but must be more than 0 and less than 1"),
        ("data.test", 1.0, "data.test is 1.0, but must be more than 0 and less than 1"),
        ("data.validation", 1, "data.validation is 1, but must be 0 or more and less than 1"),
        ("data.validation", -0.1, "data.validation is -0.1"),
        ("synthetic.train", 0, "synthetic.train is 0, but must be at least 1"),
        ("synthetic.test", 0, "synthetic.test is 0, but must be at least 1"),
        ("synthetic.extra", -1, "synthetic.extra is -1, but must be at least 1"),
        ("synthetic.seed", -1, "synthetic.seed is -1, but must be at least 0"),
        ("model.latent", -3, "model.latent is -3, but must be from 1 to 65,536"),
        ("model.latent", 2.5, "model.latent is 2.5, but must be a whole number"),
        ("model.latent", True, "model.latent is true, but must be a whole number"),
        ("model.hidden", [], "model.hidden is [], but must name 1 to 64 widths"),
        ("model.hidden", [500, 0], "model.hidden is [500, 0], but must hold widths from 1 to 65,536"),
        ("model.hidden", 500, "model.hidden is 500, but must be a list"),
        ("model.hidden", ["a"], 'model.hidden.0 is "a", but must be a whole number'),
        ("model.activation", "swish", "allowed: 'softplus', 'tanh', 'sigmoid', 'relu', 'gelu' or 'silu'"),
        ("model.channels", "grey", "model.channels is \"grey\"; allowed: 'separate' or 'joint'"),
        ("model.architecture", "unet", "model.architecture is \"unet\"; allowed: 'mlp' or 'conv'"),
        ("model.likelihood", "normal", "allowed: 'bernoulli', 'continuous_bernoulli' or 'gaussian'"),
        ("model.centred", "yes", 'model.centred is "yes", but must be true or false'),
        ("model.shortcut", 1, "model.shortcut is 1, but must be true or false"),
        ("model.calibrated", None, "model.calibrated is null, but must be true or false"),
        ("model.conditional", True, "is true, but must be false unless model.channels is joint"),
        ("train.warmup", -1, "train.warmup is -1, but must be from 0 to 1,000,000,000"),
        ("train.kl_warmup", 0.3, "train.kl_warmup is 0.3, but must be a whole number"),
        ("train.decay", "linear", "train.decay is \"linear\"; allowed: 'none' or 'cosine'"),
        ("train.samples", 0, "train.samples is 0, but must be from 1 to 1,000,000,000"),
        ("train.shift", 9, "train.shift is 9, but must be from 0 to 8"),
        ("train.epochs", 0, "train.epochs is 0, but must be from 1 to 1,000,000,000"),
        ("train.batch_size", -100, "train.batch_size is -100, but must be from 1 to 1,000,000,000"),
        ("train.learning_rate", "1e-3", "(in YAML, a number stands without quotes)"),
        ("train.learning_rate", float("nan"), "train.learning_rate is NaN, but must be above 0"),
        ("train.learning_rate", 10, "train.learning_rate is 10, but must be above 0 and at most 1"),
        ("train.seed", -1, "train.seed is -1, but must be from 0 to 2^63 - 1"),
        ("train.precision", "fp16", "train.precision is \"fp16\"; allowed: 'fp32', 'tf32' or 'bf16'"),
        ("merge.images", 0, "merge.images is 0, but must be from 1 to 1000"),
        ("model.latnet", 20, f"model.latnet is unknown; allowed there: {MODEL_KEYS}"),
        ("optimizer", "sgd", "optimizer is unknown; allowed there: data, synthetic, model, train, merge"),
        ("model.latent", MISSING, "model.latent is missing"),
        ("train", MISSING, "train is missing"),
        ("model", None, f"model must be a section with the keys {MODEL_KEYS}"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(key: str, value: Any, said: str) -> None:
    with pytest.raises(PipelineError) as caught:
        params.check(changed(key, value))
    message = str(caught.value)
    assert said in message
    assert "\n" not in message
    assert message.startswith("params.yaml: ")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("data.size", None, "data.size is null, but must be a number of pixels where data.format is full"),
        ("data.extra", True, "data.extra is true, but must be false where data.format is full"),
    ],
)
def test_what_full_numbers_cannot_go_with(key: str, value: Any, said: str) -> None:
    values = changed(key, value)
    params.check(values)
    values["data"]["format"] = "full"
    with pytest.raises(PipelineError, match=said):
        params.check(values)


def test_every_key_has_a_wrong_value_above() -> None:
    marks = test_what_is_wrong_is_named_in_one_line.pytestmark
    tried = {case[0] for case in marks[0].args[1]}
    assert {f"{section}.{key}" for section, keys in DEFAULTS.items() for key in keys} <= tried


def test_all_that_is_wrong_is_said_at_once() -> None:
    values = changed("model.latent", 0)
    values["train"]["seed"] = -1
    with pytest.raises(PipelineError, match=r"model.latent .*; train.seed "):
        params.check(values)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must be a section"),
        ("- 1\n- 2\n", "must be a section"),
        ("model: [1,\n", "not valid YAML"),
        ("model: {latent: 1}\nmodel: {latent: 2}\n", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_params(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(PipelineError, match=said):
        params.read(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"not found.*vaepipe init"):
        params.read(tmp_path / "params.yaml")


def test_numbers_mean_what_dvc_reads(tmp_path: Path) -> None:
    """DVC's parser takes 1e-3 for a number, and so do we: both see one experiment."""
    path = tmp_path / "params.yaml"
    text = (ROOT / "params.yaml").read_text()
    assert "learning_rate: 0.001" in text
    path.write_text(text.replace("learning_rate: 0.001", "learning_rate: 1e-3"))
    assert params.read(path).train.learning_rate == 0.001
