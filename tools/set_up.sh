#!/bin/sh
# Make the environment named by $1, once: choose a Python, make the venv, install the
# pins. The stamp `.done` is written last; without it everything starts from nothing,
# so an interrupted installation is never taken for a finished one.
set -eu
cd "$(dirname "$0")/.."
place=$(pwd -P)
venv=${1:-.venv}
stamp=$venv/.done

stop() {
    echo "$*" >&2
    exit 2
}

version() { "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null; }

fits() { case $1 in 3.11.* | 3.12.* | 3.13.*) true ;; *) false ;; esac }

torch=${TORCH:-}
case $torch in '' | cpu | cuda) ;; *)
    stop "TORCH is \"$torch\"; allowed are cpu and cuda."
    ;;
esac

# The Python that was asked for, or the first that fits.
found=
if [ -n "${PYTHON:-}" ]; then
    python=$PYTHON
    found=$(version "$python") || stop "PYTHON=$python cannot be run."
    fits "$found" ||
        stop "The book needs Python 3.11, 3.12 or 3.13, and $python is Python $found."
fi

# What a finished environment was made from: place, torch build, pins.
sum=$(cat requirements.txt pyproject.toml | cksum)
was_place= was_torch= was_sum=
if [ -f "$stamp" ]; then
    { read -r was_place && read -r was_torch && read -r was_sum; } <"$stamp" || true
fi
fresh=no
now=$(version "$venv/bin/python") || now=
if [ ! -f "$stamp" ] || [ -z "$now" ] || ! fits "$now"; then
    fresh=yes
elif [ -n "$was_place" ] && [ "$was_place" != "$place" ]; then
    fresh=yes # the checkout was moved: scripts and the editable install point elsewhere
elif [ -n "$torch" ] && [ -n "$was_torch" ] && [ "$was_torch" != "$torch" ]; then
    fresh=yes
elif [ -n "$found" ] && [ "${found%.*}" != "${now%.*}" ]; then
    fresh=yes
elif [ "$was_sum" = "$sum" ]; then
    exit 0
fi
[ -n "$torch" ] || torch=${was_torch:-cpu}

if [ -z "$found" ] && [ "$fresh" = yes ]; then
    seen=
    for python in python3 python3.13 python3.12 python3.11; do
        found=$(version "$python") || continue
        fits "$found" && break
        seen="${seen:-, and $python is Python $found}"
        found=
    done
    [ -n "$found" ] ||
        stop "The book needs Python 3.11, 3.12 or 3.13${seen:-, and no python3 was found}." \
            "Install one of them, or name it: make book PYTHON=/path/to/python3.12"
fi

rm -f "$stamp"
if [ "$fresh" = yes ]; then
    echo "Making $venv with Python $found (once; a few minutes) ..."
    "$python" -m venv --clear "$venv"
    # The same uv that was tested with the pins.
    uv=$(sed -n 's/^\(uv==[^ ;]*\).*/\1/p' requirements.txt)
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        "${uv:-uv}"
else
    echo "Bringing $venv up to date with requirements.txt ..."
fi

# uv reads none of pip's settings: hand a local folder of wheels on.
if [ -z "${UV_FIND_LINKS:-}" ]; then
    links=$("$venv/bin/python" -m pip config list 2>/dev/null |
        sed -n "s/.*\.find-links='\(.*\)'\$/\1/p" | sed '$!d; s/\\n/ /g')
    links=${PIP_FIND_LINKS:-$links}
    UV_FIND_LINKS=$(echo $links | tr ' ' ,)
fi
if [ -n "$UV_FIND_LINKS" ]; then
    export UV_FIND_LINKS
else
    unset UV_FIND_LINKS
    # On Linux plain torch is the CUDA build, gigabytes of it.
    if [ -z "${UV_TORCH_BACKEND:-}" ] && [ "$(uname -s)" = Linux ]; then
        UV_TORCH_BACKEND=cpu
        [ "$torch" = cuda ] && UV_TORCH_BACKEND=auto
        export UV_TORCH_BACKEND
    fi
fi
"$venv/bin/python" -m uv pip install --quiet --python "$venv/bin/python" \
    --requirement requirements.txt
printf '%s\n%s\n%s\n' "$place" "$torch" "$sum" >"$stamp.new"
mv "$stamp.new" "$stamp"
