"""Sessions: ``nox`` alone runs what CI does: lint, types and all tests, those of the docs too."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nox
import nox.command
import nox.project

nox.options.sessions = ["lint", "types", "tests"]
LAYERS = ("_model", "_core", "_protocol", "_compiler", "_types")
PURE = ",".join(f"src/perdure/{layer}/*" for layer in LAYERS)
WORLDS = sorted(Path("worlds").iterdir())
CHECKED = (
    "src",
    "tests",
    "worlds",
    "benchmarks",
    "docs",
    "examples",
    "noxfile.py",
    "hatch_build.py",
    "conftest.py",
)
GUEST = Path("src", "perdure", "_guest")
C_SOURCES = sorted(str(path) for suffix in ("c", "h", "cpp") for path in GUEST.glob(f"*.{suffix}"))
LONG = {"PERDURE_TIER": "full", "PERDURE_KILLS": "50"}
WHOLE = ("tests/acceptance", "tests/runtime")  # the tests that run on every world
PURE_TESTS = (
    *("tests/core", "tests/model", "tests/protocol", "tests/compiler", "tests/types"),
    "tests/test_layering.py",
)


# They run beside the others, which wait more than they compute.
BESIDE = (
    *PURE_TESTS,
    *("tests/differential", "tests/values", "tests/conformance/test_mutants.py"),
    *("worlds", "examples"),
)


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """The whole suite, in the environment that uv has made; pytest's arguments choose a part."""
    pytest = ("python", "-m", "pytest")
    if session.posargs:
        session.run(*pytest, *session.posargs)
        return
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(_failure, (*pytest, "-q", *BESIDE), path)
        session.run(*pytest, "tests", *(f"--ignore={tests}" for tests in BESIDE))
        failure = beside.result()
    if failure is not None:
        session.error(failure)


@nox.session(venv_backend="none")
def quick(session: nox.Session) -> None:
    """While working, within a minute: the pure layers, and runs on the memory world."""
    pytest = ("python", "-m", "pytest", "-q", "-m", "not slow", *session.posargs)
    _run_beside(session, [(*pytest, *PURE_TESTS)], [(*pytest, "--world", "memory", *WHOLE)])


@nox.session(venv_backend="none")
def matrix(session: nox.Session) -> None:
    """The suite on each Python that pyproject.toml names; those that are missing are told."""
    failed: list[str] = []
    project = nox.project.load_toml("pyproject.toml")
    for version in nox.project.python_versions(project):
        python = _interpreter(version)
        if python is None:
            session.warn(f"Python {version} is not installed here: not tested")
            continue
        folder = Path(".nox", f"matrix-{version}").absolute()
        env = {"UV_PROJECT_ENVIRONMENT": str(folder), "UV_PYTHON": python}
        sync = ("uv", "sync", "--all-packages", "--all-extras", "--all-groups", "--quiet")
        session.run(*sync, env=env, external=True)
        pytest = (str(_python_of(folder)), "-m", "pytest", *session.posargs)
        try:
            session.run(*pytest, external=True)
        except nox.command.CommandFailed:  # the other Pythons are of interest all the same
            failed.append(version)
    if failed:
        session.error(f"failed on Python {', '.join(failed)}")


def _python_of(environment: Path) -> Path:
    """The interpreter of a virtual environment."""
    windows = environment / "Scripts" / "python.exe"
    return windows if windows.exists() else environment / "bin" / "python"


def _interpreter(version: str) -> str | None:
    """A Python of this version that works: a shim on the path may lead nowhere."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [shutil.which(f"python{version}"), *map(str, pyenv.glob(f"{version}.*/bin/python"))]
    for python in filter(None, found):
        command = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.stdout.strip() == version:
            return python
    return None


@nox.session
def wheel(session: nox.Session) -> None:
    """Build everything; the wheels run the demo in an empty environment without a compiler."""
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder, "dist")
        session.run("uv", "build", "--all-packages", "--out-dir", str(built), external=True)
        session.install(*map(str, built.glob("*.whl")))
        binaries = str(Path(session.bin))
        with session.chdir(folder):
            session.run("perdure", "demo", env={"PATH": binaries, "CC": "false"})
            session.run("python", "-m", "perdure", "runs", "--json", env={"PATH": binaries})


@nox.session(venv_backend="none")
def coverage(session: nox.Session) -> None:
    """The whole suite under branch coverage, worker processes included: minutes."""
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report", "--skip-covered", "--show-missing", "--fail-under=95")
    session.run("coverage", "report", f"--include={PURE}", "--skip-covered", "--fail-under=100")


@nox.session(venv_backend="none")
def fuzz(session: nox.Session) -> None:
    """A million inputs for the guest's decoder: two minutes. A seed repeats a run."""
    seed = session.posargs[0] if session.posargs else "0"
    environment = {"PERDURE_FUZZ_INPUTS": "1000000", "PERDURE_FUZZ_SEED": seed}
    session.run("python", "-m", "pytest", "-s", "tests/fuzz", env=environment)


@nox.session(venv_backend="none")
def frameworks(session: nox.Session) -> None:
    """The HTTP app in seven frameworks, over sockets, with restarts and SIGKILL: two minutes."""
    session.env["PERDURE_TIER"] = "full"
    session.run("python", "-m", "pytest", "tests/frameworks", *session.posargs)


@nox.session(venv_backend="none")
def http(session: nox.Session) -> None:
    """The HTTP API under schemathesis, 1,000 requests an operation: minutes. A seed repeats it."""
    seed = session.posargs[0] if session.posargs else "0"
    environment = {"PERDURE_HTTP_FUZZ": "1000", "PERDURE_SEED": seed}
    session.run("python", "-m", "pytest", "-s", "tests/web/test_fuzz.py", env=environment)


@nox.session(venv_backend="none")
def typescript(session: nox.Session) -> None:
    """5,000 TypeScript files from npm, erased by us, by Node, by TypeScript. Four minutes."""
    folder = (session.cache_dir / "packages").absolute()  # read by a module elsewhere
    folder.mkdir(parents=True, exist_ok=True)
    session.run("python", "-m", "tests.compiler.packages", str(folder))


@nox.session(venv_backend="none")
def corpus(session: nox.Session) -> None:
    """Stores that an earlier tree wrote, with the engine of then, built from its sources."""
    engine = (session.cache_dir / "corpus-engine.wasm").absolute()
    session.run("python", "-m", "tests.corpus.engine", str(engine))
    environment = {"PERDURE_CORPUS_ENGINE": str(engine)}
    session.run("python", "-m", "pytest", "tests/corpus", env=environment)


@nox.session(venv_backend="none")
def hostile(session: nox.Session) -> None:
    """1,000 hostile lines and 10,000 bundles through one worker each: about ten minutes."""
    environment = {"PERDURE_HOSTILE_LINES": "1000", "PERDURE_HOSTILE_BUNDLES": "10000"}
    session.run("python", "-m", "pytest", "-s", "tests/hostile", env=environment)


@nox.session(venv_backend="none")
def differential(session: nox.Session) -> None:
    """100,000 programs in the guest and in Node, by area: minutes. A seed repeats a run."""
    seed = session.posargs[0] if session.posargs else "0"
    environment = {"PERDURE_DIFFERENTIAL": "100000", "PERDURE_SEED": seed}
    session.run("python", "-m", "pytest", "-q", "-s", "tests/differential", env=environment)


@nox.session(venv_backend="none")
def hooks(session: nox.Session) -> None:
    """10,000 programs of hooks, each with its deliveries in a drawn order. A seed repeats a run."""
    seed = session.posargs[0] if session.posargs else "0"
    environment = {"PERDURE_HOOK_PROGRAMS": "10000", "PERDURE_SEED": seed}
    session.run("python", "-m", "pytest", "-q", "tests/vm/test_hook_waiters.py", env=environment)


@nox.session(venv_backend="none")
def storms(session: nox.Session) -> None:
    """Races of three workers on each world, or on those of --world NAME: a quarter of an hour."""
    environment = {"PERDURE_STORMS": "1"}
    worlds = session.posargs or [
        f"--world={name}" for name in ("memory", "sqlite", "mongodb", "s3")
    ]
    session.run("python", "-m", "pytest", "-q", "-s", "tests/storms", *worlds, env=environment)


@nox.session(venv_backend="none")
def families(session: nox.Session) -> None:
    """10,000 runs that wait for a child each, in one slot of one worker: some minutes."""
    environment = {"PERDURE_PARENTS": "10000"}
    session.run(
        "python", "-m", "pytest", "-q", "tests/runtime/test_many_parents.py", env=environment
    )


@nox.session(venv_backend="none")
def values(session: nox.Session) -> None:
    """20,000 values of types made up, and as many through workers. A seed repeats a run."""
    seed = session.posargs[0] if session.posargs else "0"
    environment = {"PERDURE_VALUES": "20000", "PERDURE_SEED": seed}
    session.run("python", "-m", "pytest", "-q", "-s", "tests/values", env=environment)


@nox.session(venv_backend="none")
def platforms(session: nox.Session) -> None:
    """Types as on Windows and macOS; the suite's main part with all hidden that Windows lacks."""
    session.run("python", "-m", "tests.platforms.elsewhere")
    session.run("python", "-m", "tests.platforms.selection", *session.posargs)


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """ruff: rules and formatting; the guest's C and JavaScript: formatting; codespell: words."""
    session.run("ruff", "check", *CHECKED)
    session.run("ruff", "format", "--check", *CHECKED)
    session.run("clang-format", "--dry-run", "-Werror", *C_SOURCES)
    session.run("deno", "fmt", "--check")
    session.run("codespell", *CHECKED, "README.md", "CONTRIBUTING.md")


@nox.session(venv_backend="none")
def tidy(session: nox.Session) -> None:
    """Format all that lint checks: Python, the guest's C, its JavaScript."""
    session.run("ruff", "check", "--fix", "--select", "I", *CHECKED)
    session.run("ruff", "format", *CHECKED)
    session.run("clang-format", "-i", *C_SOURCES)
    session.run("deno", "fmt")


@nox.session(venv_backend="none")
def types(session: nox.Session) -> None:
    """mypy --strict and pyright strict on all we write; every public name has a full type."""
    packages = ("perdure", *(world.name.replace("-", "_") for world in WORLDS))
    mypy = [("mypy",), *(("mypy", str(world / "tests")) for world in WORLDS)]
    public = [("pyright", "--verifytypes", name, "--ignoreexternal") for name in packages]
    # The one takes as long as the other.
    _run_beside(session, mypy, [("pyright",), *public])


def _run_beside(session: nox.Session, *queues: Sequence[tuple[str, ...]]) -> None:
    """Run queues of commands side by side, each in its order; tell what fails at the end."""
    # pyright looks for the interpreter on the path.
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])

    def run(queue: Sequence[tuple[str, ...]]) -> list[str]:
        return [told for command in queue if (told := _failure(command, path))]

    with ThreadPoolExecutor(len(queues)) as pool:
        failures = [told for queue in pool.map(run, queues) for told in queue]
    if failures:
        session.error("\n".join(failures))


def _failure(command: tuple[str, ...], path: str) -> str | None:
    """The message of a command that fails; None if it does not."""
    environment = {**os.environ, "PATH": path}
    program = shutil.which(command[0], path=path) or command[0]
    done = subprocess.run(
        [program, *command[1:]],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    summary = done.stdout.strip().splitlines()[-1:]
    print(f"{' '.join(command)}: {''.join(summary)}", flush=True)
    return f"{' '.join(command)}\n{done.stdout}" if done.returncode else None


@nox.session(venv_backend="none")
def conformance(session: nox.Session) -> None:
    """Every world of this repository on its servers: the full tier, each within five minutes."""
    session.run("python", "tests/conformance/certifying.py", *session.posargs)


@nox.session(venv_backend="none")
def docs(session: nox.Session) -> None:
    """Write what pages take from the code, from measurements and from the folder of decisions."""
    for script in ("diagrams", "value_table", "plots", "adr_index"):
        session.run("python", f"docs/{script}.py")


@nox.session
def changelog(session: nox.Session) -> None:
    """Put the fragments of docs/changelog.d into docs/changelog.md: nox -s changelog -- 0.2.0."""
    session.install("towncrier>=24.8")
    session.run("towncrier", "build", "--yes", "--version", *session.posargs)


@nox.session(venv_backend="none")
def declarations(session: nox.Session) -> None:
    """Every workflow here and what `perdure types` prints, checked by TypeScript's compiler."""
    folder = session.create_tmp()
    session.run("npm", "install", "--prefix", folder, "typescript@5", external=True)
    compiler = str(Path(folder, "node_modules", ".bin", "tsc").absolute())
    session.run("python", "tests/types/checking.py", compiler)


@nox.session(venv_backend="none")
def applications(session: nox.Session) -> None:
    """The applications of examples in full, with what they took: minutes."""
    session.env["PERDURE_TIER"] = "full"
    session.run("python", "-m", "pytest", "-s", "tests/examples", *session.posargs)


@nox.session(venv_backend="none")
def s3(session: nox.Session) -> None:
    """The S3 world on its servers: the full tier, every fault at every request: half an hour."""
    session.env.update(LONG)
    session.run("python", "-m", "pytest", "worlds/perdure-s3/tests", *session.posargs)
    session.run("python", "-m", "pytest", *WHOLE, "--world", "s3")


@nox.session(venv_backend="none")
def transfers(session: nox.Session) -> None:
    """Runs through all pairs of worlds, cut short and killed at every moment: minutes."""
    session.env["PERDURE_TIER"] = "full"
    session.run("python", "-m", "pytest", "tests/transfer", "tests/cli/test_move.py")


@nox.session(venv_backend="none")
def mutants(session: nox.Session) -> None:
    """Every broken world against the kit; writes docs/mutants.md, fails if one survives."""
    session.run("python", "tests/conformance/killing.py", "docs/mutants.md")


@nox.session(venv_backend="none")
def mongodb_full(session: nox.Session) -> None:
    """The MongoDB world with both drivers: the full tier, and more kills. Minutes."""
    session.env.update(LONG)
    session.run("python", "-m", "pytest", "worlds/perdure-mongodb/tests")
    session.run("python", "-m", "pytest", *WHOLE, "--world", "mongodb")


@nox.session(venv_backend="none")
def mongodb_failover(session: nox.Session) -> None:
    """Three mongod of which the primary is killed, with both drivers; prints the pause."""
    session.run("python", "-m", "pytest", "-s", "worlds/perdure-mongodb/tests/failover.py")


@nox.session
def bench(session: nox.Session) -> None:
    """Measurements, beside DBOS and quickjs-rs, and quickjs-wasi where there is npm."""
    session.install("-e", ".", "-e", "worlds/perdure-sqlite", "dbos", "quickjs-rs")
    node: list[str] = []
    if shutil.which("npm"):
        folder = session.create_tmp()
        session.run("npm", "install", "--prefix", folder, "quickjs-wasi", external=True)
        node = ["--node", folder]
    session.run("python", "benchmarks/bench_vm.py", "--peer", "python", *node)
    session.run("python", "benchmarks/bench_runs.py", "--peer", "python", *session.posargs)
    session.run("python", "benchmarks/bench_resume.py")
    session.run(sys.executable, "benchmarks/bench_worlds.py", external=True)  # has the servers
