"""What the storage of a search costs: operations per second with 1, 2, 4, 8 workers.

    python scripts/benchmark_storage.py [--seconds 6] [--workers 1,2,4,8] [--epochs 10]

Each worker is a process that runs trials as a search does, without training anything: ask, suggest
three parameters, report after every epoch and ask whether to prune, tell. They all share one study.
The table gives trials and operations (one ask, report or tell each) per second of all workers
together, the milliseconds that one of each takes, and the time lost per trial.
PostgreSQL needs Debian's packages (a server is started on loopback).
"""

import argparse
import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from tests.sweep.postgresql_server import PostgresServer, find_binaries  # noqa: E402

SPACE = {"x": (0.0, 1.0), "y": (0.0, 1.0), "z": (0.0, 1.0)}


def work(url: str, seconds: float, epochs: int, barrier: Any, results: Any) -> None:
    """Run trials for some seconds, and put the times of the operations into a queue."""
    import optuna

    from pochitrain.sweep.storage import open_storage

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    began = time.perf_counter()
    storage = open_storage(url, is_job=True)
    study = optuna.load_study(
        study_name="s",
        storage=storage,
        sampler=optuna.samplers.RandomSampler(),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=10**9),  # looks, and never prunes
    )
    times: dict[str, list[float]] = {"open": [time.perf_counter() - began]}

    def measure(name: str, call: Any) -> Any:
        start = time.perf_counter()
        value = call()
        times.setdefault(name, []).append(time.perf_counter() - start)
        return value

    barrier.wait()
    end = time.perf_counter() + seconds
    cpu, count = time.process_time(), 0
    while time.perf_counter() < end:
        trial = measure("ask", lambda: begin(study))
        for epoch in range(1, epochs + 1):
            measure("report", lambda t=trial, e=epoch: (t.report(1.0, e), t.should_prune()))
        measure("tell", lambda t=trial: study.tell(t, 1.0))
        measure("list", lambda: study.get_trials(deepcopy=False))
        count += 1
    results.put((count, times, time.process_time() - cpu))


def begin(study: Any) -> Any:
    trial = study.ask()
    trial.set_user_attr("pochitrain:search", "token")
    for name, (low, high) in SPACE.items():
        trial.suggest_float(name, low, high)
    return trial


@contextmanager
def storage_url(
    kind: str, folder: Path, server: PostgresServer | None
) -> Iterator[tuple[str, list[int]]]:
    """The URL of an empty storage of a kind, and the ids of the processes that serve it."""
    name = f"b{time.time_ns()}"
    if kind == "sqlite":
        yield f"sqlite:///{folder}/{name}.db", []
    elif kind == "journal":
        yield f"journal://{folder}/{name}.journal", []
    else:
        assert server is not None and server.process is not None
        url = server.make_database(name)
        if kind == "postgresql":
            yield url, [server.process.pid]
            return
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        words = [sys.executable, "-m", "pochitrain.sweep.proxy", url, "--port", str(port)]
        proxy = subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=REPOSITORY
        )
        try:
            yield f"grpc://localhost:{port}", [server.process.pid, proxy.pid]
        finally:
            proxy.kill()
            proxy.wait()


def processor_s(processes: list[int]) -> float:
    """Seconds of processor time of processes and the children that they have waited for."""
    ticks = 0
    for pid in processes:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def run(
    url: str, workers: int, seconds: float, epochs: int, before: int, servers: list[int]
) -> dict[str, Any]:
    """Measure one storage with a number of workers.

    Args:
        before: finished trials that the study has at the start.
        servers: ids of the processes that serve the storage.
    """
    import optuna

    from pochitrain.sweep.password import hide_password
    from pochitrain.sweep.storage import open_storage

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = hide_password(url)  # the workers find the password in their environment
    deadline = time.monotonic() + 30
    while True:
        try:
            study = optuna.create_study(study_name="s", storage=open_storage(url))
            break
        except Exception:  # the proxy starts
            if time.monotonic() > deadline:
                raise
    for _ in range(before):
        study.tell(begin(study), 1.0)
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(workers), context.Queue()
    cpu_before = processor_s(servers)
    processes = [
        context.Process(target=work, args=(url, seconds, epochs, barrier, results))
        for _ in range(workers)
    ]
    for process in processes:
        process.start()
    found = [results.get(timeout=seconds + 120) for _ in processes]
    for process in processes:
        process.join()
    trials = sum(count for count, _, _ in found)
    server_cpu = processor_s(servers) - cpu_before
    merged = {
        name: [value for _, times, _ in found for value in times.get(name, [])]
        for name in ("open", "ask", "report", "tell", "list")
    }
    numbers = [trial.number for trial in study.get_trials(deepcopy=False)]
    assert numbers == list(range(before + trials)), "a trial was lost, or made twice"
    medians = {name: 1e3 * statistics.median(values) for name, values in merged.items()}
    lost = sum(sum(merged[name]) for name in ("ask", "report", "tell")) / trials
    return {
        "workers": workers,
        "trials_per_s": trials / seconds,
        "operations_per_s": trials * (epochs + 2) / seconds,
        **{f"{name}_ms": value for name, value in medians.items()},
        "lost_per_trial_s": lost,
        "worker_cpu_ms_per_trial": 1e3 * sum(cpu for _, _, cpu in found) / trials,
        "server_cpu_ms_per_trial": 1e3 * server_cpu / trials,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--workers", default="1,2,4,8")
    parser.add_argument("--storages", default="sqlite,journal,postgresql,grpc")
    parser.add_argument("--before", type=int, default=0, help="finished trials at the start")
    parser.add_argument("--output", type=Path, help="a JSON file for the rows")
    options = parser.parse_args()
    kinds = options.storages.split(",")
    server = None
    if find_binaries() is None:
        kinds = [kind for kind in kinds if kind not in ("postgresql", "grpc")]
        print("PostgreSQL is not installed: measured without it.")
    elif {"postgresql", "grpc"} & set(kinds):
        server = PostgresServer(max_connections=100)
    folder = Path(tempfile.mkdtemp(prefix="benchmark_storage_"))
    rows = []
    print(
        f"{'storage':<11}{'workers':>8}{'trials/s':>10}{'ops/s':>8}{'ask ms':>8}{'report ms':>10}"
        f"{'tell ms':>9}{'list ms':>9}{'open ms':>9}{'lost s/trial':>14}"
        f"{'CPU ms/trial':>14}{'of server':>11}"
    )
    try:
        for workers in map(int, options.workers.split(",")):
            for kind in kinds:
                with storage_url(kind, folder, server) as (url, pids):
                    row = run(url, workers, options.seconds, options.epochs, options.before, pids)
                rows.append({"storage": kind, "before": options.before, **row})
                print(
                    f"{kind:<11}{workers:>8}{row['trials_per_s']:>10.2f}"
                    f"{row['operations_per_s']:>8.0f}{row['ask_ms']:>8.1f}{row['report_ms']:>10.1f}"
                    f"{row['tell_ms']:>9.1f}{row['list_ms']:>9.1f}{row['open_ms']:>9.0f}"
                    f"{row['lost_per_trial_s']:>14.3f}{row['worker_cpu_ms_per_trial']:>14.0f}"
                    f"{row['server_cpu_ms_per_trial']:>11.0f}",
                    flush=True,
                )
    finally:
        if server is not None:
            server.close()
    if options.output:
        options.output.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
