#!/bin/sh
# Make or bring up to date .venv, with the pinned requirements and this package in it.
#
# A stamp, written last, holds a checksum of everything that decides what is installed; while it
# matches there is nothing to do. Without one the environment is unfinished or somebody else's,
# and is made afresh.
set -eu
cd "$(dirname "$0")/.."

# With these set, other Pythons' modules would leak in, and imports would take 3 to 5 times longer
# for want of compiled files.
unset PYTHONDONTWRITEBYTECODE PYTHONHOME PYTHONPATH

venv=.venv
python=$venv/bin/python
stamp=$venv/setup-stamp

# The folder is part of it, because scripts in an environment hold its path.
wanted="$( (pwd -P && cat requirements.txt pyproject.toml scripts/setup.sh) | cksum)"

is_sound() {
    "$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 12))' </dev/null >/dev/null 2>&1
}

if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && is_sound; then
    exit 0
fi

if [ ! -f "$stamp" ] || ! is_sound; then
    base=$(sh scripts/find-python.sh)
    echo "setup: making $venv with $base"
    rm -rf "$venv"
    "$base" -m venv "$venv"
fi
rm -f "$stamp"

echo 'setup: installing the pinned requirements (about 1 GB; a minute or two the first time)'
# Quiet twice: errors only.
install() {
    "$python" -m pip install --quiet --quiet --no-input --disable-pip-version-check --compile "$@"
}
install --requirement requirements.txt
install --no-deps --no-build-isolation --editable .

printf '%s\n' "$wanted" >"$stamp"
echo "setup: $venv is ready"
