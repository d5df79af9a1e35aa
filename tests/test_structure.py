"""The arrows between the rooms, and what is loaded when."""

import ast
import subprocess
import sys

import pytest
from imports import LAZY, imports, local_imports, modules

# The rooms, each with the rooms it may enter besides itself.
PIPELINE_ROOMS = {
    "cli": {"stages", "studies", "cluster", "using", "workspace", "doctor", "common"},
    "cluster": {"common"},
    "workspace": {"common"},
    "doctor": {"data", "workspace", "common"},
    "stages": {"ray", "gallery", "report", "data", "common"},
    "studies": {"ray", "report", "workspace", "common"},
    "using": {"data", "common"},
    "ray": {"common"},
    "gallery": {"report", "common"},
    "report": {"data", "common"},
    "data": {"common"},
    "common": set(),
}
CLI = {"__main__", "cli", "cli_cluster", "cli_models", "cli_presets", "cli_studies", "options"}
RAY = {"board", "gang", "patience", "ray_local", "ray_session", "training_view", "waiting", "worker"}


def room(module: str) -> str:
    parts = module.split(".")
    if parts[0] == "vae":
        return "vae"
    name = parts[1] if len(parts) > 1 else "common"
    if name in CLI:
        return "cli"
    if name == "repair":
        return "workspace"
    return "ray" if name in RAY else name if name in PIPELINE_ROOMS else "common"


@pytest.mark.parametrize("module", sorted(modules()))
def test_no_arrow_against_the_design(module: str) -> None:
    here = room(module)
    allowed = {"vae"} if here == "vae" else PIPELINE_ROOMS[here] | {here, "vae"}
    assert {room(name) for name in local_imports(module)} <= allowed


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
            inner = [each for each in ast.walk(node) if isinstance(each, ast.ImportFrom)]
            return {(each.module, alias.name) for each in inner for alias in each.names}
    raise AssertionError(ast.unparse(node))


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import vae, vae.config", {"torch", "numpy"}),
        ("from vae import load", {"h5py", "ray", "dvc", "PIL", "scipy", "torch._dynamo"}),
        ("import vae.fit, vae.modelfile", {"h5py", "ray", "dvc", "typer", "pydantic", "torch._dynamo"}),
        ("import pipeline.cli", {"torch", "ray", "h5py", "numpy", "pydantic", "dvc"}),
        ("from pipeline import params; params.Params", {"torch", "ray", "h5py", "numpy"}),
        ("import pipeline.stages.convert, pipeline.stages.split", {"torch", "ray", "matplotlib"}),
        ("import pipeline.stages.train", {"ray", "matplotlib", "scipy"}),
        ("import pipeline.stages.merge", {"ray"}),
        ("import pipeline.catalogue", {"torch", "ray"}),
        ("import pipeline.studies.declared, pipeline.studies.page", {"torch", "ray", "h5py", "optuna"}),
        ("import pipeline.studies.study", {"optuna"}),
        (
            "import pipeline.using.coding, pipeline.using.showing",
            {"ray", "dvc", "matplotlib", "torchmetrics"},
        ),
        ("import pipeline.board", {"torch"}),  # a process of its own, in which nothing is computed
        ("import pipeline.doctor.visit", {"torch", "ray", "h5py", "scipy", "packaging"}),
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
        "from pipeline import cli\n"
        "try: cli.main()\n"
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
        "judge",
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
