# SPDX-License-Identifier: Apache-2.0
"""The only reader of lab.toml, kernel.toml and topologies: a model, or one ConfigError."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from lab import data
from lab.config.fields import did_you_mean
from lab.config.lock import Lock, place_of_lock
from lab.config.model import Accel, FromRecipe, KernelRecipe, KernelSpec, LabConfig, Topology
from lab.config.validation_errors import model_mistake, toml_mistake
from lab.errors import ConfigError

M = TypeVar("M", bound=BaseModel)

LAB_TOML = "lab.toml"
MUST_RUN = "must-run.toml"
STOCK = "stock"
DISTRIBUTION = "debian"
MINE = "mine"


def usual_toml() -> Path:
    """Return the lab.toml that `lab` reads if none is named.

    Returns:
        The one in the working folder, as a relative path; the lab's own, if there is none.
    """
    here = Path(LAB_TOML)
    return here if here.is_file() else data.LAB_TOML


def load_lab(path: Path) -> LabConfig:
    """Read lab.toml, and the lab.lock that goes with it; relative paths are relative to its folder.

    Args:
        path: The file.

    Returns:
        The configuration.

    Raises:
        ConfigError: The file is missing, is not TOML, or has a value that makes no sense.
    """
    lock = place_of_lock(path)
    return read(path, LabConfig).with_lock(load_lock(lock) if lock.is_file() else None)


def load_lock(path: Path) -> Lock:
    """Read a lab.lock.

    Args:
        path: The file.

    Returns:
        The lock.

    Raises:
        ConfigError: It is none, or was changed by hand so that it makes no sense.
    """
    return read(path, Lock)


def load_recipe(folder: Path) -> KernelRecipe:
    """Read the kernel.toml of a recipe; paths in it are relative to its folder.

    Args:
        folder: The recipe's folder.

    Returns:
        The recipe.

    Raises:
        ConfigError: As for lab.toml; also if a fragment or a folder that it names is missing.
    """
    return read(folder / "kernel.toml", KernelRecipe)


def kernel_parameters(spec: KernelSpec) -> tuple[str, ...]:
    """Return what a kernel's recipe, then lab.toml, add to its command line; the last one counts.

    Args:
        spec: The kernel's table in lab.toml.

    Returns:
        The parameters, in order.

    Raises:
        ConfigError: The recipe is wrong.
    """
    source = spec.source
    usual = load_recipe(source.folder).cmdline if isinstance(source, FromRecipe) else ()
    return (*usual, *spec.cmdline)


def load_topology(path: Path, lab: LabConfig | None = None) -> Topology:
    """Read one topology.

    Args:
        path: The file; its stem must be the topology's name.
        lab: Where every kernel that the topology names must be defined; None checks no kernels.

    Returns:
        The topology.

    Raises:
        ConfigError: As for lab.toml.
    """
    topology = read(path, Topology)
    if topology.name != path.stem:
        message = f"{path}: name: expected the name of the file, got {topology.name!r}"
        raise ConfigError(message, hint=f'type: name = "{path.stem}"')
    _check_hosts(path, topology)
    if lab is not None:
        _check_kernels(path, topology, lab)
    return topology


def load_topologies(folder: Path, lab: LabConfig | None = None) -> tuple[Topology, ...]:
    """Read every topology of a folder, by name.

    Args:
        folder: The folder.
        lab: Where every kernel that they name must be defined; None checks no kernels.

    Returns:
        The topologies.

    Raises:
        ConfigError: One of them is wrong, or there is none.
    """
    files = sorted(path for path in folder.glob("*.toml") if path.name != MUST_RUN)
    if not files:
        raise ConfigError(
            f"{folder}: no topology there", hint="name a folder that has *.toml files"
        )
    return tuple(load_topology(path, lab) for path in files)


def with_overrides(
    lab: LabConfig, *, kernel_tree: Path | None = None, accelerator: Accel | None = None
) -> LabConfig:
    """Return `lab` with the options of the command line in place of its own values.

    Args:
        lab: lab.toml.
        kernel_tree: A source tree that stands for kernel 'stock', under the name 'mine': it is
            built with stock's fragments, and the ids of stock's cells say 'mine'.
        accelerator: What to run L1s with, in place of lab.toml's.

    Returns:
        The configuration.

    Raises:
        ConfigError: `kernel_tree` is no folder.
    """
    update: dict[str, object] = {}
    if accelerator is not None:
        update["host"] = lab.host.model_copy(update={"accelerator": accelerator})
    if kernel_tree is not None:
        update["kernel"] = {**_without_stand_in(lab), MINE: _mine(lab, kernel_tree)}
    return lab.model_copy(update=update)


def with_hosts_on(topology: Topology, kernel: str, lab: LabConfig) -> Topology:
    """Return a topology whose hosts of kernel 'stock' boot another one.

    Args:
        topology: The topology.
        kernel: The other kernel.
        lab: Where it must be defined.

    Returns:
        The topology; hosts of other kernels are as they were.

    Raises:
        ConfigError: lab.toml has no such kernel.
    """
    if kernel not in lab.kernel:
        hint = did_you_mean(kernel, list(lab.kernel)) or f"there are: {', '.join(lab.kernel)}"
        raise ConfigError(f"lab.toml: no kernel {kernel!r}", hint=hint)
    hosts = {
        name: spec.model_copy(update={"kernel": kernel}) if spec.kernel == STOCK else spec
        for name, spec in topology.hosts.items()
    }
    return topology.model_copy(update={"hosts": hosts})


def uncompiled(lab: LabConfig) -> str | None:
    """Return the distribution's kernel, on which a lab stands that nobody asked for more.

    Args:
        lab: The lab.

    Returns:
        The kernel's name; None if lab.toml has none, or names a kernel that stands for 'stock'.
    """
    if lab.kernel_for(STOCK) != STOCK:
        return None
    return DISTRIBUTION if DISTRIBUTION in lab.kernel else None


def _mine(lab: LabConfig, tree: Path) -> KernelSpec:
    stock = lab.kernel.get(STOCK)
    raw: dict[str, object] = {"tree": tree, "stands_for": STOCK}
    if stock is not None:
        raw |= {"fragments": stock.recipe_folder, "config": stock.config, "make": stock.make}
    try:
        return KernelSpec.model_validate(raw, context={"folder": Path.cwd()})
    except ValidationError as e:
        raise model_mistake(Path("--lab-kernel"), KernelSpec, e) from e


def _without_stand_in(lab: LabConfig) -> dict[str, KernelSpec]:
    plain = {"stands_for": None}
    return {
        name: spec.model_copy(update=plain) if spec.stands_for == STOCK else spec
        for name, spec in lab.kernel.items()
    }


def read(path: Path, model: type[M]) -> M:
    """Read a TOML file into `model`.

    Args:
        path: The file.
        model: The model.

    Returns:
        The model's instance.

    Raises:
        ConfigError: The first thing that is wrong with it.
    """
    raw = _toml(path)
    try:
        return model.model_validate(raw, context={"folder": path.parent.absolute()})
    except ValidationError as e:
        raise model_mistake(path, model, e) from e


def _toml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as e:
        near = did_you_mean(path.name, [p.name for p in path.parent.glob("*.toml")])
        hint = near or "run in the lab's own folder, or name the file with its path"
        raise ConfigError(f"{path}: no such file", hint=hint) from e
    except UnicodeDecodeError as e:
        line = path.read_bytes()[: e.start].count(b"\n") + 1
        raise ConfigError(f"{path}: line {line}: not UTF-8", hint="save it as UTF-8") from e
    except OSError as e:
        raise ConfigError(f"{path}: cannot be read: {e.strerror}") from e
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise toml_mistake(path, text, e) from e


def _check_hosts(path: Path, topology: Topology) -> None:
    names = list(topology.hosts)
    for i, grid in enumerate(topology.grids, 1):
        if grid.host is None and len(names) > 1:
            message = f"{path}: cells[{i}]: 'host' is missing, and there are {len(names)}"
            raise ConfigError(message, hint=f'add: host = "{names[0]}"')
        for host in set(grid.host or ()) - set(names):
            hint = did_you_mean(host, names) or f"there are: {', '.join(names)}"
            raise ConfigError(f"{path}: cells[{i}].host: no host {host!r} here", hint=hint)


def _check_kernels(path: Path, topology: Topology, lab: LabConfig) -> None:
    known = list(lab.kernel)
    named = [(f"host.{name}.kernel", spec.kernel) for name, spec in topology.hosts.items()]
    for i, grid in enumerate(topology.grids, 1):
        named += [(f"cells[{i}].kernel", kernel) for kernel in grid.kernel or ()]
        through = [options.through for options in grid.options if options.through]
        named += [(f"cells[{i}].options.through", kernel) for kernel in through]
    for key, kernel in named:
        if kernel not in known:
            hint = did_you_mean(kernel, known)
            hint = hint or f"define [kernel.{kernel}] in lab.toml; there are: {', '.join(known)}"
            raise ConfigError(f"{path}: {key}: no kernel {kernel!r} is defined", hint=hint)
