#!/bin/sh
# Print the path of a Python that can run this project, or say what to install.
#
# Each candidate is run, because being on PATH proves nothing: pyenv leaves shims of versions that
# are not installed, and PYENV_VERSION overrides the .python-version file. $PYTHON, if set, is the
# only candidate, so that a wrong choice is an error and not silently replaced.
set -eu

probe='
import sys
if sys.version_info < (3, 12):
    sys.exit("it is Python %d.%d" % sys.version_info[:2])
if sys.implementation.name != "cpython":
    sys.exit("it is %s" % sys.implementation.name)
try:
    import ensurepip, venv
except ImportError as error:
    sys.exit("it has no module %s (Debian and Ubuntu: install python%d.%d-venv)"
             % ((error.name,) + sys.version_info[:2]))
# Inside a virtual environment, name the Python that it was made from: the environment may be the
# very one that is about to be replaced.
in_venv = sys.prefix != sys.base_prefix
print(getattr(sys, "_base_executable", sys.executable) if in_venv else sys.executable)
'

# Run one candidate: its path on stdout if it will do, else why not on stderr.
try() {
    "$1" -I -c "$probe" </dev/null
}

if [ -n "${PYTHON:-}" ]; then
    if found=$(try "$PYTHON" 2>&1); then
        printf '%s\n' "$found"
        exit 0
    fi
    printf 'PYTHON=%s cannot be used: %s\n' "$PYTHON" "$found" >&2
    echo 'Set PYTHON to a Python 3.12 or later, or unset it to search for one.' >&2
    exit 1
fi

for candidate in python3 python3.13 python3.12 python3.14; do
    if found=$(try "$candidate" 2>/dev/null); then
        printf '%s\n' "$found"
        exit 0
    fi
done

# HOME may be missing in a bare environment, such as a scheduler's.
home=${HOME:-$(getent passwd "$(id -u)" 2>/dev/null | cut -d : -f 6)}
for root in "${PYENV_ROOT:-}" "$home/.pyenv"; do
    [ -n "$root" ] || continue
    for candidate in "$root"/versions/*/bin/python3; do
        if found=$(try "$candidate" 2>/dev/null); then
            printf '%s\n' "$found"
            exit 0
        fi
    done
done

cat >&2 <<'END'
No Python 3.12 or later was found (with its venv and ensurepip modules).
Looked at: python3, python3.13, python3.12, python3.14, and the versions that pyenv holds.
Install one, in whichever way suits this machine:
    pyenv install 3.12
    apt-get install python3.12 python3.12-venv
    brew install python@3.12
or set PYTHON to the path of one that is installed elsewhere.
END
exit 1
