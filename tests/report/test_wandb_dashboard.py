"""The dashboard that W&B is asked to make: keys and links are those of real runs, numbers those of the records."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from seedgrid.analysis.expected import expected_max
from seedgrid.records.store import read_sweep
from seedgrid.report.arrays import finished_trials
from seedgrid.report.sections.expected import expected_best
from seedgrid.report.wandb_dashboard import Place, build_report, preview
from seedgrid.report.wandb_report import log_report
from seedgrid.settings import LoggerSettings
from seedgrid.trials.preparation import prepare
from seedgrid.trials.run import run_trial

PLACE = Place("https://wandb.example.org", "me", "mine")


def items(pairs):
    """The values of keys; of a key that has parts, such as a picture's, one of them."""
    return {item.key or item.nested_key[0]: json.loads(item.value_json) for item in pairs}


class Run:
    """What an offline run's file says: its id, group, kind, and the keys and values that it logged."""

    def __init__(self, records):
        [run] = [record.run for record in records if record.WhichOneof("record_type") == "run"]
        self.id, self.group, self.job_type = run.run_id, run.run_group, run.job_type
        self.config, self.history, self.summary = items(run.config.update), {}, {}
        for record in records:
            kind = record.WhichOneof("record_type")
            if kind == "history":
                self.history |= items(record.history.item)
            elif kind == "summary":
                self.summary |= items(record.summary.update)


@pytest.fixture(scope="module")
def logged(tiny, settings_of, tmp_path_factory, wandb_records):
    """A sweep of 2 x 2 trials that were logged offline, with a report; and the runs of both kinds."""
    folder = tmp_path_factory.mktemp("runs") / "my-sweep"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_API_KEY", "WANDB_BASE_URL"):
            patch.delenv(name, raising=False)
        patch.setenv("WANDB_MODE", "offline")
        for init, order in np.ndindex(2, 2):
            words = [
                "recipe.epochs=1",
                "gradient_norms=5",
                f"sweep={folder}",
                f"seed.init={init}",
                f"seed.order={order}",
            ]
            settings = settings_of([*(word for word in tiny if word != "logger=none"), *words])
            assert run_trial(settings, prepare(settings)).status == "completed"
        study = finished_trials(read_sweep(folder))
        log_report([expected_best([study])], [study.sweep], LoggerSettings(kind="wandb"))
    runs = [Run(wandb_records(path)) for path in folder.glob("wandb/offline-run-*/run-*.wandb")]
    return study, {kind: [run for run in runs if run.job_type == kind] for kind in ("trial", "report")}


@pytest.fixture
def study(write_sweep, tmp_path):
    """A grid of records, of which two trials diverged and one has not ended."""
    folder = write_sweep(tmp_path / "grid", status={(4, 4): "running"})
    for name in ("init=001,order=002", "init=003,order=000"):
        record = json.loads((folder / name / "trial.json").read_text())
        (folder / name / "trial.json").write_text(json.dumps(record | {"status": "nonfinite"}))
    return finished_trials(read_sweep(folder))


def grids(blocks):
    """Every grid of panels, also those under a heading that unfolds."""
    for block in blocks:
        if block["type"] == "panel-grid":
            yield block["metadata"]
        yield from grids(block.get("collapsedChildren") or [])


def panels_of(sent):
    """All panels, each with the run sets that it draws."""
    section = sent["workspace"]["spec"]["section"]
    for part in section["panelBankConfig"]["sections"]:
        yield from ((panel, section["runSets"]) for panel in part["panels"])
    for grid in grids(sent["report"]["spec"]["blocks"]):
        yield from ((panel, grid["runSets"]) for panel in grid["panelBankSectionConfig"]["panels"])


def keys_of(panel):
    """The (kind, key) pairs that a panel takes its data from."""
    config, kind = panel["config"], panel["viewType"]
    if kind == "Run History Line Plot":
        keys = {("history", key) for key in (config["xAxis"], *config["metrics"])}
    elif kind in ("Bar Chart", "Scalar Chart"):
        keys = {("summary", key) for key in config["metrics"]}
    elif kind == "Scatter Plot":
        keys = {tuple(config[axis].split(":")) for axis in ("xAxis", "yAxis")}
    elif kind == "Parallel Coordinates Plot":
        keys = {tuple(column["accessor"].split(":")) for column in config["columns"]}
    elif kind == "Media Browser":
        keys = {("history", key) for key in config["mediaKeys"]}
    else:
        raise AssertionError(f"no test knows where {kind} takes its data from")
    keys |= {("config", config["groupBy"])} if config.get("groupBy") else set()
    return {(kind, key.removesuffix(".value") if kind == "config" else key) for kind, key in keys}


def conditions(runs):
    return {(item["key"]["section"], item["key"]["name"]): item["value"] for item in runs["filters"]["filters"]}


def links(part):
    """All (text, address) pairs of links."""
    if isinstance(part, list):
        return [link for each in part for link in links(each)]
    if not isinstance(part, dict):
        return []
    own = [(part["children"][0]["text"], part["url"])] if part.get("type") == "link" else []
    return own + [link for each in part.values() for link in links(each)]


def texts(sent):
    """The report's words, a line a block."""
    blocks = sent["report"]["spec"]["blocks"]
    return [
        block.get("content") or "".join(child.get("text", "") for child in block["children"])
        for block in blocks
        if block["type"] in ("paragraph", "markdown-block", "heading")
    ]


def test_every_key_that_a_panel_draws_is_logged_by_every_run_that_it_draws(logged):
    study, runs = logged
    seen = set()
    for panel, [drawn] in panels_of(preview(study, PLACE)):
        for kind, key in keys_of(panel):
            for run in runs[conditions(drawn)["run", "jobType"]]:
                assert key in getattr(run, kind), (panel["config"], key)
            seen.add((kind, key))
    assert len(runs["trial"]) == 4 and len(runs["report"]) == 1
    assert seen >= {("config", "init"), ("config", "order"), ("summary", "best_found"), ("summary", "diverged")}
    assert seen >= {("history", key) for key in ("validation/score", "train/loss", "gradient_norm/head", "epoch")}
    for run in runs["trial"]:
        drawn = [getattr(run, kind)[key] for kind, key in seen if key in getattr(run, kind)]
        assert all(type(value) in (int, float) for value in drawn)


def test_the_table_of_runs_has_columns_that_they_fill(logged):
    study, runs = logged
    runset = preview(study, PLACE)["workspace"]["spec"]["section"]["runSets"][0]
    columns = [column.split(":") for column in runset["runFeed"]["columnOrder"] if column != "run:displayName"]
    assert len(columns) == 7
    for kind, key in columns:
        assert all(key.removesuffix(".value") in getattr(run, kind) for run in runs["trial"])
    [sort] = runset["sort"]["keys"]
    assert sort["key"]["section"] == "summary" and sort["key"]["name"] in runs["trial"][0].summary


def test_panels_draw_the_runs_of_the_sweep_alone_and_rows_those_of_their_seed(logged):
    study, runs = logged
    rows = []
    for _, [drawn] in panels_of(preview(study, PLACE)):
        found = conditions(drawn)
        assert found.pop(("run", "group")) == runs["trial"][0].group == "my-sweep"
        assert runs[found.pop(("run", "jobType"))]
        rows += [(name, value) for (section, name), value in found.items() if section == "config"]
    assert sorted(rows) == sorted(2 * [("init", 0), ("init", 1), ("order", 0), ("order", 1)])
    assert {(run.config["init"], run.config["order"]) for run in runs["trial"]} == set(np.ndindex(2, 2))


def test_links_lead_to_the_runs_of_the_trials_that_they_name(logged):
    study, runs = logged
    ids = {f"init={run.config['init']:03d},order={run.config['order']:03d}": run.id for run in runs["trial"]}
    found = links(preview(study, PLACE)["report"])
    trials = [(text, address) for text, address in found if text in ids]
    best = study.trials.loc[study.scores.argmax()]
    assert trials[0][0] == f"init={best['init']:03d},order={best['order']:03d}"
    assert all(address == f"https://wandb.example.org/me/mine/runs/{ids[text]}" for text, address in trials)
    assert ("group", "https://wandb.example.org/me/mine/groups/my-sweep") in found
    assert ("Dodge et al. (2020)", "https://arxiv.org/abs/2002.06305") in found


@pytest.mark.parametrize(
    "name",
    ["grammar-minilm-default,recipe.learning_rate=0.0001", 'it\'s "mine"', r"a\b", "a == b or (c and d)", "Größe 1 €"],
)
def test_a_sweep_of_any_name_is_found_by_its_name(write_sweep, tmp_path, name):
    study = finished_trials(read_sweep(write_sweep(tmp_path / name, 2, 2)))
    sent = preview(study, PLACE)
    found = [conditions(runs)["run", "group"] for _, [runs] in panels_of(sent)]
    assert len(found) > 10 and set(found) == {name}
    assert sent["report"]["displayName"] == f"{name}: what the seeds did"


def test_the_report_says_what_the_records_say(study):
    scores = study.scores
    best = study.trials.loc[scores.argmax()]
    sent = preview(study, PLACE)
    words = "\n".join(texts(sent))
    assert f"the best of 24 trials (init seed {best['init']}, order seed {best['order']})" in words
    assert f"reached {scores.max():.3f}; the mean is {scores.mean():.3f}" in words
    assert f"the standard deviation {scores.std(ddof=1):.3f}" in words
    assert "2 of 24 trials diverged" in words
    diverged = [text for text, _ in links(sent["report"]) if text in ("init=001,order=002", "init=003,order=000")]
    assert len(set(diverged)) == 2
    assert sent["report"]["description"] == "grammar, accuracy: 24 finished trials"
    table = [line.split(" | ") for line in words.splitlines() if line.startswith("| ")]
    rows = {int(row[0].strip("| ")): float(row[1]) for row in table[2:]}
    assert max(rows) == 24
    for n, value in rows.items():
        assert value == pytest.approx(expected_max(scores)[n - 1], abs=5e-5)


def test_the_command_for_the_figure_sends_it_where_the_report_looks(study):
    command = next(line for line in texts(preview(study, PLACE)) if "seedgrid report" in line)
    assert command.endswith(f"sweep={study.sweep.folder} logger=wandb logger.entity=me logger.project=mine")


def test_the_workspace_is_where_the_report_says(study):
    report = (
        build_report(study, PLACE, "https://wandb.example.org/me/mine?nw=abc")._to_model().model_dump(by_alias=True)
    )
    assert ("workspace", "https://wandb.example.org/me/mine?nw=abc") in links(report)


def headings(sent):
    """The report's headings, each with the number of grids that it unfolds to."""
    blocks = sent["report"]["spec"]["blocks"]
    found = [block for block in blocks if block["type"] == "heading"]
    return {block["children"][0]["text"]: len(block.get("collapsedChildren") or []) for block in found}


def test_a_grid_of_many_seeds_has_no_row_for_each(write_sweep, tmp_path):
    sent = preview(finished_trials(read_sweep(write_sweep(tmp_path / "long", 26, 2))), PLACE)
    rows = {text: number for text, number in headings(sent).items() if number}
    assert rows == {"Grid of curves: a row for each order seed": 2}
    assert "No grid of curves by init seed: its 26 rows would be more than 25." in texts(sent)


def test_independent_pairs_are_not_averaged_by_seed(write_sweep, tmp_path):
    folder = write_sweep(tmp_path / "pairs", 3, 3)
    for init, order in np.ndindex(3, 3):
        if init != order:
            shutil.rmtree(folder / f"init={init:03d},order={order:03d}")
    sent = preview(finished_trials(read_sweep(folder)), PLACE)
    assert not any("groupBy" in panel["config"] for panel, _ in panels_of(sent))
    assert not any(headings(sent).values())


def test_where_trials_were_stopped_for_their_scores_no_share_of_diverged_is_drawn(write_sweep, tmp_path):
    folder = write_sweep(tmp_path / "rungs", 3, 3, status={(2, order): "stopped" for order in range(3)})
    sent = preview(finished_trials(read_sweep(folder)), PLACE)
    assert not any(("summary", "diverged") in keys_of(panel) for panel, _ in panels_of(sent))
    assert "the best of 9 trials, 6 of them trained to the end" in "\n".join(texts(sent))


class StandIn(BaseHTTPRequestHandler):
    """Answers W&B's client as its server does where it makes projects and views; keeps what it was sent."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"]))) if self.path == "/graphql" else {}
        query, given = asked.get("query", ""), asked.get("variables")
        answer = {
            "viewer": {"id": "1", "username": "me", "entity": "me", "email": "", "flags": "{}", "teams": {"edges": []}}
        }
        if "models(" in query:
            answer = {"models": {"pageInfo": {"endCursor": None, "hasNextPage": False}, "edges": []}}
        elif "upsertModel" in query:
            self.server.projects.append(given["input"])
            answer = {"result": {"project": None, "model": None, "inserted": True}}
        elif "upsertView" in query:
            self.server.views.append(given)
            project = {"name": given["projectName"], "entityName": given["entityName"]}
            answer = {"upsertView": {"view": {**given, "id": "Vmlldzox", "project": project}, "inserted": True}}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"data": answer}).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), StandIn) as opened:
        opened.projects, opened.views = [], []
        threading.Thread(target=opened.serve_forever, daemon=True).start()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{opened.server_port}")
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        monkeypatch.delenv("WANDB_MODE", raising=False)
        yield opened
        opened.shutdown()


def test_wandbs_own_client_sends_the_workspace_and_the_report_that_are_previewed(
    study, server, run_command, tmp_path, monkeypatch
):
    monkeypatch.setattr("sys.orig_argv", [sys.executable])  # where a command that is told looks how it was typed
    monkeypatch.chdir(tmp_path)
    done = run_command("dashboard", f"sweep={study.sweep.folder}", "logger.project=mine", cwd=tmp_path, new=True)
    assert done.returncode == 0, done.stderr
    workspace, report = server.views
    assert server.projects[0] == {"entityName": "me", "name": "mine"}
    for sent in (workspace, report):
        assert (sent["entityName"], sent["projectName"]) == ("me", "mine")
        assert sent["displayName"] == "grid: what the seeds did"
    address = f"http://127.0.0.1:{server.server_port}"
    previewed = preview(study, Place(address, "me", "mine"))
    assert same(json.loads(workspace["spec"])) == same(previewed["workspace"]["spec"])
    made = f"{address}/me/mine?nw={workspace['name'].removeprefix('nw-').removesuffix('-v')}"
    linked = json.dumps(previewed["report"]["spec"]).replace(f'"{address}/me/mine"', json.dumps(made))
    assert same(json.loads(report["spec"])) == same(json.loads(linked))
    lines = done.stdout.splitlines()
    assert lines[0] == "grid" and lines[1].split() == ["workspace", made]
    assert lines[2].split()[1].startswith(f"{address}/me/mine/reports/")


def same(spec):
    """Without what the library draws anew for each panel."""
    if isinstance(spec, dict):
        return {key: same(value) for key, value in spec.items() if key not in ("__id__", "id", "ref")}
    return [same(each) for each in spec] if isinstance(spec, list) else spec
