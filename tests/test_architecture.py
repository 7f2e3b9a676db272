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
from importlinter.cli import lint_imports

from motet.core.component import ComponentSpec
from motet.spec import ROOMS, Balance, Experiment

REPO = Path(__file__).parents[1]
SOURCE = REPO / "src" / "motet"
MODULES = sorted(SOURCE.rglob("*.py"))
RUN_MAIN = "from motet.cli import main\ntry: main()\nexcept SystemExit: pass"
EXECUTING_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
EXECUTING_CALLS = {"eval", "exec", "compile", "torch.load", "torch.save", "torch.jit.load", "torch.hub.load"}
EXECUTING_CALLS |= {"yaml.load_all", "yaml.unsafe_load", "yaml.full_load"}
HEAVY = "torch pyarrow numpy sklearn pandas torchmetrics PIL soundfile transformers"
LONG_FILES: dict[str, str] = {}  # file under src/motet -> why it has more than 250 lines


def test_floors_hold() -> None:
    assert lint_imports(config_filename=str(REPO / "pyproject.toml"), no_cache=True, no_logo=True) == 0


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
    found = dangers(path.read_text(encoding="utf-8"))
    if path == SOURCE / "__init__.py":  # looks its lazy names up in the table written there
        found = [danger for danger in found if "import_module(_HOMES[name])" not in danger]
    assert not found


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from torch import load",
        "torch.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "yaml.load(text)",
        "eval(text)",
        "importlib.import_module(name)",
        "importlib.import_module(f'{package}.motet')",
        "__import__(name)",
    ],
)
def test_the_search_for_dangers_finds(code: str) -> None:
    assert dangers(code)


def dangers(source: str) -> list[str]:
    return [f"line {node.lineno}: {ast.unparse(node)}" for node in ast.walk(ast.parse(source)) if is_danger(node)]


def is_danger(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name.split(".")[0] in EXECUTING_MODULES for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        names = {f"{node.module}.{alias.name}" for alias in node.names}
        return (node.module or "").split(".")[0] in EXECUTING_MODULES or bool(names & EXECUTING_CALLS)
    if not isinstance(node, ast.Call):
        return False
    called, options = dotted(node.func), {word.arg: word.value for word in node.keywords}
    if called.endswith(("import_module", "__import__")):
        return not stays_in_a_package(node.args[0])
    if called in ("np.load", "numpy.load"):
        allow = options.get("allow_pickle", ast.Constant(False))
        return not (isinstance(allow, ast.Constant) and allow.value is False)
    return called in EXECUTING_CALLS or (called == "yaml.load" and "Loader" not in options)


def stays_in_a_package(name: ast.expr) -> bool:
    """A literal, or a name that begins with one of these packages whatever follows."""
    if isinstance(name, ast.JoinedStr) and isinstance(name.values[0], ast.Constant):
        return str(name.values[0].value).startswith(("motet.", "PIL."))
    return isinstance(name, ast.Constant)


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def test_no_library_that_breaks_torch_is_installed() -> None:
    assert importlib.util.find_spec("torchvision") is None
    assert importlib.util.find_spec("torchaudio") is None


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import motet; dir(motet)", HEAVY + " pydantic"),
        ("import sys; sys.argv[1:] = ['--help']; " + RUN_MAIN, HEAVY),
        ("import sys; sys.argv[1:] = ['train', '--help']; " + RUN_MAIN, HEAVY),
    ],
    ids=["import", "--help", "train --help"],
)
def test_looking_at_motet_loads_nothing_heavy(code: str, heavy: str) -> None:
    assert loaded_by(code, heavy) == []


def test_importing_the_rooms_loads_no_library_that_only_some_need() -> None:
    assert loaded_by("import motet.api", "sklearn pandas torchmetrics scipy tensorboard") == []


def loaded_by(code: str, names: str) -> list[str]:
    """Which of these modules a fresh interpreter holds after running the code."""
    report = f"\nimport sys; print('loaded', *[name for name in {names.split()} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=True)
    return answer.stdout.splitlines()[-1].split()[1:]


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
    """Every text file of the checkout; not the environment, not caches, not what was built."""
    suffixes = {".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".json", ".css", ""}
    for top in REPO.iterdir():
        own = not top.name.startswith(".") or top.name in (".ci", ".gitignore")
        if own and top.name not in ("build", "dist", "runs"):
            files = [top] if top.is_file() else top.rglob("*")
            yield from (path for path in files if path.is_file() and path.suffix in suffixes)
