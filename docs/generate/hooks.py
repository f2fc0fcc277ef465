"""What mkdocs asks for while it builds the site (``hooks`` in ``mkdocs.yml``).

Pages are made from the code, and files of the project that a page links to become pages of the site, since the site is
to be whole without the project and without a network.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # mkdocs loads this file by its path

from docs.generate import columns, methods, verbs  # noqa: E402

_LINK = re.compile(r"(?<!!)\]\(([^)#\s]+)(#[^)\s]*)?\)")
_SHOWN = {".yaml": "yaml", ".py": "python", ".sh": "bash", ".def": "text", "": "text", ".cff": "yaml"}
_DOCS = ROOT / "docs"
_ALWAYS = (ROOT / "CONTRIBUTING.md",)  # in the contents, whether or not a page links to it
_SHIM = (
    "https://unpkg.com/iframe-worker/shim"  # what the theme's search would fetch where the site is a folder of files
)
_FETCHED = re.compile(r"<(?:script|img|iframe)[^>]+src=\"https?:|<link[^>]+rel=\"stylesheet\"[^>]+href=\"https?:")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made from the code, and those of the project's files."""
    made = {"reference/verbs.md": verbs.page(), "reference/columns.md": columns.page()}
    made["reference/optimizers/index.md"] = methods.index()
    made |= {f"reference/optimizers/{name}.md": methods.page(name) for name in methods.listed()}
    for path in sorted(_linked_files()):
        made[_page_of(path)] = _shown(path)
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links to files of the project to the pages that show them."""
    source = page.file.src_uri
    if source.startswith("files/"):
        return markdown
    here = (_DOCS / source).parent

    def led(match: re.Match[str]) -> str:
        target = _outside(here, match[1])
        if target is None:
            return match[0]
        up = "../" * source.count("/")
        return f"]({up}{_page_of(target)})"

    return _LINK.sub(led, markdown)


def on_config(config: Any) -> Any:
    """Put the optimizers' pages into the contents."""
    (reference,) = [entry["Reference"] for entry in config.nav if "Reference" in entry]
    (optimizers,) = [entry for entry in reference if "Optimizers" in entry]
    pages = [{method.class_name: f"reference/optimizers/{name}.md"} for name, method in methods.listed().items()]
    optimizers["Optimizers"] = [optimizers["Optimizers"], *pages]
    return config


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Fetch nothing from a network."""
    here = page.url.count("/")
    output = output.replace(_SHIM, "../" * here + "assets/worker.js")
    found = _FETCHED.search(output)
    if found:
        raise PluginError(f"{page.file.src_uri}: the page would fetch {found[0]!r}; the site is to need no network")
    return output


def _linked_files() -> set[Path]:
    """The files outside of ``docs`` that its pages link to."""
    found = set(_ALWAYS)
    for page in _DOCS.rglob("*.md"):
        for link in _LINK.finditer(page.read_text(encoding="utf-8")):
            target = _outside(page.parent, link[1])
            if target is not None:
                found.add(target)
    return found


def _outside(folder: Path, link: str) -> Path | None:
    if "://" in link:
        return None
    target = (folder / link).resolve()
    return target if target.is_relative_to(ROOT) and not target.is_relative_to(_DOCS) and target.is_file() else None


def _page_of(path: Path) -> str:
    name = f"files/{path.relative_to(ROOT).as_posix()}".replace("/.", "/")
    return name if name.endswith(".md") else f"{name}.md"


def _shown(path: Path) -> str:
    """A file of the project as a page: text as it is, Markdown without its links, which lead out of the site."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
        return re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]*\)", r"\1", text)
    name = path.relative_to(ROOT).as_posix()
    return f"# {name}\n\n````{_SHOWN.get(path.suffix, 'text')}\n{text}````\n"
