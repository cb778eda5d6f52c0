"""Fresh processes are timed from outside, and one that dies, hangs or lies ends the check."""

from __future__ import annotations

import ctypes
import signal
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto

from onnx_models import classifier, exported, features, linear, save, save_with_weights_outside, with_columns
from pytest_prodml.checks.latency.programs import EntryProgram, OnnxProgram, file_digest
from pytest_prodml.checks.latency.spawned import STAGES, Start, Work, start_many
from pytest_prodml.codec import sha256_hex
from pytest_prodml.errors import InputError

SECONDS = 60.0
#: What the worker answers, as an entry might that pretends to be it.
COMPLETE = (
    '{"stages": {"imports": 0, "load": 0, "first_prediction": 0}, "second": 0, "steady": null, "calls": 2, '
    '"peak_bytes": 1, "peak_is_own": true, "inherited_peak_bytes": 0, "swapped_bytes": 0, "resident": [], "in_use": []}'
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> OnnxProgram:
    path = save(exported(classifier()), tmp_path_factory.mktemp("model") / "model.onnx")
    return served(path, [[{"X": features(2, seed)}] for seed in range(3)], ["probabilities"])


def served(path: Path, batches: list[list[dict[str, Any]]], outputs: list[str]) -> OnnxProgram:
    return OnnxProgram(
        path=path,
        sha256=file_digest(path),
        outputs=outputs,
        batches=batches,
        providers=["CPUExecutionProvider"],
        intra_op_threads=1,
        inter_op_threads=1,
        onnxruntime=onnxruntime.__version__,
    )


def entry(directory: Path, body: str, name: str = "made_service:load") -> EntryProgram:
    (directory / "made_service.py").write_text(textwrap.dedent(body), encoding="utf-8")
    return EntryProgram(entry=name, root=directory, paths=[directory])


def start(program: OnnxProgram | EntryProgram, work: Work | None = None, seconds: float = SECONDS) -> Start:
    [found] = start_many(program, 1, work or Work(), process_seconds=seconds)
    return found


def refused(program: OnnxProgram | EntryProgram, seconds: float = SECONDS) -> str:
    with pytest.raises(InputError) as caught:
        start(program, seconds=seconds)
    return str(caught.value)


def test_an_onnx_file_is_served_by_a_process_of_its_own(program: OnnxProgram) -> None:
    before = time.perf_counter()
    found = start(program, Work(calls=50))
    assert tuple(found.stages) == STAGES
    assert sum(found.stages.values()) == pytest.approx(found.seconds)
    assert 0 < found.seconds < time.perf_counter() - before
    assert found.calls == 50
    assert found.told["sha256"] == sha256_hex(program.path.read_bytes())
    assert found.told["executed_nodes"] == {"CPUExecutionProvider": 1}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="tells the peak of a program alone")
def test_the_peak_is_not_that_of_the_parent(program: OnnxProgram) -> None:
    held = np.ones(60_000_000)  # 480 MB, resident
    found = start(program)
    assert found.peak_is_own
    assert 20_000_000 < found.peak_bytes < held.nbytes / 2


def test_texts_travel_without_pickle(tmp_path: Path) -> None:
    path = save(with_columns(n=TensorProto.DOUBLE, word=TensorProto.STRING), tmp_path / "words.onnx")
    words = np.array([["naïve"], [""], ["日本"]], dtype=object)
    feed = {"n": np.ones((3, 1)), "word": words}
    assert start(served(path, [[feed]], ["score"])).calls == 2


@pytest.mark.parametrize("odd", ["ends with\0", 3, None])
def test_what_is_no_text_is_refused(tmp_path: Path, odd: object) -> None:
    path = save(with_columns(n=TensorProto.DOUBLE, word=TensorProto.STRING), tmp_path / "words.onnx")
    feed = {"n": np.ones((1, 1)), "word": np.array([[odd]], dtype=object)}
    assert "can not be handed to another process" in refused(served(path, [[feed]], ["score"]))


def test_a_file_that_changed_is_refused(program: OnnxProgram) -> None:
    told = refused(replace(program, sha256="0" * 64))
    assert "another file than the model that is measured" in told
    assert "run the gates again" in told


def test_another_onnxruntime_and_other_providers_are_refused(program: OnnxProgram) -> None:
    assert "finds onnxruntime" in refused(replace(program, onnxruntime="1.0"))
    asked = replace(program, providers=["CUDAExecutionProvider", "CPUExecutionProvider"])
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        assert "runs on ['CPUExecutionProvider'], not on" in refused(asked)


def test_weights_beside_the_file_are_not_read(tmp_path: Path) -> None:
    path = save_with_weights_outside(linear(), tmp_path / "split.onnx")
    told = refused(served(path, [[{"X": features(1)}]], ["score"]))
    assert "ended with status 1" in told


def test_a_missing_file_is_a_sentence(program: OnnxProgram, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can not be read"):
        file_digest(tmp_path / "none.onnx")
    told = refused(replace(program, path=tmp_path / "none.onnx"))
    assert "FileNotFoundError" in told
    assert "'none.onnx'" in told
    assert str(tmp_path) not in told


def test_an_entry_is_imported_loaded_and_called(tmp_path: Path) -> None:
    (tmp_path / "weights.txt").write_text("3", encoding="utf-8")
    made = """
        import time
        time.sleep(0.2)

        class Model:
            @staticmethod
            def load():
                weight = float(open("weights.txt").read())
                print("answered")
                time.sleep(0.1)
                return lambda: weight * 2
    """
    found = start(entry(tmp_path, made, "made_service:Model.load"), Work(calls=10))
    assert set(found.stages) == set(STAGES) - {"input"}
    assert found.stages["imports"] >= 0.2
    assert found.stages["load"] >= 0.1
    assert found.seconds >= 0.3
    assert found.told["sha256"] == sha256_hex((tmp_path / "made_service.py").read_bytes())


@pytest.mark.parametrize("name", ["service", ":load", "service:", "a b:load", "../service:load", "a:b:c"])
def test_an_entry_names_a_function(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="names no function") as caught:
        EntryProgram(entry=name, root=tmp_path, paths=[])
    assert '"module:function"' in str(caught.value)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ("import nowhere_to_be_found", "No module named 'nowhere_to_be_found'"),
        ("other = 1", "has no attribute 'load'"),
        ("def load(): raise ValueError('no licence')", "ValueError: no licence"),
        ("def load(): raise OSError('see /srv/jane/key.pem (/opt/x)')", "OSError: see key.pem (x)"),
        ("""def load(): raise OSError("at '/home/jane doe/key.pem'")""", "OSError: at 'key.pem'"),
        (r"def load(): raise OSError('C:\\Users\\jane\\key.pem and/or 3/4')", "OSError: key.pem and/or 3/4"),
        ("def load(): return 3", "returned int, which can not be called"),
        ("def load(): return lambda: 1 / 0", "ZeroDivisionError"),
        ("import os\ndef load(): os._exit(0)", "ended without an answer"),
        ("import os, signal\ndef load(): os.kill(os.getpid(), signal.SIGSEGV)", "was ended by SIGSEGV"),
        ("import os\ndef load(): return lambda: os.closerange(3, 99)", "a fresh process ended with status 1"),
    ],
)
def test_a_process_that_dies_is_told_by_its_last_words(tmp_path: Path, made: str, told: str) -> None:
    found = refused(entry(tmp_path, made))
    assert told in found
    assert str(tmp_path) not in found


def test_a_process_that_dies_after_its_first_prediction_is_no_start(tmp_path: Path) -> None:
    made = """
        import os
        def load():
            calls = []
            def call():
                calls.append(1)
                if len(calls) == 2:
                    os._exit(7)
            return call
    """
    assert "ended with status 7" in refused(entry(tmp_path, made))


@pytest.mark.parametrize(
    ("first_is_quick", "when"), [(False, "before its first prediction"), (True, "after its first prediction")]
)
def test_a_process_that_hangs_is_ended_with_what_it_started(
    tmp_path: Path, *, first_is_quick: bool, when: str
) -> None:
    made = f"""
        import os, subprocess, sys, time
        def load():
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            with open("child.txt", "w") as file:
                file.write(str(child.pid))
            calls = []
            def call():
                calls.append(1)
                if len(calls) > {int(first_is_quick)}:
                    time.sleep(600)
            return call
    """
    told = refused(entry(tmp_path, made), seconds=1.2)
    assert "took more than 1.2 s" in told
    assert when in told
    assert has_ended(int((tmp_path / "child.txt").read_text(encoding="utf-8")))


def test_a_test_that_is_interrupted_leaves_no_process(tmp_path: Path) -> None:
    made = """
        import os, time
        def load():
            with open("child.txt", "w") as file:
                file.write(str(os.getpid()))
            time.sleep(600)
    """

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    try:
        with pytest.raises(KeyboardInterrupt):
            start(entry(tmp_path, made))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert has_ended(int((tmp_path / "child.txt").read_text(encoding="utf-8")))


def test_what_a_process_leaves_running_is_ended(tmp_path: Path) -> None:
    made = """
        import subprocess, sys
        def load():
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            with open("child.txt", "w") as file:
                file.write(str(child.pid))
            return lambda: None
    """
    start(entry(tmp_path, made))
    assert has_ended(int((tmp_path / "child.txt").read_text(encoding="utf-8")))


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or waits only for its status to be read."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state in "ZX":
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(
    "answer",
    [
        "[]",
        "{}",
        "not json",
        '{"stages": {"imports": -1, "load": 0, "first_prediction": 0}}',
        COMPLETE.replace('"imports": 0', '"imports": 1e9'),
        COMPLETE.replace('"second": 0', '"second": NaN'),
        COMPLETE.replace('"calls": 2', '"calls": true'),
        COMPLETE.replace('"peak_bytes": 1', '"peak_bytes": 0'),
        COMPLETE.replace("[]", "[[1]]"),
        COMPLETE.replace(', "in_use": []', ""),
        "[" * 100_000,
    ],
)
def test_nonsense_is_no_start(tmp_path: Path, answer: str) -> None:
    (tmp_path / "answer.txt").write_text(answer + "\n", encoding="utf-8")
    # What can be reached by a project that wants to: the parent's pipe itself.
    made = """
        import os
        def load():
            channel = next(fd for fd in range(3, 20) if is_pipe(fd))
            os.write(channel, b"answered\\n")
            os.write(channel, open("answer.txt", "rb").read())
            os._exit(0)
        def is_pipe(fd):
            import stat
            try:
                return stat.S_ISFIFO(os.fstat(fd).st_mode)
            except OSError:
                return False
    """
    assert "told nonsense" in refused(entry(tmp_path, made))


def test_settings_of_tests_and_secrets_stay_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRODML_KEY_PASSPHRASE", "secret")
    monkeypatch.setenv("COVERAGE_PROCESS_START", "coverage.ini")
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    monkeypatch.setenv("SERVICE_REGION", "north")
    made = """
        import os, sys
        def load():
            left = [n for n in os.environ if n.startswith(("PYTEST_", "PRODML_", "COVERAGE_")) or n == "PYTHONWARNINGS"]
            assert not left and os.environ["SERVICE_REGION"] == "north", left
            loaded = [n for n in ("pytest", "pytest_prodml", "json", "numpy") if n in sys.modules]
            assert not loaded, loaded
            return lambda: None
    """
    assert start(entry(tmp_path, made)).calls == 2


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="tells memory to the byte")
def test_a_leak_is_seen_to_the_byte_and_a_healthy_twin_is_not_accused(tmp_path: Path) -> None:
    made = """
        def load():
            kept = []
            def call():
                kept.append(bytearray(200))
            return call
    """
    work = Work(calls=200, points=40, calls_of_a_point=100)
    leaking = start(entry(tmp_path, made), work)
    healthy = start(entry(tmp_path, made.replace("kept.append(", "len(")), work)
    assert [calls for calls, _ in leaking.resident] == list(range(0, 4000, 100))
    assert leaking.resident[-1][1] - leaking.resident[0][1] > 600_000
    assert leaking.in_use[-1][1] - leaking.in_use[0][1] == pytest.approx(3900 * 280, rel=0.1)
    assert healthy.resident[-1][1] - healthy.resident[0][1] < 100_000
    assert abs(healthy.in_use[-1][1] - healthy.in_use[0][1]) < 1_000


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"count": 0}, "at least 1 start"),
        ({"work": Work(calls=1)}, "of 2 calls"),
        ({"process_seconds": 0}, "process_seconds must be"),
        ({"process_seconds": float("nan")}, "process_seconds must be"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(
    program: OnnxProgram, changes: dict[str, Any], told: str
) -> None:
    arguments: dict[str, Any] = {"count": 1, "work": Work(), "process_seconds": 1.0, **changes}
    with pytest.raises(InputError, match=told):
        start_many(program, **arguments)
