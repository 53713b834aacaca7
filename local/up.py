"""`make up`: the stack, its addresses and its tokens, until Ctrl-C."""

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from local.arcade import DATABASE, USER, is_installed
from local.backend import ADMIN
from local.bundle import ROOT
from local.errors import StackError
from local.journals import FOLDER as FOLDER_OF_JOURNALS
from local.journals import VERSIONS, Journals
from local.pages import built
from local.schools import FOLDER as FOLDER_OF_SCHOOLS
from local.schools import Schools
from local.site import TAKES_UNSIGNED, Site
from local.stack import Stack

FOLDER = ROOT / ".local" / "up"
MEMBERS = 100
CHECK_SECONDS = 0.5


def main(arguments: Sequence[str]) -> None:
    """Start the stack, say where everything is, and wait. Raises StackError when a part stops by itself."""
    parser = argparse.ArgumentParser(prog="python -m local up", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="go on with the last start's database, documents and tokens")
    parser.add_argument("--members", type=int, default=MEMBERS, help="how many to put into the backend (%(default)s)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where it keeps its files (.local/up)")
    parser.add_argument(
        "--django-url", default="", metavar="URL", help="the REST queue of your own Django, instead of the demo's"
    )
    parser.add_argument("--token-file", type=Path, help="a file with the token that your own Django made")
    options = parser.parse_args(arguments)
    own = _own(options.django_url, options.token_file)
    console = Console(soft_wrap=True, markup=False, highlight=False)
    console.print("starting Firestore, Django and the functions ...")
    pages = _pages(console)
    with ExitStack() as exits:
        described = Stack(
            options.folder,
            keep=options.keep,
            members=options.members,
            tasks=1,
            functions_env=TAKES_UNSIGNED,
            graph=is_installed() and not own,
            django_url=options.django_url,
            more_secrets=own,
        )
        stack = exits.enter_context(described)
        site = exits.enter_context(Site(stack, pages)) if pages else None
        write_env(stack)
        others = [] if own else [*journals(stack, exits), *schools(stack, exits)]
        for line in [*others, *welcome(stack, site)]:
            console.print(line)
        while True:
            stack.check()
            time.sleep(CHECK_SECONDS)


def _own(url: str, token: Path | None) -> dict[str, str]:
    """Return the secret by which a Django of somebody's own is asked; nothing for the demo's. StackError if one is half named."""
    if bool(url) != (token is not None):
        raise StackError(
            "your own Django takes both: --django-url URL and --token-file FILE (make up DJANGO=URL TOKEN_FILE=FILE)"
        )
    try:
        return {} if token is None else {"django-token": token.read_text(encoding="utf-8").strip()}
    except (OSError, UnicodeDecodeError) as error:
        raise StackError(f"the token in {token} cannot be read ({type(error).__name__}): name another file") from None


def journals(stack: Stack, exits: ExitStack) -> Iterator[str]:
    """Start the stand-ins for OJS, where the tests are, and yield what to type."""
    if not FOLDER_OF_JOURNALS.is_dir():
        return
    running = exits.enter_context(Journals(stack.logs / "ojs.log"))
    for version, path in VERSIONS.items():
        call = f'curl -H "Authorization: Bearer {running.secrets[f"ojs-{path}"]}" {running.api(version, "submissions")}'
        yield f"OJS {version[0]}.{version[1]}        {call}   (a stand-in)"


def schools(stack: Stack, exits: ExitStack) -> Iterator[str]:
    """Start the stand-ins for Bakaláři schools, where the tests are, and yield what to type."""
    if not FOLDER_OF_SCHOOLS.is_dir():
        return
    running = exits.enter_context(Schools(stack.logs / "schools.log"))
    form = "client_id=ANDR&grant_type=password&username=vzor1&password=heslo-1"
    for name, url in running.urls.items():
        yield f"Bakaláři       a stand-in, school {name}: curl -d '{form}' {url}/api/login"


def write_env(stack: Stack) -> Path:
    """Write what the command line must know of the stack, a line of NAME=VALUE each, and return the file."""
    file = stack.folder / "env"
    file.touch(mode=0o600)
    file.write_text("".join(f"{name}={value}\n" for name, value in stack.env.items()), encoding="utf-8")
    return file


def _pages(console: Console) -> Path | None:
    """Return the pages; None, after saying why, where they cannot be made: all else works without them."""
    try:
        return built()
    except StackError as error:
        console.print(f"no dashboard: {error}")
        return None


def welcome(stack: Stack, site: Site | None) -> Iterator[str]:
    """Yield what a newcomer needs, one line each: addresses, a login, a first command."""
    if site:
        yield f"Dashboard      {site.url}/   say who you are: no password is needed here"
        yield f"Profile page   {site.url}/profile   a member's own, as your app would have it"
    if stack.backend:
        password = stack.secret("admin-password")
        stack.backend.set_admin(password)
        yield f"Django admin   {stack.backend.site}/admin/   log in as {ADMIN} with {password}"
    yield f"REST queue     {stack.backend_url}   token {stack.backend_token}"
    yield f"Functions      {stack.functions_url}   token {stack.operator_token}"
    yield f"Firestore      FIRESTORE_EMULATOR_HOST={stack.emulator_host} GOOGLE_CLOUD_PROJECT={stack.project}"
    yield f"Secrets        SECRET_MANAGER_HOST={stack.secrets_host}"
    yield f"Tasks          CLOUD_TASKS_HOST={stack.env['CLOUD_TASKS_HOST']}   edits travel by themselves, within seconds"
    if stack.arcade:
        password = stack.arcade.password
        yield f"Graph          {stack.arcade.uri}   log in as {USER} with {password}, database {DATABASE} (ArcadeDB, for Neo4j)"
    yield f"Logs           {_short(stack.logs)}"
    yield ""
    yield "Run a sync:"
    yield (
        f'  curl -X POST -H "Authorization: Bearer {stack.operator_token}" '
        f"-H 'Content-Type: application/json' -d '{{}}' {stack.functions_url}/bidirectional_sync"
    )
    yield ""
    yield "Ask how all is, or what became of a record (./bothways --help):"
    yield f"  ./bothways --env {_short(stack.folder / 'env')} health"
    yield ""
    yield "Ctrl-C stops everything. The next `make up` starts empty; `make up KEEP=1` goes on with what is there."


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
