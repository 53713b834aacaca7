"""The rooms and the arrows between them, read from the imports: what may be touched from where."""

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LONGEST_FUNCTION = 40
PEERS = {"polled", "rest_queue", "firestore", "memory", "standin", "ojs", "bakalari", "neo4j"}
CONCRETE = {f"peers.{name}" for name in (*PEERS, "documents", "layout")}
GOOGLE = ("google", "firebase_admin", "grpc")


def files(folder: str) -> list[Path]:
    found = [path for path in sorted((ROOT / folder).rglob("*.py")) if "__pycache__" not in path.parts]
    assert found, f"{folder} holds no Python"
    return found


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def names_imported(nodes: Iterator[ast.AST] | list[ast.stmt], package: str = "") -> Iterator[str]:
    """Yield the full names of what is imported: for `from a import b`, `a.b`, which may be a module or a name in one."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            yield from (".".join(filter(None, (above, node.module, each.name))) for each in node.names)


def rooms() -> dict[str, Path]:
    """Return the modules of the library by their names below `shared`."""
    named = {".".join(path.relative_to(ROOT / "shared").with_suffix("").parts): path for path in files("shared")}
    return {name: path for name, path in named.items() if not name.endswith("__init__")}


ROOMS = rooms()


def uses(path: Path, package: str = "shared") -> set[str]:
    """Return the rooms that a file imports from, anywhere in it."""
    found = set()
    for name in names_imported(ast.walk(tree(path)), package):
        below = name.removeprefix("shared.") if name.startswith("shared") else ""
        whole, _, last = below.rpartition(".")
        found |= {room for room in (below, whole) if room in ROOMS} or ({last} & set(ROOMS) if below else set())
    return found


def test_the_rooms_are_read_rightly():
    """What the other tests stand on: imports within functions, under other names and of modules are all seen."""
    source = "from shared import wire as w\nimport shared.peers.base\ndef f():\n    from shared.peers.firestore import X\n"
    names = list(names_imported(ast.walk(ast.parse(source))))
    assert names == ["shared.wire", "shared.peers.base", "shared.peers.firestore.X"]
    assert list(names_imported(ast.parse("from . import a\nfrom ..b import c").body, "p.q")) == ["p.q.a", "p.b.c"]
    assert {"model", "errors", "merge", "peers.base", "peers.firestore"} <= set(ROOMS)
    assert uses(ROOMS["reconcile"]) >= {"engine", "peers.base"}


PURE = {
    # room: all that it may import of ours
    "model": set(),
    "errors": set(),
    "canonical": {"errors", "model"},
    "merge": {"model", "canonical"},
    "policy": {"model", "merge", "canonical"},
    "index": {"model", "canonical"},
    "joining": {"model", "canonical", "mapping"},
    "resolution": {"model", "canonical", "mapping", "merge", "policy", "joining"},
    "naming": {"errors", "canonical"},
    "native": {"model", "errors", "canonical", "naming"},
    "mapping": {"model", "errors", "canonical", "naming", "native"},
    "retry": {"errors"},
    "tokens": {"errors"},
    "roles": {"errors", "callers"},
    "callers": {"errors", "tokens"},
    "secrets": {"errors"},
    "bodies": {"errors"},
    "wire": {"model", "errors"},
    "prices": {"model"},
    "quota": set(),
    "breaker": {"errors", "model"},
    "statistics": {"model"},
    "report": {"model", "prices"},
    "fates": {"model", "report"},
    "log": {"model"},
    "specs.base": set(),
    "specs.ojs": {"specs.base"},
    "specs.bakalari": {"specs.base"},
    "signatures": {"errors"},
    "config": {"mapping", "errors", "model", "specs.base", "specs.bakalari", "specs.ojs"},
    "digests": {"model"},
    "comparing": {"model", "errors", "canonical", "naming"},
    "peers.base": {"model", "errors", "policy", "digests"},
    "peers.system": {"model"},
    "brake": {"model", "report", "peers.base"},
    "tasks": {"errors", "canonical"},
    "nudges": {"errors", "log", "tasks"},
    "handout": {"model", "report", "tasks"},
    "stage": {"model", "native", "peers.documents", "peers.protobuf"},
    "retention": set(),
    "erasure": {"model"},
    "letters": {"model", "errors", "naming", "native", "wire", "peers.documents", "peers.layout", "retention"},
    "story": {"model", "wire", "letters"},
    "explain": {"model", "errors", "canonical", "native", "wire", "story", "letters", "retention"},
}


@pytest.mark.parametrize("room, allowed", PURE.items(), ids=PURE)
def test_a_room_imports_only_what_lies_below_it(room, allowed):
    assert uses(ROOMS[room]) <= allowed


TERMINAL = {"__main__", "cli", "cli_ojs", "cli_privacy", "cli_roles", "shown", "terminal"}
NEVER = {
    # rooms: what none of them imports
    "the engine and reconcile know no vendor and build nothing": (
        ["engine", "reconcile", "mending", "full", "quick", "progress", "run", "fates", "held", "disputes", "decision", "shards"],
        {*CONCRETE, "wiring", "service", "events", "config", "stage", "preview", "replay"},
    ),
    "a replay, a preview and what people ask for build nothing": (
        ["replay", "preview", "facts", "privacy", "export", "traces"],
        {"wiring", "service", "events", "config"},
    ),
    "nothing leans on the command line": ([room for room in ROOMS if room not in TERMINAL], TERMINAL),
    "a peer knows nothing of what is done with it": (
        [room for room in ROOMS if room.startswith("peers.")],
        {"engine", "reconcile", "mending", "run", "store", "wiring", "service", "events", "tracker", "config", "report", "log"},
    ),
    "comparing does not act": (["full", "quick"], {"engine", "mending", "reconcile", "run", "store"}),
    "the store knows no run": (
        ["store", "conflicts", "parts"],
        {"engine", "reconcile", "run", "wiring", "service", "events", "tracker", "config", "policy", "merge"},
    ),
    "the tracker builds nothing": (["tracker"], {"engine", "reconcile", "run", "wiring", "service", "events", "config"}),
    "wiring is below the functions": (["wiring"], {"service", "events"}),
    "the two doors know nothing of each other": (["service"], {"events", "tracker", *CONCRETE}),
    "nor does the other": (["events"], {"service", "engine", "reconcile", "peers.firestore", "peers.rest_queue", "peers.memory"}),
}


@pytest.mark.parametrize("inside, never", NEVER.values(), ids=NEVER)
def test_an_arrow_never_points_back(inside, never):
    assert {room: sorted(uses(ROOMS[room]) & never) for room in inside if uses(ROOMS[room]) & never} == {}


def test_one_peer_knows_nothing_of_another():
    for name in PEERS:
        if f"peers.{name}" in ROOMS:
            assert not uses(ROOMS[f"peers.{name}"]) & {f"peers.{other}" for other in PEERS - {name}}


def test_no_two_rooms_lean_on_each_other():
    leans = {room: uses(path) for room, path in ROOMS.items()}
    left = dict(leans)
    while free := {room for room, below in left.items() if not below & set(left)}:
        left = {room: below for room, below in left.items() if room not in free}
    assert left == {}, "these rooms lie on a circle, or above one"


def test_what_only_the_command_line_needs_is_imported_nowhere_else():
    wanted = {
        room: {name.partition(".")[0] for name in names_imported(ast.walk(tree(path)))} & {"typer", "rich"}
        for room, path in ROOMS.items()
    }
    assert {room for room, found in wanted.items() if found} <= TERMINAL


def test_the_functions_only_know_the_doors():
    for path in files("functions"):
        assert uses(path) <= {"service", "journals", "events", "unreadable"}, path.name


def functions_in(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function, from its `def` to its end."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def body_length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function's body, its docstring left out."""
    first = function.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    body = function.body[1:] if documented else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_every_function_of_the_entry_file_is_under_15_lines():
    assert [each.name for each in functions_in(ROOT / "functions" / "main.py") if length(each) >= 15] == []


def test_no_function_is_longer_than_40_lines():
    long = {f"{path.name}: {each.name}": length(each) for path in files("shared") for each in functions_in(path)}
    assert {name: lines for name, lines in long.items() if lines > LONGEST_FUNCTION} == {}


def test_functions_are_short_in_the_median():
    assert statistics.median(body_length(each) for path in files("shared") for each in functions_in(path)) < 10


@pytest.mark.parametrize("folder", ["shared", "functions", "scheduler"])
def test_nothing_rests_on_assert(folder):
    """`python -O` leaves them out, and a failed one says neither what, where nor what to do."""
    found = [
        f"{path.name}:{node.lineno}" for path in files(folder) for node in ast.walk(tree(path)) if isinstance(node, ast.Assert)
    ]
    assert found == []


@pytest.mark.parametrize("folder", ["shared", "functions", "local", "scheduler", "backend"])
def test_no_module_is_called_what_says_nothing(folder):
    assert [path for path in files(folder) if path.stem in {"utils", "helpers", "manager", "data", "misc", "common"}] == []


def is_google(name: str) -> bool:
    return name.partition(".")[0] in GOOGLE


def at_import(path: Path) -> list[str]:
    """Return the names of Google's that a file imports when it is itself imported."""
    return [name for name in names_imported(tree(path).body) if is_google(name)]


def test_google_is_imported_only_where_it_is_spoken_to():
    """Wiring does so too, but only when a client is wanted: a cold start for one function pays for no other."""
    assert {room for room, path in ROOMS.items() if at_import(path)} == {"peers.documents", "peers.protobuf", "events"}
    anywhere = {room for room, path in ROOMS.items() if any(map(is_google, names_imported(ast.walk(tree(path)))))}
    assert anywhere == {"peers.documents", "peers.protobuf", "events", "wiring", "tasks", "tokens", "roles", "secrets"}


def calls_at_import(module: ast.Module) -> Iterator[str]:
    """Yield the names of what is called while a module is imported; the bodies of functions are not run then."""
    waiting: list[ast.AST] = list(module.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            waiting += node.decorator_list + node.args.defaults
        elif isinstance(node, ast.Lambda):
            continue
        else:
            if isinstance(node, ast.Call):
                yield ast.unparse(node.func)
            waiting += ast.iter_child_nodes(node)


def is_a_client(call: str) -> bool:
    return any(word in call.lower() for word in ("client", "channel", "transport", "session", "initialize_app"))


def test_no_client_is_built_at_import():
    assert list(calls_at_import(ast.parse("a = Client()\ndef f(x=channel()):\n    y()\ng = lambda: z()"))) == [
        "channel",
        "Client",
    ]
    for path in [*files("shared"), *files("functions")]:
        assert [call for call in calls_at_import(tree(path)) if is_a_client(call)] == [], path.name


BUILDERS = {
    "FirestoreClient",
    "SecretManagerServiceClient",
    "insecure_channel",
    "RestQueue",
    "FirestorePeer",
    "Firestore",
    "Store",
    "CloudTasksClient",
    "CloudTasks",
    "Nudges",
}


def test_only_wiring_builds_clients_peers_and_the_store():
    built = {}
    for room, path in ROOMS.items():
        calls = {ast.unparse(node.func).rpartition(".")[2] for node in ast.walk(tree(path)) if isinstance(node, ast.Call)}
        if calls & BUILDERS:
            built[room] = sorted(calls & BUILDERS)
    assert set(built) == {"wiring"}, built


def test_only_wiring_the_settings_and_the_command_line_read_the_environment():
    readers = {room for room, path in ROOMS.items() if "os" in names_imported(ast.walk(tree(path)))}
    assert readers <= {"wiring", "config", "cli"}


def test_the_backend_never_imports_the_library():
    """The contract joins them; a backend of somebody else's has no `shared`."""
    for path in files("backend"):
        assert [name for name in names_imported(ast.walk(tree(path))) if name.partition(".")[0] == "shared"] == [], path


def test_the_library_never_imports_the_backend_the_stack_or_the_tests():
    for path in [*files("shared"), *files("functions")]:
        tops = {name.partition(".")[0] for name in names_imported(ast.walk(tree(path)))}
        assert not tops & {"backend", "local", "tests", "syncqueue", "django"}, path.name


def test_every_room_says_its_duty():
    assert [room for room, path in ROOMS.items() if not ast.get_docstring(tree(path))] == []
