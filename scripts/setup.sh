#!/bin/sh
# Make or bring up to date .venv, with the pinned requirements and this package in it.
#
# A stamp, written last, holds the folder, the Python that .venv was made from, and a checksum of
# everything that decides what is installed; while they match there is nothing to do. Without a
# stamp .venv is unfinished or somebody else's; moved from another folder, its scripts point
# nowhere; with PYTHON set to another Python, it is not what is asked for: then it is made afresh.
set -eu
cd "$(dirname "$0")/.."

# With these set, other Pythons' modules would leak in, and imports would take 3 to 5 times longer
# for want of compiled files.
unset PYTHONDONTWRITEBYTECODE PYTHONHOME PYTHONPATH

venv=.venv
python=$venv/bin/python
stamp=$venv/setup-stamp

stamped() {
    sed -n "$1p" "$stamp" 2>/dev/null || true
}

folder=$(pwd -P)
base=$(stamped 2)
if [ -z "$base" ] || [ -n "${PYTHON:-}" ]; then
    base=$(sh scripts/find-python.sh)
fi
checksum=$(cat requirements.txt pyproject.toml scripts/setup.sh | cksum)

if [ "$(stamped 1)" != "$folder" ] || [ "$(stamped 2)" != "$base" ] ||
    ! "$python" -I -c 'import pip' </dev/null >/dev/null 2>&1; then
    [ -x "$base" ] || base=$(sh scripts/find-python.sh)
    echo "setup: making $venv with $base"
    rm -rf "$venv"
    "$base" -m venv "$venv"
elif [ "$(stamped 3)" = "$checksum" ]; then
    exit 0
fi
rm -f "$stamp"

echo 'setup: installing the pinned requirements (about 1 GB; a minute or two the first time)'
# Quiet twice: errors only.
install() {
    "$python" -m pip install --quiet --quiet --no-input --disable-pip-version-check --compile "$@"
}
install --requirement requirements.txt
install --no-deps --no-build-isolation --editable .

printf '%s\n' "$folder" "$base" "$checksum" >"$stamp"
echo "setup: $venv is ready"
