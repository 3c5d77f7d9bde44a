#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Brings a Debian 12 or 13 to where the lab runs: packages, then .venv, which a wheel does without. Quick and silent when
# nothing is missing.
#
#   debian.sh           install what is missing for a first verdict, without asking back
#   debian.sh --with S  the same, and what sets want more, as in arm64,kernels:
#                         arm64    hosts and guests of arm64
#                         kernels  building kernels
#                         tests    the lab's own tests
#                         all      all of these
#   debian.sh --plan    only say what would be installed; for this machine, or for the one that these files tell of:
#                         --os-release FILE   as /etc/os-release
#                         --present FILE      lines '<package> <version>'
#                         --sources FILE      lines '<uri>|<release>|<codename>|<component>'
#   PYTHON=/path        the Python to make .venv with; without it Debian's own, whose headers are installed
set -euo pipefail
umask 022
PATH=$PATH:/usr/sbin:/sbin

script=${BASH_SOURCE[0]}
[[ $script == */* ]] || script=./$script
root=$(cd "${script%/*}/../.." && pwd)
python=${PYTHON:-/usr/bin/python3}
source_file=/etc/apt/sources.list.d/caretaker-lab-backports.sources
qemu_wanted=1:9.2 # older ones get nested paging wrong in real mode
libvirt_wanted=11.3 # the binding, as pyproject.toml has it

# package; 'young' if it must be of one age with a new enough QEMU; its program, which other distributions must have; the
# set that it is of; base13 is Debian 13's alone: Debian 12's binding is too old for the lab, and is compiled
packages='
qemu-system-x86             young  qemu-system-x86_64      base
qemu-utils                  young  qemu-img                base
libvirt-daemon-system       young  libvirtd                base
libvirt-daemon-driver-qemu  young  -                       base
libvirt-clients             young  virsh                   base
libvirt-dev                 young  -                       base
passt                       any    passt                   base
mmdebstrap                  any    mmdebstrap              base
debian-archive-keyring      any    -                       base
squashfs-tools              any    mksquashfs              base
xz-utils                    any    xz                      base
zstd                        any    zstd                    base
lz4                         any    lz4                     base
gcc                         any    gcc                     base
make                        any    make                    base
python3-dev                 any    -                       base
python3-libvirt             any    -                       base13
python3-venv                any    -                       base
iproute2                    any    ip                      base
qemu-system-arm             young  qemu-system-aarch64     arm64
gcc-aarch64-linux-gnu       any    aarch64-linux-gnu-gcc   arm64
libc6-dev-arm64-cross       any    -                       arm64
cpio                        any    cpio                    kernels
ccache                      any    ccache                  kernels
flex                        any    flex                    kernels
bison                       any    bison                   kernels
bc                          any    bc                      kernels
patch                       any    patch                   kernels
kmod                        any    modprobe                kernels
libelf-dev                  any    -                       kernels
libssl-dev                  any    -                       kernels
pkgconf                     any    pkg-config              kernels
git                         any    git                     kernels
rsync                       any    rsync                   kernels
device-tree-compiler        any    dtc                     tests
libarchive-tools            any    bsdtar                  tests
chromium                    any    -                       tests
fonts-dejavu-core           any    -                       tests
'

say() { printf 'lab: %s\n' "$*"; }

give_up() {
    printf 'lab: %s\n' "$@" >&2
    exit 1
}

# --- What this machine is, or the one that is told of -----------------------------------------------------------------

os_release=/etc/os-release
present_file=
sources_file=
plan_only=no
sets=base

read_sets() {
    local set
    for set in ${1//,/ }; do
        case $set in
            arm64 | kernels | tests) sets+=" $set" ;;
            all) sets+=' arm64 kernels tests' ;;
            *) give_up "unknown set '$set'; there are arm64, kernels, tests and all" ;;
        esac
    done
}

read_arguments() {
    while (($#)); do
        case $1 in
            --plan) plan_only=yes ;;
            --with | --os-release | --present | --sources)
                (($# > 1)) || give_up "$1 wants a $([[ $1 == --with ]] && echo set || echo file)"
                case $1 in
                    --with) read_sets "$2" ;;
                    --os-release) os_release=$2 ;;
                    --present) present_file=$2 ;;
                    --sources) sources_file=$2 ;;
                esac
                shift
                ;;
            *) give_up "unknown argument '$1'; there are --plan, --with, --os-release, --present and --sources" ;;
        esac
        shift
    done
    if [[ $plan_only == no && -n $present_file$sources_file ]]; then
        give_up "--present and --sources tell of another machine; they go with --plan"
    fi
}

read_os_release() {
    local key value
    id='' version='' pretty=''
    while IFS='=' read -r key value; do
        value=${value//\"/}
        case $key in
            ID) id=$value ;;
            VERSION_ID) version=$value ;;
            PRETTY_NAME) pretty=$value ;;
        esac
    done <"$os_release"
}

present() {
    if [[ -n $present_file ]]; then
        echo "$(<"$present_file")"
    else
        dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\n' | sed -n 's/^installed //p'
    fi
}

sources() {
    if [[ -n $sources_file ]]; then
        echo "$(<"$sources_file")"
    else
        # Twice: suites are known by code name once apt has fetched its lists, and as they are written before that.
        local how
        for how in --release-info --no-release-info; do
            # shellcheck disable=SC2016 # these are apt's own variables
            apt-get indextargets "$how" --format '$(REPO_URI)|$(RELEASE)|$(CODENAME)|$(COMPONENT)' 'Identifier: Packages'
        done
    fi
}

# --- What is missing --------------------------------------------------------------------------------------------------

missing=()

# The rows of the sets that were asked for.
wanted() {
    local name age program set
    while read -r name age program set; do
        [[ " $sets base$version " != *" $set "* ]] || echo "$name $age $program"
    done <<<"$packages"
}

find_missing() {
    local name age program version_there
    declare -A there=()
    while read -r name version_there; do
        [[ -z $name ]] || there[$name]=$version_there
    done < <(present)

    if dpkg --compare-versions "${there[qemu-system-x86]:-0}" lt "$qemu_wanted"; then
        while read -r name age program; do
            [[ $age != young ]] || unset "there[$name]"
        done < <(wanted)
    fi
    while read -r name age program; do
        [[ -z $name || -n ${there[$name]:-} ]] || missing+=("$name")
    done < <(wanted)
}

# Sets `mirror` to where this machine gets bookworm from, or to nothing if it has backports already.
find_backports_mirror() {
    local uri release codename component
    mirror=
    while IFS='|' read -r uri release codename component; do
        [[ $component == main && $uri != cdrom:* ]] || continue
        case " $release $codename " in
            *' bookworm-backports '*) mirror='' && return ;;
            *' bookworm '*) mirror=${mirror:-$uri} ;;
        esac
    done < <(sources)
    [[ -n $mirror ]] || give_up \
        "apt's sources have no 'bookworm main', so there is no mirror to take bookworm-backports from" \
        "if they say 'oldstable' or the like, 'apt-get update' tells apt what that is"
}

is_supported() { [[ $id == debian && ($version == 12 || $version == 13) ]]; }

# Elsewhere the lab installs nothing; it goes on if what it needs is there.
insist_on_programs() {
    local name age program absent=()
    while read -r name age program; do
        [[ -z $name || $program == - ]] || command -v "$program" >/dev/null || absent+=("$program")
    done < <(wanted)
    ((${#absent[@]} == 0)) || give_up \
        "this is ${pretty:-an unknown system}, and the lab installs packages on Debian 12 and 13 only; please install what has these programs, and type the same again: ${absent[*]}" \
        "QEMU must be 9.2 or newer, Python 3.11 or newer; the headers of libvirt, libelf, OpenSSL and Python are needed too"
}

insist_on_python() {
    local found
    found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') \
        || give_up "there is no Python at '$python'; set PYTHON to one that is 3.11 or newer"
    [[ ${found%%.*} -eq 3 && ${found#*.} -ge 11 ]] \
        || give_up "'$python' is Python $found, the lab needs 3.11 or newer; set PYTHON to one"
}

# --- Installing -------------------------------------------------------------------------------------------------------

as_root() {
    if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" </dev/null
}

say_missing() {
    ((${#missing[@]})) || return 0
    [[ -z $mirror ]] || say "adding bookworm-backports from $mirror as $source_file"
    if [[ $version == 12 ]]; then
        say "installing, from bookworm-backports what it has, as Debian 12's own QEMU is too old: ${missing[*]}"
    else
        say "installing: ${missing[*]}"
    fi
}

install_packages() {
    local suite=() beside=
    [[ -z ${LAB_OFFLINE:-} || $LAB_OFFLINE == 0 ]] || give_up \
        "installing ${missing[*]} needs the network, and the lab is offline (LAB_OFFLINE)" \
        "run 'make install' once with a network"
    if ((EUID != 0)) && ! command -v sudo >/dev/null; then
        give_up "this needs root, and there is no sudo: run '$script' as root once, then go on as you are"
    fi
    if [[ -n $mirror ]]; then
        printf '%s\n' 'Types: deb' "URIs: $mirror" 'Suites: bookworm-backports' 'Components: main' \
            'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg' | as_root tee "$source_file" >/dev/null
        as_root chmod 0644 "$source_file"
    fi
    # All of them, or a library comes from one suite and its headers from the other, which apt refuses.
    [[ $version != 12 ]] || suite=(-t bookworm-backports)
    apt_get update || say "some of apt's sources could not be read; trying all the same"
    if [[ -e $root/pyproject.toml ]]; then
        # pip fetches beside apt, which needs no more of .venv than this.
        [[ " ${missing[*]} " != *' python3-venv '* ]] || apt_get install --no-install-recommends python3-venv || true
        (insist_on_python && lock_venv && { venv_is_current || make_wheels; }) &
        beside=$!
    fi
    apt_get install --no-install-recommends "${suite[@]}" "${missing[@]}" || give_up \
        "apt could not install the packages named above (its reason is above, too)" \
        "without a network there is no way around that; else see that 'apt-get update' works, and type the same again"
    # What it said was wrong is tried again, and said again, with all packages there.
    [[ -z ${beside:-} ]] || wait "$beside" || true
}

# What .venv was made from; it must be made anew when the folder or the Python have moved under it.
venv_origin() {
    echo "$root $("$root/.venv/bin/python" -V 2>/dev/null)"
}

venv_stamp() {
    echo "$(venv_origin) $({ cat "$root/pyproject.toml" && sed -n '/^\[\[python\]\]/,$p' "$root/lab.lock"; } | sha256sum)"
}

venv_is_current() {
    [[ -e $root/.venv/caretaker-lab && $(<"$root/.venv/caretaker-lab") == "$(venv_stamp)" ]]
}

pip_install() {
    [[ -z ${LAB_OFFLINE:-} || $LAB_OFFLINE == 0 ]] || give_up \
        "installing Python packages into .venv needs the network, and the lab is offline (LAB_OFFLINE)" \
        "run 'make install' once with a network"
    (cd "$root" && .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input "$@" </dev/null) \
        || give_up "pip could not install what lab.lock names (its reason is above)" \
            "without a network there is no way around that; else type the same again" \
            "if a version is gone, 'lab lock --update' takes what there is instead"
}

# What lab.lock has, as lines of requirements: 'rest', or 'libvirt-python' alone; nothing for a Python it knows not.
locked() {
    "$root/.venv/bin/python" - "$root/lab.lock" "$1" <<'END'
import platform, sys, tomllib
known = platform.machine() in ("x86_64", "aarch64") and (3, 11) <= sys.version_info[:2] <= (3, 14)
with open(sys.argv[1], "rb") as file:
    wheels = tomllib.load(file).get("python", []) if known else []
for one in wheels:
    if (one["name"] == "libvirt-python") == (sys.argv[2] == "libvirt-python"):
        print(f"{one['name']}=={one['version']}", *(f"--hash=sha256:{d}" for d in one["sha256"]))
END
}

lock_venv() {
    exec 9<"$root/pyproject.toml"
    flock -n 9 || { say "waiting for another run that is making .venv" && flock 9; }
}

# All of .venv that is not compiled: it needs python3-venv and nothing else, so that apt may go on beside it.
make_wheels() {
    local stamp=$root/.venv/caretaker-lab wanted
    if [[ ! -x $root/.venv/bin/python || (-e $stamp && $(<"$stamp") != "$(venv_origin) "*) ]]; then
        say "making .venv with $python"
        "$python" -m venv --clear "$root/.venv"
    fi
    wanted=$root/.venv/locked.txt
    locked rest >"$wanted"
    [[ -s $wanted ]] || return 0
    say "installing the Python packages of lab.lock into .venv"
    pip_install --require-hashes --no-deps -r "$wanted"
}

# Debian's own binding of libvirt spares compiling one, if it is new enough and .venv has Debian's own Python.
link_libvirt() {
    local there=/usr/lib/python3/dist-packages site version
    version=$(dpkg-query -W -f '${Version}' python3-libvirt 2>/dev/null) || return 1
    dpkg --compare-versions "$version" ge "$libvirt_wanted" || return 1
    [[ $("$root/.venv/bin/python" -c 'import sys; print(sys.base_prefix)') == /usr ]] || return 1
    site=$("$root/.venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    ln -sf "$there"/libvirt*.py "$there"/libvirtmod*.so "$there"/libvirt_python-* "$site/"
    "$root/.venv/bin/python" -c 'import libvirt, libvirtaio, libvirt_qemu' 2>/dev/null
}

finish_venv() {
    local wanted
    wanted=$root/.venv/locked-libvirt.txt
    locked libvirt-python >"$wanted"
    if [[ ! -s $wanted ]]; then
        say "lab.lock has no files for $("$root/.venv/bin/python" -V) on $(uname -m): pip takes what there is now"
        pip_install -e '.[dev]'
    else
        if ! link_libvirt; then
            say "compiling libvirt-python (half a minute)"
            pip_install --require-hashes --no-deps --no-build-isolation -r "$wanted"
        fi
        pip_install --no-deps --no-build-isolation -e .
        (cd "$root" && .venv/bin/python -m pip --disable-pip-version-check check >/dev/null) || give_up \
            "lab.lock has not all that pyproject.toml asks for: .venv/bin/python -m pip check says what" \
            "to add it, type: .venv/bin/lab lock"
    fi
    venv_stamp >"$root/.venv/caretaker-lab"
}

make_venv() {
    lock_venv
    venv_is_current && return
    make_wheels
    finish_venv
}

# ----------------------------------------------------------------------------------------------------------------------

read_arguments "$@"
read_os_release
mirror=
if is_supported; then
    find_missing
    [[ $version != 12 ]] || ((${#missing[@]} == 0)) || find_backports_mirror
    say_missing
else
    insist_on_programs
fi
if [[ $plan_only == yes ]]; then
    ((${#missing[@]})) || say "nothing is missing"
    [[ ! -e $python ]] || insist_on_python
    exit
fi
((${#missing[@]} == 0)) || install_packages
[[ -e $root/pyproject.toml ]] || exit 0 # a wheel's: Python and the lab are there
insist_on_python
venv_is_current || make_venv
