"""``seedgrid view``: what its server shows of the sweeps below a folder, what it makes, and what it refuses."""

from __future__ import annotations

import html
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import datetime
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pyarrow.parquet as pq
import pytest

from seedgrid.records.store import read_sweep, trial_lock
from seedgrid.report.comparing import compare
from seedgrid.report.viewing import ViewSettings, open_server, view
from seedgrid.settings import read_config

WAITING = "<h1>Making "


@pytest.fixture
def serve(entry):
    """Start the real server for a folder; gives its address, without the last slash."""
    opened = []

    def served(runs, *more):
        words = ("port=0", "splits=2", "draws=50", "max_budget=5", *more)
        server = open_server(read_config(entry("view", f"runs='{runs}'", *words), ViewSettings))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        opened.append((server, thread))
        return server.url.removesuffix("/")

    yield served
    for server, thread in opened:
        server.shutdown()
        thread.join()
        server.server_close()


def get(url):
    with urlopen(url, timeout=60) as answer:
        return answer.read().decode()


def made(url):
    """A page that may have to be made first; gives it, and whether it was waited for."""
    deadline, waited = time.monotonic() + 120, False
    while (page := get(url)).count(WAITING):
        assert time.monotonic() < deadline, page
        waited = True
        time.sleep(0.1)
    return page, waited


def refused(url, said=""):
    """The status of what is no page; its text says so."""
    with pytest.raises(HTTPError) as error:
        made(url)
    text = html.unescape(error.value.read().decode())
    assert said in text and "Traceback" not in text
    return error.value.code


def ask(url, path, method="GET", **headers):
    """Status and content for a path that is sent as it is."""
    connection = http.client.HTTPConnection(*url.removeprefix("http://").split(":"), timeout=60)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode(), answer.headers


def text_of(markup):
    return html.unescape(re.sub(r"<[^>]+>", "", markup)).strip()


def rows(page):
    """The cells of the index's tables, by sweep and column."""
    head = [text_of(cell) for cell in re.findall(r"<th[ >].*?</th>|<th>.*?</th>", page.partition("<tbody>")[0])]
    lines = [
        re.findall(r"<t[hd][ >].*?</t[hd]>", line) for line in re.findall(r"<tr>\n(<th scope.*?)</tr>", page, re.S)
    ]
    named = (dict(zip(head, map(text_of, line), strict=True)) for line in lines)
    return {row[head[0]]: row for row in named}


@pytest.fixture(scope="module")
def sweeps(write_sweep, tmp_path_factory):
    """Two sweeps that can be compared, one of them two levels down, and one of another task."""
    folder = tmp_path_factory.mktemp("runs")
    write_sweep(folder / "study" / "one" / "low", inits=3, orders=4, mean=0.52)
    write_sweep(folder / "high", inits=3, orders=4, seed=1, identity={"recipe.learning_rate": 2e-4})
    write_sweep(folder / "other", inits=2, orders=2, seed=2, task="mrpc", metric="f1", diverged_at=0.75)
    (folder / "notes").mkdir()
    return folder


# ------------------------------------------------------------------------------------------------------------ the index


def test_the_index_shows_the_numbers_of_the_records(serve, sweeps):
    page = get(f"{serve(sweeps)}/")
    shown = rows(page)
    assert list(shown) == ["high", "study/one/low", "other"]
    assert re.findall(r"<h2>(.*?)</h2>", page) == [
        "grammar, accuracy, 40 validation examples",
        "mrpc, f1, 40 validation examples",
    ]
    for name, row in shown.items():
        trials = read_sweep(sweeps / name).trials
        scores, best = trials["best_found"], trials.loc[trials["best_found"].idxmax()]
        assert row["best found"] == f"{scores.max():.4f}"
        assert row["by seeds"] == f"init {best['init']}, order {best['order']}"
        assert (row["mean"], row["std"]) == (f"{scores.mean():.4f}", f"{scores.std():.4f}")
        assert row["diverged"] == f"{trials['diverged'].sum()} of {len(trials)}"
        assert row["trials"] == f"{len(trials)} completed"
        assert (row["a trial"], row["model"]) == ("2 min", "tiny")
        written = max(path.stat().st_mtime for path in (sweeps / name).glob("*/trial.json"))
        assert row["last change"] == f"{datetime.fromtimestamp(written):%Y-%m-%d %H:%M}"
    assert 0 < read_sweep(sweeps / "study/one/low").trials["diverged"].sum() < 12
    assert page.count("data:image/svg+xml") == 2
    assert not re.search(r"\bnan\b|<script", page, re.IGNORECASE)


def test_the_index_is_made_anew_each_time(serve, write_sweep, tmp_path):
    url = serve(tmp_path / "runs")
    assert f"No sweep in {tmp_path / 'runs'} yet: there is no such folder." in get(f"{url}/")
    (tmp_path / "runs").mkdir()
    assert f"No sweep in {tmp_path / 'runs'} yet. Run one" in get(f"{url}/")
    assert "seedgrid train -m experiment=debug" in get(f"{url}/")
    folder = write_sweep(tmp_path / "runs" / "mine", 1, 3, status={(0, 1): "running", (0, 2): "running"})
    with trial_lock(folder / "init=000,order=001"):
        assert rows(get(f"{url}/"))["mine"]["trials"] == "running: 1 completed, 1 running, 1 interrupted"
    assert rows(get(f"{url}/"))["mine"]["trials"] == "1 completed, 2 interrupted"
    write_sweep(folder, 1, 3)
    assert rows(get(f"{url}/"))["mine"]["trials"] == "3 completed"
    assert "make sweep" not in get(f"{url}/")


def test_a_sweep_without_a_finished_trial_has_a_row_and_no_scores(serve, write_sweep, tmp_path):
    write_sweep(tmp_path / "begun", 1, 1, status={(0, 0): "running"})
    url = serve(tmp_path)
    row = rows(get(f"{url}/"))["begun"]
    assert (row["trials"], row["best found"], row["mean"], row["diverged"]) == ("1 interrupted", "-", "-", "-")
    assert refused(f"{url}/begun/report/", "no finished trial with a score; let the sweep run first") == 404


def test_where_trials_were_stopped_for_their_scores_only_the_best_is_shown(serve, write_sweep, tmp_path):
    write_sweep(tmp_path / "many", 2, 2, status={(0, 0): "stopped", (1, 1): "stopped"})
    page = get(f"{serve(tmp_path)}/")
    row = rows(page)["many"]
    assert row["trials"] == "2 completed, 2 stopped"
    assert row["best found"] == f"{read_sweep(tmp_path / 'many').trials['best_found'].max():.4f}"
    assert (row["mean"], row["std"], row["diverged"]) == ("-", "-", "-")
    assert "2 trials of 4 stopped for their scores" in page


def test_a_damaged_sweep_is_said_to_be_and_hides_no_other(serve, write_sweep, tmp_path):
    for name in ("cut", "odd", "sound"):
        write_sweep(tmp_path / name, 1, 3)
    url = serve(tmp_path)
    assert len(rows(get(f"{url}/"))) == 3
    cut = tmp_path / "cut" / "init=000,order=001" / "evaluations.parquet"
    cut.write_bytes(b"PAR1")
    record = tmp_path / "odd" / "init=000,order=000" / "trial.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"config": []}))
    page = get(f"{url}/")
    assert list(rows(page)) == ["sound"]
    said = dict(re.findall(r"<li><strong>(.*?)</strong>: (.*?)</li>", html.unescape(page)))
    assert said["cut"] == f"{cut}: damaged; redo=true runs the trial again"
    assert said["odd"].startswith(f"{tmp_path / 'odd'}: cannot be read")
    assert refused(f"{url}/cut/report/", f"{cut}: damaged") == 404
    assert refused(f"{url}/odd/report/", "cannot be read") == refused(f"{url}/sound/compare-odd/") == 404
    assert made(f"{url}/sound/report/")


def test_sweeps_on_other_validation_examples_stand_apart_and_are_not_offered_for_comparison(
    serve, write_sweep, tmp_path
):
    write_sweep(tmp_path / "here", 1, 2)
    write_sweep(tmp_path / "there", 1, 2, identity={"data.validation": "other"})
    page = get(f"{serve(tmp_path)}/")
    assert page.count("<h2>grammar, accuracy, 40 validation examples</h2>") == 2
    assert page.count("Other validation examples than above") == 1
    assert "<form" not in page


def test_a_folder_that_is_a_sweep_itself_is_shown(serve, sweeps):
    url = serve(sweeps / "high")
    assert list(rows(get(f"{url}/"))) == ["high"]
    assert "What the seeds did: high" in made(f"{url}/high/report/")[0]


def test_names_become_neither_markup_nor_other_addresses(serve, write_sweep, tmp_path):
    name = "a&b <i>#1?x=2 %41"
    write_sweep(tmp_path / "runs" / name, 1, 3)
    url = serve(tmp_path / "runs")
    page = get(f"{url}/")
    assert "<i>" not in page
    assert list(rows(page)) == [name]
    [link] = re.findall(r'<a href="(/.*?)">', page)
    assert f"<h1>What the seeds did: {html.escape(name)}</h1>" in made(url + html.unescape(link))[0]


# ---------------------------------------------------------------------------------------------------------- the reports


def test_a_report_is_made_when_it_is_asked_for_and_again_after_a_new_trial(serve, write_sweep, tmp_path):
    folder = write_sweep(tmp_path / "mine", 2, 3)
    url = serve(tmp_path)
    assert ask(url, "/mine/report")[2]["Location"] == "/mine/report/"
    page, waited = made(f"{url}/mine/report/")
    assert waited and "mine: 6 finished trials of tiny on grammar" in page
    assert page == (folder / "report" / "index.html").read_text()
    kinds = {"svg": "image/svg+xml", "png": "image/png", "csv": "text/csv; charset=utf-8"}
    linked = re.findall(r'href="((?:figures|tables)/[^"]+\.(svg|png|csv))"', page)
    assert len(linked) > 20
    for file, kind in linked:
        with urlopen(f"{url}/mine/report/{file}", timeout=60) as answer:
            assert answer.headers["Content-Type"] == kinds[kind]
            assert answer.read() == (folder / "report" / file).read_bytes()
    assert made(f"{url}/mine/report/") == (page, False)

    # As rsync and cp -p bring trials: older than the page.
    write_sweep(tmp_path / "more", 2, 4)
    arrived = folder / "init=001,order=003"
    (tmp_path / "more" / arrived.name).rename(arrived)
    for file in arrived.iterdir():
        os.utime(file, (1_000_000_000, 1_000_000_000))
    assert "as it was" in get(f"{url}/mine/report/")
    page, waited = made(f"{url}/mine/report/")
    assert waited and "mine: 7 finished trials" in page


def test_a_report_of_another_level_is_made_anew(serve, write_sweep, tmp_path):
    write_sweep(tmp_path / "mine", 1, 3)
    url = serve(tmp_path)
    page, _ = made(f"{url}/mine/report/")
    assert made(f"{url}/mine/report/") == (page, False)
    assert WAITING in get(f"{serve(tmp_path, 'level=0.9')}/mine/report/")


def test_a_page_is_as_old_as_the_trials_that_it_was_made_of(write_sweep, tmp_path):
    """What decides whether ``seedgrid view`` makes a page again; whatever the files' times are."""
    folder = write_sweep(tmp_path / "mine", 2, 2, status={(1, 1): "running"})
    before = read_sweep(folder).digest
    os.utime(folder / "init=000,order=000" / "trial.json")
    write_sweep(tmp_path / "other" / "mine", 2, 2, seed=1, status={(1, 1): "running"})
    others = tmp_path / "other" / "mine"
    running = "init=001,order=001"
    shutil.rmtree(folder / running)
    assert read_sweep(folder).digest == before
    shutil.copytree(others / running, folder / running)
    assert read_sweep(folder).digest == before
    shutil.copytree(others / "init=000,order=001", folder / "init=000,order=001", dirs_exist_ok=True)
    changed = read_sweep(folder).digest
    shutil.rmtree(folder / "init=000,order=000")
    left = read_sweep(folder).digest
    assert len({before, changed, left, read_sweep(folder.rename(tmp_path / "renamed")).digest}) == 4


def test_a_report_is_shown_though_trials_ended_while_it_was_made(serve, write_sweep, tmp_path):
    folder = write_sweep(tmp_path / "mine", 2, 3)
    url = serve(tmp_path)
    while "<progress" not in get(f"{url}/mine/report/"):
        time.sleep(0.05)
    shutil.rmtree(folder / "init=000,order=000")
    assert "What the seeds did" in made(f"{url}/mine/report/")[0]
    assert WAITING in get(f"{url}/mine/report/")


def test_what_a_running_trial_writes_leaves_the_report_as_it_is(serve, write_sweep, tmp_path):
    folder = write_sweep(tmp_path / "mine", 2, 3, status={(1, 2): "running"})
    url = serve(tmp_path)
    page = made(f"{url}/mine/report/")[0]
    running = folder / "init=001,order=002"
    pq.write_table(pq.read_table(running / "evaluations.parquet").slice(0, 2), running / "evaluations.parquet")
    later = time.time() + 3600
    os.utime(running / "trial.json", (later, later))
    assert made(f"{url}/mine/report/") == (page, False)


def test_reports_are_made_one_after_the_other(serve, sweeps):
    url = serve(sweeps)
    for name in ("study/one/low", "other"):
        (sweeps / name / "report" / "index.html").unlink(missing_ok=True)
    assert WAITING in get(f"{url}/study/one/low/report/")
    assert "waiting for another page" in get(f"{url}/other/report/")
    assert "What the seeds did: other" in made(f"{url}/other/report/")[0]
    assert WAITING not in get(f"{url}/study/one/low/report/")


def test_a_folder_that_holds_something_else_is_not_written_to(serve, write_sweep, tmp_path):
    folder = write_sweep(tmp_path / "mine", 1, 3) / "report"
    folder.mkdir()
    (folder / "thesis.tex").write_text("mine")
    assert refused(f"{serve(tmp_path)}/mine/report/", "not empty, and without such a page") == 404
    assert list(folder.iterdir()) == [folder / "thesis.tex"]


def test_two_sweeps_of_a_task_are_compared_as_by_the_command(serve, sweeps, entry, tmp_path, capsys):
    url = serve(sweeps)
    form = re.search(r'<form action="/compare">.*?</form>', get(f"{url}/"), re.S).group()
    offered = re.findall(r"<option( selected)?>(.*?)</option>", form)
    assert offered == [(" selected", "high"), ("", "study/one/low"), ("", "high"), (" selected", "study/one/low")]
    page = made(f"{url}/compare?{urlencode({'a': 'high', 'b': 'study/one/low'})}")[0]
    words = (f"a={sweeps / 'high'}", f"b={sweeps / 'study/one/low'}", "draws=50", "max_budget=5")
    compare(entry("compare", *words, f"output={tmp_path / 'page'}"))
    readings = re.findall(r'<p class="reading">(.*?)</p>', page, re.S)
    assert len(readings) > 3
    assert readings == re.findall(r'<p class="reading">(.*?)</p>', (tmp_path / "page/index.html").read_text(), re.S)
    assert refused(f"{url}/compare?a=high&b=other", "different task, grammar and mrpc") == 404
    assert refused(f"{url}/compare?a=high&b=high", "the same sweep; name two") == 404
    assert refused(f"{url}/compare?a=high&b=gone") == refused(f"{url}/compare") == 404


# ------------------------------------------------------------------------------------------------------ what is refused


def test_only_the_files_of_a_report_are_served(serve, write_sweep, tmp_path):
    folder = write_sweep(tmp_path / "runs" / "mine", 1, 3)
    url = serve(tmp_path / "runs")
    made(f"{url}/mine/report/")
    (tmp_path / "secret.csv").write_text("secret")
    (folder / "report" / "link.csv").symlink_to(tmp_path / "secret.csv")
    (folder / "report" / "folder").symlink_to(tmp_path)
    (folder / "report" / ".hidden").write_text("secret")
    assert ask(url, "/mine/report/index.html")[0] == 200
    for path in (
        "/mine/report/link.csv",
        "/mine/report/folder/secret.csv",
        "/mine/report/../../../secret.csv",
        "/mine/report/%2e%2e/%2e%2e/%2e%2e/secret.csv",
        "/mine/report/..%2f..%2f..%2fsecret.csv",
        f"/mine/report/{tmp_path}/secret.csv",
        f"/mine/report/%2f{tmp_path}/secret.csv",
        "/../secret.csv",
        "//secret.csv",
        "/mine/../../secret.csv",
        "/mine/report/.hidden",
        "/mine/report/figures/",
        "/mine/report/figures",
        "/mine/report/%00.csv",
        f"/mine/report/{'x' * 5000}.csv",
        "/mine/init=000,order=000/trial.json",
        "/mine/init=000,order=000/",
        "/mine/report/../init=000,order=000/trial.json",
        "/mine/",
        "/mine",
        "/favicon.ico",
    ):
        status, content, _ = ask(url, path)
        assert (status, "secret" in content, "record_version" in content) == (404, False, False), path


def test_a_report_folder_that_is_a_link_to_elsewhere_is_not_served(serve, write_sweep, tmp_path):
    sweep = write_sweep(tmp_path / "runs" / "mine", 1, 3)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "index.html").write_text("<title>What the seeds did</title>secret")
    (sweep / "report").symlink_to(elsewhere)
    later = time.time() + 3600
    os.utime(elsewhere / "index.html", (later, later))
    url = serve(tmp_path / "runs")
    assert refused(f"{url}/mine/report/") == refused(f"{url}/mine/report/index.html") == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost@evil", ""])
def test_another_name_is_not_answered_to(serve, sweeps, host):
    status, content, _ = ask(serve(sweeps), "/", Host=host)
    assert status == 403
    assert "high" not in content


def test_pages_are_read_only_and_by_this_machine_alone(serve, sweeps):
    url = serve(sweeps)
    port = int(url.rpartition(":")[2])
    status, content, headers = ask(url, "/", "HEAD", Host=f"localhost:{port}")
    assert (status, content, headers["Cache-Control"]) == (200, "", "no-cache")
    assert int(headers["Content-Length"]) > 1000
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(url, "/", method)[0] == 501
    # A server bound to all addresses would be found at any of this machine's, and all of 127.0.0.0/8 are.
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=10)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["port=-1"], "port=-1: input should be greater than or equal to 0"),
        (["port=70000"], "port=70000: input should be less than or equal to 65535"),
        (["runs={file}"], "runs={file}: a file; name the folder that sweeps are in"),
        (["runs=''"], "runs=: string should have at least 1 character"),
        (["level=95"], "level=95: input should be less than 1"),
        (["level=0.5", "power=0.5"], "power=0.5: give more than 1 - level"),
    ],
)
def test_bad_input_is_one_line(entry, words, said):
    words, said = ([word.format(file=__file__) for word in words], said.format(file=re.escape(__file__)))
    with pytest.raises(SystemExit, match=rf"^error: [^\n]*{said}[^\n]*$"):
        view(entry("view", *words))


def test_a_port_in_use_is_one_line_with_the_remedy(run_command, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_command("view", "runs=.", f"port={port}", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: port={port}: in use; give another one, or port=0 for any that is free\n"


@pytest.mark.parametrize("busy", [False, True])
def test_the_command_serves_until_ctrl_c(write_sweep, tmp_path, busy):
    write_sweep(tmp_path / "runs" / "mine", 2, 3)
    process = subprocess.Popen(
        [sys.executable, "-m", "seedgrid", "view", "port=0"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell's background job ignores Ctrl-C, and so would its children: a terminal's does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        line = process.stdout.readline()
        url = re.match(r"(http://127\.0\.0\.1:\d+)/ ", line).group(1)
        assert list(rows(get(f"{url}/"))) == ["mine"]
        if busy:
            while "<progress" not in get(f"{url}/mine/report/"):
                time.sleep(0.05)
        with suppress(ProcessLookupError):
            while process.poll() is None:  # pressed again and again
                os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all of its processes
                time.sleep(0.1)
        output, errors = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert (process.returncode, output, errors) == (0, "", "")
    assert not (tmp_path / "outputs").exists()
