"""A stand-in for W&B's server on the loopback address, for W&B's own client to talk to.

It answers what wandb 0.31 asks while a run is made, written, resumed and ended, and what its ``wandb.Api`` asks about
one run. What is asked, and what the answers mean, was read in wandb's source:

===================================  ==============================================================================
``query Viewer``                     the account (sdk/lib/identity.py, core/internal/api)
``query ServerFeaturesQuery``        no features (core/internal/featurechecker)
``query RunResumeStatus``            a run's lines so far, its last row, summary, config; none of a run that has not
                                     been written to (core/internal/runbranch/resume.go: from ``historyLineCount`` and
                                     ``historyTail`` it takes the offset and the step to go on with)
``mutation UpsertBucket``            makes or changes a run; what is null stays (core/internal/runupserter)
``POST /files/E/P/RUN/file_stream``  rows at an offset, written over what is there; the summary, the last one counts;
                                     ``preempting``, ``complete`` and ``exitcode`` (core/internal/filestream)
``mutation CreateRunFiles``, PUT     other files, which are thrown away (core/internal/runfiles)
``query Run``                        what ``wandb.Api().run`` shows (apis/public/runs.py)
===================================  ==============================================================================

The state of a run follows from W&B's documentation: ``running`` once it is written to, at its end ``finished``, or
``failed`` with an exit code other than 0, or ``preempted`` if it had been marked so before.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "0" * 40


@dataclass
class StoredRun:
    """What the server holds of a run; ``lines`` are its rows by offset, in the order in which they were first sent."""

    entity: str
    project: str
    name: str
    state: str = "running"
    group: str = ""
    job_type: str = ""
    display_name: str = ""
    sweep: str | None = None
    notes: str | None = None
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    lines: dict[int, dict[str, Any]] = field(default_factory=dict)
    preempting: bool = False
    starts: int = 0

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All rows by offset, without what the client adds by itself."""
        own = ("_timestamp", "_runtime", "_wandb")
        return [{key: value for key, value in self.lines[at].items() if key not in own} for at in sorted(self.lines)]

    @property
    def settings(self) -> dict[str, Any]:
        """The config's values, without W&B's own part."""
        return {key: each["value"] for key, each in self.config.items() if key != "_wandb"}

    def asked(self) -> dict[str, Any]:
        """As the queries of the client name it."""
        return {
            "id": self.name,
            "name": self.name,
            "displayName": self.display_name,
            "description": None,
            "notes": self.notes,
            "tags": self.tags,
            "sweepName": self.sweep,
            "state": self.state,
            "group": self.group,
            "jobType": self.job_type,
            "commit": None,
            "readOnly": False,
            "createdAt": "2026-01-01T00:00:00Z",
            "heartbeatAt": "2026-01-01T00:00:00Z",
            "config": json.dumps(self.config),
            "summaryMetrics": json.dumps(self.summary),
            "systemMetrics": "{}",
            "historyKeys": {},
            "historyLineCount": len(self.lines),
            "eventsLineCount": 0,
            "logLineCount": 0,
            "historyTail": json.dumps([json.dumps(self.lines[max(self.lines)])] if self.lines else []),
            "eventsTail": "[]",
            "wandbConfig": json.dumps({"t": 1} if self.config else {}),
            "projectId": "1",
            "user": {"name": "me", "username": "me"},
            "project": {"id": "1", "name": self.project, "entity": {"id": "1", "name": self.entity}},
        }


class WandbServer(ThreadingHTTPServer):
    """The server; a test may change ``refuse`` and ``delay`` at any time.

    Attributes:
        runs: by entity, project and id.
        refuse: an HTTP status that every request is answered with; 0: none.
        delay: seconds before every answer.
        lines_left: rows to take before every request is refused with status 500, as at a kill in the middle; None: any.
        requests: what was asked, in order: names of queries, and ``file_stream``.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.lock = threading.Lock()
        self.runs: dict[tuple[str, str, str], StoredRun] = {}
        self.requests: list[str] = []
        self.refuse, self.delay, self.lines_left = 0, 0.0, None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def run(self, name: str) -> StoredRun:
        """The one run of an id."""
        [run] = [run for run in self.runs.values() if run.name == name]
        return run

    def handle_error(self, request, client_address) -> None:
        pass  # a client that was killed

    # -------------------------------------------------------------------------------------------------------- answers

    def graphql(self, query: str, given: dict[str, Any]) -> dict[str, Any]:
        name = re.search(r"(?:query|mutation)\s+(\w+)", query)
        self.requests.append(name.group(1) if name else query)
        match self.requests[-1]:
            case "Viewer" | "GetDefaultEntity":
                account = {"id": "1", "username": "me", "entity": "me", "email": "", "flags": "{}", "admin": False}
                return {"viewer": {**account, "teams": {"edges": []}, "apiKeys": {"edges": []}}}
            case "ServerFeaturesQuery":
                return {"serverInfo": {"features": []}}
            case "RunResumeStatus":
                run = self.runs.get((given.get("entity") or "me", given["project"], given["name"]))
                if run is None:
                    return {"model": None}
                return {"model": {**run.asked()["project"], "bucket": run.asked()}}
            case "UpsertBucket":
                return {"upsertBucket": self._upsert(given)}
            case "CreateRunFiles":
                files = [{"name": name, "uploadUrl": f"{self.address}/storage"} for name in given["files"]]
                return {"createRunFiles": {"runID": given["run"], "uploadHeaders": [], "files": files}}
            case "Run":
                run = self.runs.get((given["entity"], given["project"], given["name"]))
                return {"project": {"run": run and run.asked()}}
        return {}

    def _upsert(self, given: dict[str, Any]) -> dict[str, Any]:
        key = (given.get("entity") or "me", given["project"], given["name"])
        inserted = key not in self.runs
        run = self.runs.setdefault(key, StoredRun(*key))
        names = {"groupName": "group", "jobType": "job_type", "displayName": "display_name", "sweep": "sweep"}
        for theirs, ours in {**names, "notes": "notes", "tags": "tags"}.items():
            if given.get(theirs) is not None:
                setattr(run, ours, given[theirs])
        if given.get("config") is not None:
            run.config = json.loads(given["config"])
        if given.get("groupName") is not None or inserted:  # of a client that starts, not one that changes the config
            run.starts += 1
            run.state, run.preempting = "running", False
        return {"bucket": run.asked(), "inserted": inserted}

    def file_stream(self, key: tuple[str, str, str], sent: dict[str, Any]) -> None:
        self.requests.append("file_stream")
        run = self.runs[key]
        files = sent.get("files") or {}
        history = files.get("wandb-history.jsonl", {"offset": 0, "content": []})
        for position, line in enumerate(history["content"]):
            if self.lines_left is not None:
                if self.lines_left == 0:
                    self.refuse = 500
                    return
                self.lines_left -= 1
            run.lines[history["offset"] + position] = json.loads(line)
        if "wandb-summary.json" in files:
            run.summary = json.loads(files["wandb-summary.json"]["content"][-1])
        run.preempting = run.preempting or bool(sent.get("preempting"))
        if sent.get("complete"):
            failed = "preempted" if run.preempting else "failed"
            run.state = failed if sent.get("exitcode") else "finished"


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WandbServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(self.server.delay)
        if self.server.refuse:
            self._answer(self.server.refuse, {"errors": [{"message": "refused"}]})
            return
        ours = self.path == "/graphql" or self.path.startswith("/files/")
        if ours and self.headers.get("Authorization") != f"Basic {base64.b64encode(f'api:{KEY}'.encode()).decode()}":
            self._answer(401, {"errors": [{"message": "user is not logged in"}]})
            return
        answer: dict[str, Any] = {}
        with self.server.lock:
            if self.path == "/graphql":
                asked = json.loads(body)
                answer = {"data": self.server.graphql(asked["query"], asked.get("variables") or {})}
            elif self.path.endswith("/file_stream"):
                _, _, entity, project, name, _ = self.path.split("/")
                self.server.file_stream((entity, project, name), json.loads(body))
        self._answer(self.server.refuse or 200, answer)

    def do_PUT(self) -> None:
        self.do_POST()

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve() -> Iterator[WandbServer]:
    """A server that answers until the block ends."""
    with WandbServer() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
