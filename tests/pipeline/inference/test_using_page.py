"""The README and docs/using.md, beside what the commands do."""

import doctest
import re
import shlex
import textwrap
from pathlib import Path

import pytest
import typer

from pipeline.cli import main as cli
from pipeline.cli import models as cli_models
from pipeline.data import store
from pipeline.data.own import pixels
from pipeline.inference import latent_file
from tests.helpers.checkout import ROOT
from tests.helpers.drawings import draw, noise
from tests.helpers.inference import run
from tests.helpers.models import Crops, trained

pytestmark = pytest.mark.usefixtures("one_thread")


# What the documentation says
def readme() -> list[str]:
    """The indented blocks of the README's section."""
    [section] = re.findall(
        r"^## Use the trained models\n(.+?)^## ", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    return [textwrap.dedent(block) for block in re.findall(r"(?:^    .+\n)+", section, re.MULTILINE)]


def test_the_readmes_commands_and_its_session(workspace: Path, crops: Crops) -> None:
    images = crops[0][:100]
    trained(Path("models"), images[:40], latent=20, hidden=(8,))
    Path("data").mkdir()
    with store.create(Path("data/svhn.h5")) as file:
        file.create("test", images.shape, None)[:] = images
    for name in ("photos/1.png", "a.png", "b.png"):
        draw(Path(name), noise(40, 40, 3))
    commands, session = readme()
    for command in commands.splitlines():
        name, *arguments = shlex.split(command, comments=True)
        assert name == "vaepipe"
        assert run(*arguments)[0] == 0, command
    test = doctest.DocTestParser().get_doctest(session, {}, "README", "README.md", 0)
    assert test.examples
    results = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF).run(test)
    assert results.failed == 0


def test_the_page_names_every_option_and_limit() -> None:
    page = (ROOT / "docs/using.md").read_text()
    commands = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
    for name in ("encode", "decode", "reconstruct", "sample", "interpolate"):
        assert f"`vaepipe {name}" in page
        for option in (param for param in commands[name].params if param.param_type_name == "option"):
            assert re.search(rf"(?:{'|'.join(option.opts)})[ `]", page), option.name
    for limit in (pixels.MOST_PIXELS, cli_models.MOST_SHOWN, latent_file.LONGEST):
        assert f"{limit:,}" in page
