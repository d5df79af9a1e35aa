import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.helpers.fits import MODEL, TRAIN, assert_same, fresh, images, last
from tests.helpers.models import row
from vae.fit import fit
from vae.modelfile import load_checkpoint, load_model, save_checkpoint, save_model
from vae.stack import TrainingState
from vae.tensorfile import KEY, ModelFileError


@pytest.fixture(scope="module")
def state() -> TrainingState:
    return last(fit(images("red"), fresh("red"), TRAIN))[0]


def test_a_checkpoint_is_the_state_to_the_bit(tmp_path: Path, state: TrainingState) -> None:
    save_checkpoint(tmp_path / "red", state)
    assert_same(load_checkpoint(tmp_path / "red"), state)


def test_a_model_file_holds_what_it_takes_to_build_the_model(tmp_path: Path, state: TrainingState) -> None:
    save_model(tmp_path / "red", state)
    found = load_model(tmp_path / "red")
    assert (found.component, found.sizes, found.config, found.epoch) == ("red", row(20), MODEL, 4)
    assert all(torch.equal(found.weights[n], w) for n, w in state.weights.items())
    # Readable with safetensors alone.
    assert load_file(tmp_path / "red").keys() == state.weights.keys()


def test_equal_states_give_equal_bytes(tmp_path: Path, state: TrainingState) -> None:
    for save in (save_model, save_checkpoint):
        for name in ("a", "b"):
            save(tmp_path / name, state)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such model file"):
        load_model(tmp_path / "red")


@pytest.mark.parametrize("length", [0, 4, 100, -1])
def test_a_file_that_was_cut(tmp_path: Path, state: TrainingState, length: int) -> None:
    save_checkpoint(tmp_path / "red", state)
    (tmp_path / "red").write_bytes((tmp_path / "red").read_bytes()[:length])
    with pytest.raises(ModelFileError, match="red: not a vaepipe model file, or damaged"):
        load_checkpoint(tmp_path / "red")


def test_a_foreign_file(tmp_path: Path) -> None:
    (tmp_path / "pickle").write_bytes(b"\x80\x04K\x01.")
    save_file({"w": torch.zeros(1)}, tmp_path / "other")
    for name in ("pickle", "other"):
        with pytest.raises(ModelFileError, match="not a vaepipe model file"):
            load_model(tmp_path / name)


def test_a_model_of_another_shape(tmp_path: Path, state: TrainingState) -> None:
    about = {"component": "red", "sizes": asdict(row(21)), "epoch": 4, "model": asdict(MODEL)}
    save_file(state.weights, tmp_path / "red", {KEY: json.dumps(about)})
    with pytest.raises(ModelFileError, match=r"weight decoder.output.bias should be 21, not 20"):
        load_model(tmp_path / "red")


def test_a_description_of_another_version(tmp_path: Path, state: TrainingState) -> None:
    save_file(state.weights, tmp_path / "red", {KEY: json.dumps({"component": "red"})})
    with pytest.raises(ModelFileError, match="description"):
        load_model(tmp_path / "red")


@pytest.mark.parametrize(
    "spoilt", [torch.float64, torch.int32, torch.bool, torch.complex64, torch.float8_e4m3fn]
)
def test_weights_of_another_type_are_refused(
    tmp_path: Path, state: TrainingState, spoilt: torch.dtype
) -> None:
    weights = {name: tensor.to(spoilt) for name, tensor in state.weights.items()}
    save_model(tmp_path / "red", replace(state, weights=weights))
    with pytest.raises(ModelFileError, match=r"should be float32, not \w+$"):
        load_model(tmp_path / "red")


@pytest.mark.parametrize("spoilt", [float("nan"), float("inf")])
def test_weights_that_are_no_finite_float32_numbers_are_refused(
    tmp_path: Path, state: TrainingState, spoilt: float
) -> None:
    for group in ("weights", "first_moments", "second_moments"):
        tensors = {name: tensor.clone() for name, tensor in getattr(state, group).items()}
        tensors["decoder.output.bias"][3] = spoilt
        changed: dict[str, Any] = {group: tensors}
        save_checkpoint(tmp_path / "red", replace(state, **changed))
        with pytest.raises(ModelFileError, match=r"decoder.output.bias holds NaN or infinity$"):
            load_checkpoint(tmp_path / "red")


def test_a_model_of_before_there_were_checksums_is_read(tmp_path: Path, state: TrainingState) -> None:
    about = {"component": "red", "sizes": asdict(row(20)), "epoch": 4, "model": asdict(MODEL)}
    save_file(state.weights, tmp_path / "red", {KEY: json.dumps(about)})
    assert load_model(tmp_path / "red").epoch == 4
