"""The rules of the house, kept by machine: floors, nothing executable read from files, light imports, a true README."""

import ast
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from motet.core.component import ComponentSpec
from motet.spec import ROOMS, Balance, Experiment

REPO = Path(__file__).parents[1]
SOURCE = REPO / "src" / "motet"
MODULES = sorted(SOURCE.rglob("*.py"))
RUN_MAIN = "from motet.cli import main\ntry: main()\nexcept SystemExit: pass"
LONG_FILES: dict[str, str] = {}  # file under src/motet -> why it has more than 250 lines


def test_floors_hold() -> None:
    answer = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=REPO,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stdout[-3000:] + answer.stderr[-3000:]


def test_the_contract_names_every_room() -> None:
    import tomllib

    contract = tomllib.loads((REPO / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    named = {name.strip(" ()") for layer in contract["layers"] for name in layer.split("|")}
    rooms = {entry.name for entry in SOURCE.iterdir() if (entry / "__init__.py").is_file()}
    assert contract["exhaustive"]
    assert rooms <= named


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_nothing_in_a_file_is_executed(path: Path) -> None:
    """No pickle in any guise, no eval, and no import of a name that is computed, so that none can come from data."""
    banned_modules = {
        "pickle",
        "cPickle",
        "_pickle",
        "dill",
        "cloudpickle",
        "joblib",
        "shelve",
        "marshal",
        "jsonpickle",
    }
    banned_calls = {
        "torch.load",
        "torch.save",
        "torch.jit.load",
        "torch.hub.load",
        "yaml.load_all",
        "yaml.unsafe_load",
        "yaml.full_load",
    }
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        where = f"{path.name}:{getattr(node, 'lineno', 0)}"
        assert not {name.split(".")[0] for name in imported(node)} & banned_modules, where
        if isinstance(node, ast.Call):
            called = dotted(node.func)
            assert called not in banned_calls, f"{where}: {called}"
            assert called.split(".")[0] not in banned_modules, f"{where}: {called}"
            assert called not in ("eval", "exec", "compile", "builtins.eval", "builtins.exec"), f"{where}: {called}"
            if called.endswith(("import_module", "__import__")):
                assert imports_of_a_closed_list(path, node), f"{where}: imports a computed name"
            if called.endswith("np.load") or called == "numpy.load":
                allow = [word.value for word in node.keywords if word.arg == "allow_pickle"]
                assert all(isinstance(value, ast.Constant) and value.value is False for value in allow), where
            if called == "yaml.load":
                assert "Loader" in {word.arg for word in node.keywords}, where


def test_no_library_that_breaks_torch_is_installed() -> None:
    assert importlib.util.find_spec("torchvision") is None
    assert importlib.util.find_spec("torchaudio") is None


@pytest.mark.parametrize(
    "code",
    [
        "import motet",
        "import motet; dir(motet)",
        "import sys; sys.argv[1:] = ['--help']; " + RUN_MAIN,
        "import sys; sys.argv[1:] = ['train', '--help']; " + RUN_MAIN,
    ],
    ids=["import", "dir", "help", "train --help"],
)
def test_looking_at_motet_loads_nothing_heavy(code: str) -> None:
    heavy = "torch pydantic pyarrow numpy sklearn pandas torchmetrics PIL soundfile"
    check = f"\nimport sys; sys.exit(str([name for name in {heavy.split()} if name in sys.modules] or ''))"
    answer = subprocess.run([sys.executable, "-c", code + check], capture_output=True, text=True)
    assert answer.stderr.strip() in ("", "[]"), answer.stderr


def test_importing_the_rooms_loads_no_library_that_only_some_need() -> None:
    rare = ["sklearn", "pandas", "torchmetrics", "scipy", "tensorboard"]
    code = f"import sys, motet.api; print([name for name in {rare} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_files_hold_one_idea(path: Path) -> None:
    name, lines = str(path.relative_to(SOURCE)), len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 250 or LONG_FILES.get(name), f"{name} has {lines} lines: split it, or give the reason in LONG_FILES"
    assert lines > 250 or name not in LONG_FILES, f"{name} has {lines} lines: take it off LONG_FILES"


def specs() -> Iterator[type[ComponentSpec]]:
    for words in ROOMS.values():
        yield from words.values()


@pytest.mark.parametrize(
    "spec",
    [*specs(), Experiment, Balance, *(Experiment.model_fields[name].annotation for name in ("data", "training"))],
)
def test_every_field_is_described(spec: type[ComponentSpec]) -> None:
    missing = [name for name, field in spec.model_fields.items() if name != "kind" and not field.description]
    assert not missing, f"{spec.__name__} does not describe {missing}"
    assert (spec.__doc__ or "").strip(), spec.__name__


def test_the_readme_shows_every_room() -> None:
    tree = (REPO / "README.md").read_text(encoding="utf-8")
    for entry in SOURCE.iterdir():
        if (entry / "__init__.py").is_file():
            assert re.search(rf"^ +{entry.name}/ ", tree, re.MULTILINE), f"README.md does not show {entry.name}/"


def test_the_readme_shows_nothing_that_is_not_there() -> None:
    tree = re.search(r"```text\nsrc/motet/\n(.*?)```", (REPO / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert tree, "README.md has no tree of src/motet"
    for name in re.findall(r"^  ([\w.]+)/? ", tree[1], re.MULTILINE):
        assert (SOURCE / name).exists(), f"README.md shows {name}, which is not there"


def test_no_file_names_an_index_or_a_place_on_one_machine() -> None:
    hosts = (
        "pypi" + ".org",
        "pythonhosted" + ".org",
        "download.pytorch" + ".org",
        "--index" + "-url",
        "--extra-index" + "-url",
    )
    places = re.compile(r"(?<![\w.])/(?:home|root|Users|work|tmp)/\w")
    for path in own_files():
        text = path.read_text(encoding="utf-8")
        assert not [host for host in hosts if host in text], path
        found = places.search(text)
        assert not found, f"{path}: {found and text[found.start() : found.start() + 40]!r}"


def test_versions_agree() -> None:
    import motet

    assert motet.__version__ == importlib.metadata.version("motet")


def own_files() -> Iterator[Path]:
    """Every text file of the checkout, the environment and caches left out."""
    suffixes = {".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".json", ".cfg", ""}
    for path in REPO.rglob("*"):
        parts = path.relative_to(REPO).parts
        hidden = any(part.startswith(".") and part not in (".ci", ".gitignore") for part in parts)
        built = parts[0] in ("build", "dist", "runs") or "__pycache__" in parts
        if path.is_file() and path.suffix in suffixes and not hidden and not built:
            yield path


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def imports_of_a_closed_list(path: Path, call: ast.Call) -> bool:
    """A literal, or the lazy names of motet itself: its `__init__` looks them up in a table written there."""
    return isinstance(call.args[0], ast.Constant) or path == SOURCE / "__init__.py"
