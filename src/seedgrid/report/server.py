"""The web server of ``seedgrid view``: the index, and the reports and comparisons, made when they are asked for."""

from __future__ import annotations

import re
import sys
import threading
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

from seedgrid.report.building import Build, Builder, comparison, sweep_report
from seedgrid.report.comparing import ComparisonOptions
from seedgrid.report.entry import ReportOptions
from seedgrid.report.index import SweepIndex
from seedgrid.report.page import made_of, read_made_of, render
from seedgrid.settings import SettingsGroup

ADDRESS = "127.0.0.1"
# Any other name that leads here is somebody else's, whose page in the same browser wants to read along.
_HOST = re.compile(r"(127\.0\.0\.1|localhost)(:\d+)?")
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".csv": "text/csv; charset=utf-8",
    ".tex": "text/plain; charset=utf-8",
}
_POLICY = "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'"


@dataclass(frozen=True)
class Answer:
    """What a request gets: status, content and its type, or where to go instead."""

    status: int
    content: bytes = b""
    kind: str = _TYPES[".html"]
    location: str = ""


class ViewServer(ThreadingHTTPServer):
    """Serves the sweeps below a folder to this machine alone.

    Args:
        runs: the folder.
        port: 0: any that is free.
        options: of reports and of comparisons.

    Raises:
        OSError: the port is not to be had.
    """

    def __init__(self, runs: Path, port: int, options: ReportOptions | ComparisonOptions) -> None:
        self.index = SweepIndex(runs)
        self.options = options
        self.builder = Builder()
        super().__init__((ADDRESS, port), _Handler)
        self.builds: dict[Path, Build] = {}
        self.lock = threading.Lock()  # of everything above, and of drawing

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.server_port}/"

    def server_close(self) -> None:
        super().server_close()
        self.builder.close()

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a reader who does not wait is no error
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: ViewServer

    def do_GET(self) -> None:
        answer = self._answer()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.content)))
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        if answer.location:
            self.send_header("Location", answer.location)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.content)

    do_HEAD = do_GET

    def log_message(self, *arguments: object) -> None:
        """The terminal is for the address, and for what goes wrong."""

    def _answer(self) -> Answer:
        if not _HOST.fullmatch(self.headers.get("Host", "")):
            return _say(403, "Not served", f"Open {self.server.url}: this server answers to no other name.")
        address = urlsplit(self.path)
        path = unquote(address.path).removeprefix("/")
        with self.server.lock:
            if not path:
                return _page(200, self.server.index.page())
            folders = self.server.index.folders()
            if path == "compare":
                return _to_comparison(parse_qs(address.query), folders)
            return self._of_sweep(path, folders)

    def _of_sweep(self, path: str, folders: dict[str, Path]) -> Answer:
        name = max((name for name in folders if path.startswith(f"{name}/")), key=len, default=None)
        if name is None:
            return _missing()
        what, slash, file = path.removeprefix(f"{name}/").partition("/")
        against = {_compared_with(other): other for other in folders}.get(what)
        if what != "report" and against is None:
            return _missing()
        output = folders[name] / what
        if not slash:
            return Answer(303, location=f"/{quote(path)}/")
        if file:
            return _file(output, file)
        if against is None:
            make = partial(sweep_report, folder=folders[name], output=output, options=self.server.options)
            return self._made(f"report of {name}", output, {name: folders[name]}, ReportOptions, make)
        both = {each: folders[each] for each in (name, against)}
        make = partial(comparison, a=folders[name], b=folders[against], output=output, options=self.server.options)
        return self._made(f"comparison of {name} with {against}", output, both, ComparisonOptions, make)

    def _made(
        self, what: str, output: Path, sweeps: dict[str, Path], options: type[SettingsGroup], make: partial
    ) -> Answer:
        """A page on these sweeps, made first unless it is there, of the trials that are and with these options."""
        if output.is_symlink():  # to elsewhere, where nothing is written
            return _missing()
        seen = [self.server.index.look(name, folder) for name, folder in sweeps.items()]
        for each in seen:
            if each.problem:
                return _say(404, f"No {what}", each.problem)
        wanted = made_of([each.sweep for each in seen], self.server.options, options)
        page, builds = output / "index.html", self.server.builds
        made = page.stat().st_mtime if page.is_file() else None
        build = builds.get(output)
        if build is None:
            if read_made_of(page) == wanted:
                return _file(output, page.name)
            build = builds[output] = self.server.builder.start(make)
        if not build.done:
            earlier = None if made is None else f"{datetime.fromtimestamp(made):%Y-%m-%d %H:%M}"
            return _page(200, render("waiting", title=f"Making the {what}", build=build, earlier=earlier))
        # Shown even if more trials have ended meanwhile, or a quick sweep's would never be seen.
        del builds[output]
        if build.error:
            return _say(404, f"No {what}", build.error)
        return _file(output, page.name)


def _to_comparison(query: dict[str, list[str]], folders: dict[str, Path]) -> Answer:
    """From the form's two names to the page that compares them."""
    a, b = (query.get(key, [""])[0] for key in "ab")
    if a not in folders or b not in folders:
        return _missing()
    return Answer(303, location=f"/{quote(a)}/{quote(_compared_with(b))}/")


def _file(output: Path, name: str) -> Answer:
    """A file of a page; nothing that a link in the page's folder leads to elsewhere."""
    folder = output.parent.resolve() / output.name
    try:
        file = (folder / name).resolve()
        if file.is_relative_to(folder) and file.suffix in _TYPES:
            return Answer(200, file.read_bytes(), _TYPES[file.suffix])
    except (OSError, ValueError):  # no such file, or no such name
        pass
    return _missing()


def _page(status: int, html: str) -> Answer:
    return Answer(status, html.encode())


def _say(status: int, title: str, text: str) -> Answer:
    return _page(status, render("message", title=title, text=text))


def _missing() -> Answer:
    return _say(404, "Nothing here", "No sweep's report or comparison has this address.")


def _compared_with(name: str) -> str:
    """The folder, in a sweep's, of its comparison with the sweep of this name; as ``seedgrid compare`` names it."""
    return f"compare-{name.replace('/', ',')}"
