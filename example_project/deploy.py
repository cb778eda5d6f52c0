"""Serve the model, if its certificate allows it.

    python deploy.py --score request.json       one record or a list of them, as JSON
    python deploy.py --serve                    POST /score on 127.0.0.1:8080

The image needs the base install of pytest-prodml, onnxruntime and numpy: no pytest, pandas or scikit-learn.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

import credit
from pytest_prodml import guard
from pytest_prodml.errors import ProdmlError

ROOT = Path(__file__).resolve().parent
LARGEST_REQUEST = 1_000_000


class RefusedRecordError(Exception):
    """A record that must not be scored."""


class Scorer:
    """Raw records -> risk and decision, from the bytes of an ONNX model."""

    def __init__(self, model: bytes) -> None:
        options = onnxruntime.SessionOptions()
        # One thread a request: several of them fight for the cores, and one row has nothing to share.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # Weights outside of the verified bytes would be read from the working directory: refuse them.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        metadata = self._session.get_modelmeta().custom_metadata_map
        # What the model was built for travels in its file, so no setting of the service can contradict it.
        self.release = credit.RELEASES[metadata["release"]]
        self.threshold = float(metadata["threshold"])
        self.training_data = metadata["training_data_sha256"]

    def score(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return risk and decision of one raw record.

        Raises
        ------
        RefusedRecordError
            If a field is missing, unknown or not finite: the model itself would answer anyway.
        """
        if not isinstance(record, Mapping):
            raise RefusedRecordError("expected an object with one field a column")
        cleaned = credit.clean(record, self.release)
        if found := credit.problems(cleaned, self.release):
            raise RefusedRecordError("; ".join(found))
        feed = {name: np.array([[cleaned[name]]], dtype=object) for name in credit.CATEGORICAL}
        feed |= {name: np.array([[cleaned[name]]], dtype=np.float32) for name in credit.NUMERIC}
        risk = float(self._session.run(None, feed)[0][0, 1])
        return {"risk": risk, "approved": risk < self.threshold, "release": self.release.name}


def verified_model() -> bytes:
    """Return the model's bytes, or raise `ProdmlError` with the reason why it must not serve."""
    return guard.load(
        ROOT / "model" / "credit.onnx",
        certificate=ROOT / "prodml-report" / "certificate.json",
        keys=[ROOT / "keys" / "ci.pub"],
        policy=ROOT / "policy.toml",
        waiver_keys=[ROOT / "keys" / "risk-officer.pub"],
    )


def serve(scorer: Scorer, port: int) -> ThreadingHTTPServer:
    """Return a server on the loopback address; port 0 takes a free one."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if self.path != "/score":
                self._answer(404, {"error": "POST /score"})
                return
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal() or int(length) > LARGEST_REQUEST:
                self._answer(413, {"error": f"expected at most {LARGEST_REQUEST:,} bytes of JSON"})
                return
            try:
                self._answer(200, scorer.score(json.loads(self.rfile.read(int(length)))))
            except RefusedRecordError as error:
                self._answer(422, {"error": str(error)})
            except (ValueError, RecursionError):
                self._answer(400, {"error": "the body is not JSON"})

        def _answer(self, status: int, value: Mapping[str, Any]) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Serve the credit model, if its certificate allows it.")
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument(
        "--score", type=Path, metavar="FILE", help="score the record or records of a JSON file"
    )
    wanted.add_argument("--serve", action="store_true", help="answer POST /score on the loopback address")
    parser.add_argument("--port", type=int, default=8080)
    parsed = parser.parse_args(arguments)
    try:
        scorer = Scorer(verified_model())
    except ProdmlError as error:
        print(f"deploy.py: refusing to serve\n{error}", file=sys.stderr)
        return 1
    if parsed.score:
        return _score_file(scorer, parsed.score)
    with serve(scorer, parsed.port) as server:
        print(f"release {scorer.release.name} on http://127.0.0.1:{server.server_port}/score", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
    return 0


def _score_file(scorer: Scorer, path: Path) -> int:
    try:
        content = json.loads(path.read_bytes())
        for record in content if isinstance(content, list) else [content]:
            print(json.dumps(scorer.score(record)))
    except (OSError, ValueError, RefusedRecordError) as error:
        print(f"deploy.py: {path}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
