# SPDX-License-Identifier: Apache-2.0
"""How templates are rendered: everything is escaped, and one filter for each way to say things."""

from __future__ import annotations

import re
from functools import cache
from urllib.parse import quote, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lab.record import labels
from lab.record.classify import standing
from lab.record.files import file_name
from lab.report.grid import LadderCell, apart

_MARKUP = re.compile(r"([\\`*_\[\]#|~<>&]|^[-+])")


@cache
def templates() -> Environment:
    """Return the templates; a name that is not there is an error when one is rendered."""
    env = Environment(
        loader=PackageLoader("lab.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(
        word=labels.word,
        outcome=labels.word,
        result=labels.result,
        cause=labels.cause,
        ms=labels.milliseconds,
        seconds=labels.seconds,
        standing=standing,
        apart=apart,
        anchor=anchor,
        mark=labels.mark,
        percent=_percent,
        folder=lambda path: quote(path.rstrip("/") + "/"),
        web=_web,
        fact=_fact,
        md=_markdown,
        code=_code,
    )
    env.globals["between"] = labels.between
    return env


def anchor(cell: LadderCell) -> str:
    """Return the name by which links find a cell on its page."""
    return f"cell-{quote(file_name(cell.id), safe='')}".replace("%", ".")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _web(link: str) -> str:
    """Let only web addresses become links: `javascript:` is one, too, to a browser."""
    return link if urlsplit(link).scheme in {"http", "https"} else ""


def _fact(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return str(round(value, 3))
    if isinstance(value, list):
        return ", ".join(_fact(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_fact(item)}" for name, item in value.items())
    return "-" if value is None else str(value)


def _markdown(text: object) -> Markup:
    line = " ".join(str(text).split())
    return Markup(_MARKUP.sub(r"\\\1", line))  # noqa: S704 - every active character is escaped


def _code(text: str) -> Markup:
    line = " ".join(text.split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return Markup(f"{fence}{pad}{line}{pad}{fence}")  # noqa: S704 - literal in Markdown
