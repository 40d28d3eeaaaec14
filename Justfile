# `./justw RECIPE` runs these on a machine that has only Python.

set positional-arguments

python := ".venv/bin/python"

# Tests start hundreds of processes: each would compile the tree again where this is set.
export PYTHONDONTWRITEBYTECODE := ""

# List the recipes
@_default:
    "{{ just_executable() }}" --list --unsorted

# Install the pinned dependencies and this tree into .venv; at once when nothing changed
setup:
    #!/bin/sh
    set -eu
    # The stamp includes the folder: an editable install in a copied or moved tree points to the old one.
    stamp="$(pwd -P) $(cat constraints.txt pyproject.toml sdk/python/pyproject.toml | cksum)"
    [ -x {{ python }} ] || ./justw --version >/dev/null
    [ "$(cat .venv/setup-stamp 2>/dev/null)" = "$stamp" ] && exit
    echo "Setting up .venv …"
    pip="{{ python }} -m pip install --quiet --disable-pip-version-check"
    # A new venv's own pip may be years old, and takes four times as long for the rest.
    sed -n '/^pip==/,/[^\\]$/p' constraints.txt >.venv/pip.txt
    $pip --require-hashes -r .venv/pip.txt
    # Most modules are never imported; the others are compiled when they are.
    $pip --no-compile --require-hashes -r constraints.txt
    # --require-hashes rejects trees, so this is a separate call. Their dependencies are installed already.
    PYTHONWARNINGS="ignore:Editable installation" $pip --no-deps --no-build-isolation -e . -e sdk/python
    printf '%s\n' "$stamp" >.venv/setup-stamp

# Start everything (Valkey, service, worker) and a first job; REDIS_URL= uses that Redis instead
demo: setup
    @exec {{ python }} -m demo

# Run all tests on four processes; arguments replace that and go to pytest
test *args: setup
    #!/bin/sh
    set -eu
    # On two cores, as half of the time is waiting. Files stay in their order: those of tests/unit,
    # which are short, come last, so that no process is left alone with a long one.
    [ $# -gt 0 ] || set -- --numprocesses 4 --dist loadfile --no-loadscope-reorder
    exec {{ python }} -m pytest "$@"

# Inject faults into Redis, networks, services and viewers, and verify what viewers received; see --help
faults *args: setup
    @exec {{ python }} -m tests.faults "$@"

# Fuzz all inputs for some minutes (`--minutes N`), or replay one round (`--seed N`)
fuzz *args: setup
    @exec {{ python }} -m tests.fuzz "$@"

# Start the service; arguments go to Hypercorn
serve *args: setup
    @exec {{ python }} -m hypercorn --config hypercorn.toml "$@" "app:create_app()"

# Start a worker; arguments are the modules that register its job functions
worker *args: setup
    @exec {{ python }} -m worker "$@"

# Run all benchmarks or those named; installs the servers to compare with into .venv
bench *args: setup
    #!/bin/sh
    set -eu
    stamp="$(cksum <benchmarks/requirements.txt) $(cat .venv/setup-stamp)"
    if [ "$(cat .venv/bench-stamp 2>/dev/null)" != "$stamp" ]; then
        # A failed install only leaves their rows empty.
        {{ python }} -m pip install --quiet --disable-pip-version-check \
            --require-hashes -r benchmarks/requirements.txt &&
            printf '%s\n' "$stamp" >.venv/bench-stamp ||
            echo "Some servers to compare with can't be installed"
    fi
    exec {{ python }} -m benchmarks "$@"

# Check the code's style
lint: setup
    {{ python }} -m ruff check
    {{ python }} -m ruff format --check

# Check the types
types: setup
    {{ python }} -m mypy

# Regenerate the contract's files: OpenAPI, AsyncAPI, JSON Schema, TypeScript
contract: setup
    {{ python }} -m tests.contract

# Format the code, and apply the linter's fixes
fmt: setup
    {{ python }} -m ruff check --fix
    {{ python }} -m ruff format

# Build both packages into dist/
build: setup
    rm -rf dist
    {{ python }} -m build --quiet --no-isolation --outdir dist .
    {{ python }} -m build --quiet --no-isolation --outdir dist sdk/python

# Run everything that a change must pass
check: lint types test build

# Re-resolve the pinned dependencies; `--upgrade-package NAME` upgrades one, `--upgrade` all
lock *args: setup
    {{ python }} -m pip install --quiet uv
    .venv/bin/uv pip compile pyproject.toml --extra dev --no-emit-package jobcast --python-version 3.11 \
        --generate-hashes --no-annotate --no-header --quiet --output-file constraints.txt "$@"
    .venv/bin/uv pip compile benchmarks/requirements.in --constraint constraints.txt --python-version 3.11 \
        --generate-hashes --no-annotate --no-header --quiet --output-file benchmarks/requirements.txt "$@"
    .venv/bin/uv pip compile tests/environments/older_redis.in --python-version 3.11 \
        --generate-hashes --no-annotate --no-header --quiet --output-file tests/environments/older_redis.txt "$@"
