"""What the site needs beside MkDocs: links into the repository, the icon, and that nothing comes from another host.

The Markdown is read in the repository as well, where it links to code and to folders. On the site these are no pages:
such a link becomes its text, if the file is there, and an error if it is not.
"""

import posixpath
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent.parent
FAVICON = "static/emailgistics/favicon.svg"
# code is passed over: a block between fences, an indented one, code within a line
PARTS = re.compile(
    r"(?P<code>^(?P<fence>```+|~~~+).*?^(?P=fence)\s*$|^(?: {4}|\t)[^\n]*$|(?P<tick>`+)(?!`).+?(?<!`)(?P=tick)(?!`))"
    r"|(?<!!)\[(?P<text>(?:`[^`]*`|[^\[\]`])+)\]\((?P<target>[^)\s]+)\)",
    re.DOTALL | re.MULTILINE,
)
FOREIGN = re.compile(
    r"<(?:script|img|iframe|source)[^>]*\ssrc=[\"']?(?:https?:)?//|<link[^>]*\shref=[\"']?(?:https?:)?//"
)


def on_files(files: Any, *, config: Any) -> Any:
    files.append(File.generated(config, "favicon.svg", abs_src_path=str(ROOT / FAVICON)))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:  # noqa: ARG001 - as MkDocs calls it
    """Raises PluginError for a link to a file that is not there."""
    folder = posixpath.join("docs", posixpath.dirname(page.file.src_uri))

    def shown(found: re.Match[str]) -> str:
        target = found["target"]
        if found["code"] or not target or urlsplit(target).scheme or target.startswith("#"):
            return found[0]
        path = posixpath.normpath(posixpath.join(folder, urlsplit(target).path))
        if not (ROOT / path).exists():
            raise PluginError(f"{page.file.src_uri} links to {target}, and there is no {path}")
        is_on_site = path.startswith("docs/") and files.get_file_from_path(path.removeprefix("docs/"))
        return found[0] if is_on_site else str(found["text"])

    return PARTS.sub(shown, markdown)


def on_post_page(output: str, *, page: Any, config: Any) -> str:  # noqa: ARG001 - as MkDocs calls it
    """Raises PluginError for what a browser would fetch from another host."""
    if found := FOREIGN.search(output):
        raise PluginError(f"{page.file.src_uri} would be shown with something of another host: {found[0]}")
    return output
