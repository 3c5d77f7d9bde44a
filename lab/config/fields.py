# SPDX-License-Identifier: Apache-2.0
"""What all models are made of: the frozen base, checked numbers, and paths as users write them."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from lab import data

T = TypeVar("T")

RECIPES = Path("guest-images/kernels")

# Words with which a host would come up as another one, or go unheard, and the wait would time out.
_BYTES = "(0x[0-9a-fA-F]+|[0-9]+)[kKmMgGtTpPeE]?"
_SCRATCH = re.compile(
    rf"[0-9]+%|{_BYTES},{_BYTES},{_BYTES}"
)  # as kho_parse_scratch_size() reads it
_OF_THE_LAB = {
    "lab.": "a boot is known by its nonce",
    "rdinit": "its init in the initrd starts sshd and says that it is ready",
    "noinitrd": "its init is in the initrd",
    "sysctl.kernel.printk": "complaints of the kernel are read from its console",
    "sysctl.kernel/printk": "complaints of the kernel are read from its console",
}


class Model(BaseModel):
    """The base of every table: frozen, and an unknown key is a mistake.

    The text below a field is its description: docs/reference/ is made from it.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True
    )


def wrong(message: str, hint: str | None = None) -> PydanticCustomError:
    """Return the error to raise in a validator; `validation_errors` adds file and key to it.

    Args:
        message: One sentence.
        hint: What to type instead.

    Returns:
        The error.
    """
    return PydanticCustomError("lab", "{message}", {"message": message, "hint": hint})


def did_you_mean(word: str, known: list[str]) -> str | None:
    """Return the hint for a word that is in no list, if one of the list is near.

    Args:
        word: What the user typed.
        known: What there is.

    Returns:
        The hint, or None.
    """
    near = get_close_matches(word, known, 1)
    return f"did you mean {near[0]!r}?" if near else None


def expanded(path: Path) -> Path:
    """Return a path of the user with '~' or '~user' replaced by that home.

    Args:
        path: As it was typed.

    Returns:
        The path.

    Raises:
        PydanticCustomError: There is no such user.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        raise wrong(f"{str(path)!r} begins with the home of an unknown user") from None


def _base(info: ValidationInfo) -> Path | None:
    """Return the folder of relative paths; without one, the disk is left alone."""
    return info.context["folder"] if info.context else None


def _located(path: Path, info: ValidationInfo) -> Path:
    base = _base(info)
    return path if base is None else base / expanded(path)


def _existing(kind: str, test: Callable[[Path], bool]) -> Callable[[Path, ValidationInfo], Path]:
    def check(path: Path, info: ValidationInfo) -> Path:
        found = _located(path, info)
        if _base(info) is not None and not test(found):
            raise wrong(f"no such {kind}: {str(path)!r}", f"looked for {found}")
        return found

    return check


def _recipe(name: Path, info: ValidationInfo) -> Path:
    base = _base(info)
    if base is None:
        return name
    shelves = [base / RECIPES, data.ROOT / RECIPES]
    for shelf in shelves:
        if (shelf / name / "kernel.toml").is_file():
            return shelf / name
    known = sorted({p.parent.name for shelf in shelves for p in shelf.glob("*/kernel.toml")})
    hint = did_you_mean(str(name), known) or f"there are: {', '.join(known) or 'none'}"
    raise wrong(f"no recipe {str(name)!r} in {RECIPES}/", hint)


def _kernel_words(text: str) -> str:
    for word in text.split():
        key = word.partition("=")[0]
        why = next((why for taken, why in _OF_THE_LAB.items() if key.startswith(taken)), None)
        if why:
            raise wrong(f"{word!r} is set by the lab: {why}", "remove it")
        if key == "kho_scratch" and not _SCRATCH.fullmatch(word.partition("=")[2]):
            # kho_parse_scratch_size() keeps its own sizes then, and says so where nobody looks.
            hint = "three sizes, as 16M,64M,256M, or a percentage, as 200%"
            raise wrong(f"{word!r} is not understood by the kernel", hint)
    return text


def _in_a_list(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


Count = Annotated[int, Field(strict=True, ge=1)]
Seconds = Annotated[float, Field(strict=True, gt=0)]
Milliseconds = Annotated[int, Field(strict=True, ge=1)]
Mebibytes = Annotated[int, Field(strict=True, ge=1)]
Text = Annotated[str, Field(min_length=1)]
KernelWords = Annotated[Text, AfterValidator(_kernel_words)]
Place = Annotated[Path, AfterValidator(_located)]
File = Annotated[Path, AfterValidator(_existing("file", Path.is_file))]
Folder = Annotated[Path, AfterValidator(_existing("folder", Path.is_dir))]
FileOrFolder = Annotated[Path, AfterValidator(_existing("file or folder", Path.exists))]
RecipeFolder = Annotated[Path, AfterValidator(_recipe)]
OneOrMore = Annotated[tuple[T, ...], BeforeValidator(_in_a_list), Field(min_length=1)]
