"""The arrows between the rooms, and what is loaded when."""

import ast
import re
import subprocess
import sys

import pytest

from tests.helpers.checkout import ROOT
from tests.helpers.imports import LAZY, imports, local_imports, modules


def table() -> dict[str, tuple[str, set[str]]]:
    """Of each room what it is, and which rooms it may import: the table in docs/design.md."""
    rows = {}
    for line in (ROOT / "docs/design.md").read_text(encoding="utf-8").splitlines():
        if match := re.fullmatch(r"\| `(\w+)` \| (.+) \| (-|`\w+`(?:, `\w+`)*) \|", line):
            name, what, allowed = match.groups()
            rows[name] = (what, set(re.findall(r"\w+", allowed)))
    return rows


ROOMS = table()


def room(module: str) -> str:
    """The folder that a module is in; "" for the package `pipeline` itself, which holds nothing."""
    package, *inner = module.split(".")
    return package if package == "vae" else inner[0] if inner else ""


def arrows() -> dict[str, set[str]]:
    """Which other rooms each room imports."""
    found: dict[str, set[str]] = {}
    for module in modules():
        others = {room(name) for name in local_imports(module)} - {room(module), ""}
        found.setdefault(room(module), set()).update(others)
    return found


def test_the_rooms_are_the_folders() -> None:
    folders = {path.name for path in (ROOT / "pipeline").iterdir() if (path / "__init__.py").exists()}
    assert set(ROOMS) == folders | {"vae"}
    assert len(ROOMS) <= 18
    loose = [path.name for path in (ROOT / "pipeline").glob("*.py")]
    assert loose == ["__init__.py"]


@pytest.mark.parametrize("name", sorted(ROOMS))
def test_a_room_imports_what_the_table_says(name: str) -> None:
    assert arrows()[name] == ROOMS[name][1]


@pytest.mark.parametrize("name", sorted(set(ROOMS) - {"vae"}))
def test_a_room_says_what_the_table_says(name: str) -> None:
    said = str(ast.get_docstring(ast.parse((ROOT / "pipeline" / name / "__init__.py").read_text())))
    what, allowed = ROOMS[name]
    assert said.partition("\n")[0] == what
    listed = ", ".join(sorted(allowed)) or "nothing of this project"
    assert " ".join(said.split()).endswith(f"May import: {listed}.")


def test_no_circle_of_rooms() -> None:
    left = arrows()
    while ready := [name for name, others in left.items() if not others & set(left)]:
        for name in ready:
            del left[name]
    assert not left


def test_no_stage_imports_another() -> None:
    for module in modules():
        if module.startswith("pipeline.stages."):
            assert not {name for name in local_imports(module) if name.startswith("pipeline.stages.")}


def test_no_circle() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module not in done:
            for name in local_imports(module) - {module}:
                visit(name, (*path, module))
            done.add(module)

    for module in modules():
        visit(module, ())


def test_vae_needs_torch_numpy_and_safetensors_alone() -> None:
    for module in (name for name in modules() if name.startswith("vae")):
        foreign = {n for n in imports(module) if n not in modules()} - sys.stdlib_module_names
        allowed = {"torch", "numpy"} | ({"safetensors"} if module == "vae.tensorfile" else set())
        assert foreign <= allowed, module


def test_packages_hold_no_code_of_their_own() -> None:
    """So that dvc.yaml need not list them.

    `vae` may hand out what users import from it, but only when they do. No stage does: one that did would
    have `vae.pretrained` among its modules, and dvc.yaml would have to list that.
    """
    for name, path in modules().items():
        if path.name == "__init__.py":
            docstring, *rest = ast.parse(path.read_text()).body
            assert isinstance(docstring, ast.Expr)
            if name in LAZY:
                handed = {alias for node in rest for alias in handed_out(node)}
                assert handed == {(module, alias) for alias, module in LAZY[name].items()}
            else:
                assert not rest


def handed_out(node: ast.stmt) -> set[tuple[str | None, str]]:
    """The (module, name) pairs of a lazy package's statement, which may be of these few kinds only."""
    match node:
        case ast.ImportFrom(module="typing"):
            return set()
        case ast.Assign(targets=[ast.Name(id="__all__")]):
            return set()
        case ast.If(test=ast.Name(id="TYPE_CHECKING")) | ast.FunctionDef(name="__getattr__"):
            inner = [statement for statement in ast.walk(node) if isinstance(statement, ast.ImportFrom)]
            return {(statement.module, alias.name) for statement in inner for alias in statement.names}
    raise AssertionError(ast.unparse(node))


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import vae, vae.config", {"torch", "numpy"}),
        ("from vae import load", {"h5py", "ray", "dvc", "PIL", "scipy", "torch._dynamo"}),
        pytest.param(
            "import vae.fit, vae.modelfile",
            {"h5py", "ray", "dvc", "typer", "pydantic", "torch._dynamo"},
            marks=pytest.mark.slow,
        ),
        ("import pipeline.cli.main", {"torch", "ray", "h5py", "numpy", "pydantic", "dvc"}),
        ("from pipeline.experiment import params; params.Params", {"torch", "ray", "h5py", "numpy"}),
        ("import pipeline.stages.convert, pipeline.stages.split", {"torch", "ray", "matplotlib"}),
        pytest.param("import pipeline.stages.train", {"ray", "matplotlib", "scipy"}, marks=pytest.mark.slow),
        pytest.param("import pipeline.stages.merge", {"ray"}, marks=pytest.mark.slow),
        ("import pipeline.runs.listing", {"torch", "ray"}),
        (
            "from pipeline.report import studies_page; from pipeline.trials import studies_yaml",
            {"torch", "ray", "h5py", "optuna"},
        ),
        pytest.param("import pipeline.studies.run", {"optuna"}, marks=pytest.mark.slow),
        pytest.param(
            "import pipeline.inference.codec, pipeline.inference.pictures",
            {"ray", "dvc", "matplotlib", "torchmetrics"},
            marks=pytest.mark.slow,
        ),
        (
            "import pipeline.distributed.status",
            {"torch"},
        ),  # a process of its own, in which nothing is computed
        ("import pipeline.stages.split, pipeline.experiment.guard", {"torch", "psutil"}),
        ("import pipeline.doctor.run", {"torch", "ray", "h5py", "scipy", "packaging"}),
    ],
)
def test_what_is_not_loaded(code: str, absent: set[str]) -> None:
    shown = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not absent & set(shown.stdout.split())


def test_help_lists_every_command_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['vaepipe', '--help']\n"
        "from pipeline.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'ray', 'numpy', 'h5py'} & set(sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    for command in (
        "prepare",
        "download",
        "convert",
        "split",
        "classifier",
        "train",
        "merge",
        "study",
        "studies",
        "tune",
    ):
        assert f" {command} " in shown.stdout
    for command in ("encode", "decode", "reconstruct", "sample", "interpolate"):
        assert f" {command} " in shown.stdout
    for command in ("init", "demo", "runs", "doctor", "preset"):
        assert f" {command} " in shown.stdout


# Where a folder of others' litter, or of the package, may as well be empty.
GLOBBING = {"pipeline/common/files.py", "pipeline/experiment/stage_modules.py"}


def test_what_is_in_a_folder_is_not_globbed() -> None:
    """`Path.glob` takes a folder that may not be read for an empty one; `files.entries` says so."""
    for folder in ("pipeline", "vae"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            calls = (
                node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)
            )
            assert path.relative_to(ROOT).as_posix() in GLOBBING or not {"glob", "rglob"} & set(calls), path


def test_no_test_module_imports_another() -> None:
    """What several need is in tests/helpers."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tests"):
                assert node.module.startswith("tests.helpers"), path


def test_the_tests_have_the_rooms_of_the_code() -> None:
    folders = {path.name for path in (ROOT / "tests/pipeline").iterdir() if any(path.glob("test_*.py"))}
    assert folders <= set(ROOMS)
    assert set(ROOMS) - folders <= {"vae", "studies"}
