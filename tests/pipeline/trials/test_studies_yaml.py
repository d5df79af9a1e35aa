"""studies.yaml: what is declared, and what is refused in one line."""

from pathlib import Path

import pytest

from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.data import store
from pipeline.experiment import params
from pipeline.experiment import workspace as workspaces
from pipeline.trials import studies_yaml
from tests.helpers.studies import BASE, check, declare, defaults


@pytest.fixture
def here(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with the default parameters and studies."""
    workspaces.create(workspace / "w")
    monkeypatch.chdir(workspace / "w")
    return workspace / "w"


@pytest.mark.parametrize(
    ("study", "said"),
    [
        (
            "{vary: {model.latnet: [1]}}",
            "studies.mine: model.latnet is no parameter; there are model.channels",
        ),
        ("{vary: {data.source: [a]}}", "studies.mine: data.source does not differ between trials"),
        ("{vary: {model.latent: [ten]}}", 'studies.mine: model.latent is "ten", but must be a whole number'),
        ("{vary: {model.latent: [0]}}", "studies.mine: model.latent is 0, but must be from 1 to 65,536"),
        (
            "{vary: {model.latent: []}}",
            "studies.mine: model.latent is an empty list; give it a list of values",
        ),
        ("{vary: {model.latent: 20}}", "studies.mine: model.latent is 20; give it a list of values"),
        (
            f"{{vary: {{model.latent: {list(range(1, 401))}, train.seed: {list(range(400))}}}}}",
            "160,000 settings",
        ),
        ("{vary: {model.latent: [20, 20]}}", "studies.mine: latent 20 is there twice"),
        ("{vary: {}}", "studies.mine: vary must name parameters"),
        ("{}", "studies.mine: give it either vary"),
        ("{settings: []}", "studies.mine: settings must be a list of settings"),
        ("{settings: [20]}", "studies.mine: a setting is parameters with a value each"),
        (
            "{vary: {model.latent: [2]}, sort: true}",
            "studies.mine: sort is unknown; allowed there: paper, question",
        ),
        ("{vary: {model.latent: [2]}, paper: [1, 2]}", "studies.mine: paper has 2 costs for 1 settings"),
        (
            "{vary: {model.activation: [selu]}}",
            "studies.mine: model.activation is \"selu\"; allowed: 'softplus'",
        ),
        ("[", "line"),
    ],
)
def test_a_wrong_study_is_one_clear_line(here: Path, study: str, said: str) -> None:
    declare(study)
    with pytest.raises(PipelineError) as raised:
        check(["mine"])
    assert str(raised.value).startswith("studies.yaml:")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_other_wrongs_are_named_too(here: Path) -> None:
    with pytest.raises(
        PipelineError, match=r"^studies.yaml: no study is called latnet; there are latent, width"
    ):
        check(["latnet"])
    declare("{vary: {model.latent: [2]}}", noise="mine")
    with pytest.raises(PipelineError, match=r"noise must be a study that varies train.seed alone"):
        check(["mine"])
    declare("{vary: {model.latent: [2]}}", noise="[seeds]")
    with pytest.raises(PipelineError, match=r'noise is \["seeds"\]; name one of the studies: seeds, mine'):
        check(["mine"])
    declare("{vary: {model.latent: [2]}}", noise="chance")
    with pytest.raises(PipelineError, match=r'noise is "chance"; name one of the studies: seeds, mine'):
        check(["mine"])
    declare("{vary: {model.latent: [2]}}", rest="  Big: {vary: {model.latent: [2]}}")
    with pytest.raises(PipelineError, match=r"studies.Big: a name is of small letters"):
        check(["mine"])
    paths.STUDIES_YAML.unlink()
    with pytest.raises(PipelineError, match=r"^studies.yaml: not found"):
        check(["mine"])


def test_a_thousand_trials_are_asked_for_twice(here: Path) -> None:
    declare(f"vary: {{model.latent: {list(range(1, 41))}, train.seed: {list(range(26))}}}".join("{}"))
    with pytest.raises(PipelineError, match=r"studies.mine: 1,040 trials; add --yes to run more than 1,000"):
        check(["mine"])
    [study] = check(["mine"], yes=True)
    assert len(study.settings) == 1040


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ("{trials: 0, space: {model.latent: [2]}}", "trials is 0; it must be a whole number of at least 1"),
        ("{trials: 2, space: {}}", "space must name parameters"),
        (
            "{trials: 2, grace: 99, space: {model.latent: [2]}}",
            "grace is 99, more than params.yaml's 50 epochs",
        ),
        ("{trials: 2, space: {model.latent: 5}}", "model.latent is 5; give it a list of values, or a range"),
        ("{trials: 2, space: {model.latent: {from: 9, to: 2}}}", "from must be less than to"),
        ("{trials: 2, space: {train.learning_rate: {from: 0, to: 1, log: true}}}", "and above 0"),
        (
            "{trials: 2, space: {train.learning_rate: {from: 0.1, to: 7}}}",
            "train.learning_rate is 7, but must be",
        ),
        ("{trials: 2, space: {model.likelihood: [gaussian]}}", "costs under different likelihoods cannot"),
        ("{trials: 2, space: {train.seed: [1, 2]}}", "it would find the luckiest one"),
        ("{trials: 2, space: {model.latnet: [1, 2]}}", "model.latnet is no parameter"),
        (
            "{trials: 2, space: {model.channels: [joint, separate], model.conditional: [true, false]}}",
            "model.conditional is true, but must be false unless model.channels is joint",
        ),
    ],
)
def test_a_wrong_search_is_one_clear_line(here: Path, search: str, said: str) -> None:
    declare("{vary: {model.latent: [2]}}", rest=f"searches:\n  default: {search}\n")
    with pytest.raises(PipelineError, match=r"^studies.yaml: searches.default: ") as raised:
        studies_yaml.check_search(studies_yaml.read().search("default"), studies_yaml.read_defaults())
    assert said in str(raised.value)


def test_a_search_needs_validation_images(here: Path) -> None:
    params.change(paths.PARAMS, {"data": {"validation": 0.0}})
    with pytest.raises(
        PipelineError, match=r"^params.yaml: data.validation is 0, but validation images judge"
    ):
        studies_yaml.check_search(studies_yaml.read().search("default"), studies_yaml.read_defaults())


def test_a_folder_val_judges_a_search_too(here: Path) -> None:
    params.change(paths.PARAMS, {"data": {"validation": 0.0}})
    paths.CHANNELS.mkdir(parents=True)
    for colour in paths.COLOURS:
        with store.create(paths.channel(colour)) as file:
            for split in ("train", "validation", "test"):
                file.create(split, (2, 8, 8), None)[:] = 0
    studies_yaml.check_search(studies_yaml.read().search("default"), studies_yaml.read_defaults())


def test_the_papers_experiments_are_declared(here: Path) -> None:
    found = studies_yaml.read()
    studies, noise = check(list(found.studies)), found.noise
    values = {study.name: [next(iter(s.values())) for s in study.settings] for study in studies}
    assert values["latent"] == [2, 5, 10, 20, 50, 100]
    assert values["width"] == [[n, n] for n in (100, 300, 500, 700, 1000)]
    assert values["shape"] == [[500, 300], [300, 500], [700, 500], [500, 700], [700, 300]]
    assert values["epochs"] == [10, 20, 50]
    assert found.study("epochs").paper == (643.85, 642.58, 641.47)
    assert len(noise.settings) == 5
    separate, joint = (
        studies_yaml.parameters(defaults(BASE), s, "here") for s in found.study("channels").settings
    )
    units = len(paths.components(separate.model.channels)) * separate.model.latent
    assert (joint.model.channels, joint.model.latent) == ("joint", units)
    studies_yaml.check_search(found.search("default"), studies_yaml.read_defaults())
