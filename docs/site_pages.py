"""Pages of the site that are no files of docs/: the README and its neighbours, and the reference.

A hook of MkDocs (mkdocs.yml).
"""

import ast
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
# Files of the root that are pages, by the pages' names.
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
PACKAGES = ("vae", "pipeline")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the reference's pages at the end of the navigation."""
    pages = [page for package in PACKAGES for page in reference(ROOT / package)]
    (config.nav or []).append(
        {"Reference": [{page.removeprefix("reference/").removesuffix(".md"): page} for page in pages]}
    )
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for name, page in PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=as_page(text)))
    for package in PACKAGES:
        for page, content in reference(ROOT / package).items():
            files.append(File.generated(config, page, content=content))
    return files


def as_page(text: str) -> str:
    """Markdown of the root, with its links as they are from docs/; files that are no pages lose theirs."""

    def link(match: re.Match[str]) -> str:
        shown, target, anchor = match.groups(default="")
        if target in PAGES:
            return f"[{shown}]({PAGES[target]}{anchor})"
        if target.startswith("docs/"):
            return f"[{shown}]({target.removeprefix('docs/')}{anchor})"
        return str(shown)

    return re.sub(r"\[([^\]]*)\]\((?!\w+:|#)([^)#]+)(#[^)]*)?\)", link, text)


def reference(package: Path) -> dict[str, str]:
    """A page a room (of a flat package, one page): what it is, and what each module defines."""
    rooms = [folder for folder in sorted(package.iterdir()) if (folder / "__init__.py").is_file()]
    pages = {}
    for room in rooms or [package]:
        name = ".".join(room.relative_to(ROOT).parts)
        about = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8"))) or ""
        modules = [path for path in sorted(room.rglob("*.py")) if not path.stem.startswith("__")]
        listed = [f"::: {'.'.join(path.relative_to(ROOT).with_suffix('').parts)}" for path in modules]
        pages[f"reference/{name}.md"] = f"# {name}\n\n{about}\n\n" + "\n\n".join(listed) + "\n"
    return pages
