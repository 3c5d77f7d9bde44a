# SPDX-License-Identifier: Apache-2.0
"""From the typer application to the reference of `lab` and to its man page; and back: parsing."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import typer.main

from lab import __version__
from lab.cli.app import app

_STATUS = (
    ("0", "done; of `run`, `nightly` and `selftest`: all came out as expected"),
    ("1", "of `run`, `nightly` and `selftest`: a proven failure of the product"),
    ("2", "the command line, lab.toml or a topology is wrong"),
    ("3", "the lab or this machine broke"),
    ("125", "of `run`, `nightly` and `selftest`: cannot tell, as `git bisect run` has it"),
)
_FILES = (
    ("lab.toml", "the configuration: ./lab.toml, else the checkout's"),
    ("topologies/*.toml", "hosts and cells"),
    ("reports/", "one folder a run"),
)


def commands() -> Iterator[tuple[str, Any, Any]]:
    """Yield each command as `lab ...`, with its click command and context, in order of help."""
    root = typer.main.get_command(app)
    yield from _below("lab", root, root.make_context("lab", [], resilient_parsing=True))


def _below(path: str, command: Any, context: Any) -> Iterator[tuple[str, Any, Any]]:
    yield path, command, context
    for name in command.list_commands(context) if hasattr(command, "list_commands") else ():
        inner = command.get_command(context, name)
        made = inner.make_context(name, [], parent=context, resilient_parsing=True)
        yield from _below(f"{path} {name}", inner, made)


def mistake(words: Sequence[str]) -> str:
    """Return what is wrong with a command line that begins with `lab`; nothing is run.

    Returns:
        What `lab` would complain of; empty if it parses.
    """
    command: Any = typer.main.get_command(app)
    context, name, rest = None, "lab", list(words[1:])
    try:
        while True:
            context = command.make_context(name, rest, parent=context)
            rest = [*context._protected_args, *context.args] if _is_group(command) else []  # noqa: SLF001 - click has no other way to go on
            if not rest:
                return ""
            name, command, rest = command.resolve_command(context, rest)
    except typer.Exit:  # --help and --version
        return ""
    except Exception as e:  # noqa: BLE001 - typer brings its own click, or takes another's
        return e.format_message() if hasattr(e, "format_message") else repr(e)


def _is_group(command: Any) -> bool:
    return hasattr(command, "resolve_command")


def _paragraphs(command: Any) -> list[str]:
    return [" ".join(p.split()) for p in inspect.cleandoc(command.help or "").split("\n\n")]


def _records(command: Any, context: Any) -> list[tuple[str, str]]:
    """Return name and help of each argument and option, without --help."""
    found = (p.get_help_record(context) for p in command.params)
    return [(name, " ".join(said.split())) for name, said in filter(None, found)]


def _usage(path: str, command: Any, context: Any) -> str:
    return " ".join([path, *command.collect_usage_pieces(context)])


def reference() -> str:
    """Return the reference of the `lab` command, as Markdown."""
    parts = ["# The lab command\n", "Every command has `-h` and `--help`.\n"]
    for path, command, context in commands():
        parts.append(f"{'##' if path != 'lab' else '## Options of every command:'} `{path}`\n")
        parts.append(f"```text\n{_usage(path, command, context)}\n```\n")
        parts += [f"{_escaped(p)}\n" for p in _paragraphs(command)]
        if records := _records(command, context):
            rows = "".join(f"| `{_cell(name)}` | {_cell(said)} |\n" for name, said in records)
            parts.append(f"| argument or option | meaning |\n|---|---|\n{rows}")
    rows = "".join(f"| {status} | {said} |\n" for status, said in _STATUS)
    parts.append(f"## Exit status\n\n| status | meaning |\n|---|---|\n{rows}")
    return "\n".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _escaped(text: str) -> str:
    return text.replace("*", "\\*").replace("[", "\\[")


def manual() -> str:
    """Return the man page lab(1), as roff."""
    root = next(commands())
    lines = [
        '.\\" Generated from the code by `make docs-generated`: do not edit.',
        f'.TH LAB 1 "" "caretaker-lab {__version__}" "Caretaker Lab"',
        ".SH NAME",
        "lab \\- do KVM guests survive the death of their VMM and the kexec of their host?",
        ".SH SYNOPSIS",
        f".B {_roff(_usage(*root))}",
        ".SH DESCRIPTION",
        *(_roff(p) for p in _paragraphs(root[1])),
        ".SH OPTIONS",
        *_roff_records(_records(root[1], root[2])),
        ".SH COMMANDS",
    ]
    for path, command, context in commands():
        if path != "lab" and not _is_group(command):
            lines += [f".SS {_roff(_usage(path, command, context))}"]
            for paragraph in _paragraphs(command):
                lines += [_roff(paragraph), ".PP"]
            lines += _roff_records(_records(command, context))
    lines += [".SH EXIT STATUS", *_roff_records([(s, t.replace("`", "")) for s, t in _STATUS])]
    lines += [".SH FILES", *_roff_records(list(_FILES))]
    lines += [".SH SEE ALSO", ".BR virsh (1),", ".BR qemu (1),", ".BR kexec (8)"]
    return "\n".join(lines) + "\n"


def _roff_records(records: list[tuple[str, str]]) -> list[str]:
    return [line for name, said in records for line in (".TP", f".B {_roff(name)}", _roff(said))]


def _roff(text: str) -> str:
    plain = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return f"\\&{plain}" if plain.startswith(".") else plain
