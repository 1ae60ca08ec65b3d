"""A Hub of our own on 127.0.0.1: what huggingface_hub asks, it answers; it fails where it is told to."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .api import Api
from .faults import Fault, Faults
from .lfs import Transfers
from .messages import Answer, Cut, Refused, Request
from .store import Repository

PART_SIZE = 16 << 20
TOKEN = "hf_" + "Q7s" * 12


class HubServer(ThreadingHTTPServer):
    """The Hub.

    Args:
        root: Folder that it keeps everything in.
        part_size: Files over this size are sent in parts of it.

    Attributes:
        url: What HF_ENDPOINT is to be.
        tokens: Token to user.
        transfers: What was sent of large files.
        faults: What is to go wrong.
        requests: "METHOD /path" of every request.
        seen_tokens: Every token that came.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, root: Path, part_size: int = PART_SIZE) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.root = root
        self.tokens = {TOKEN: "lab"}
        self.faults = Faults()
        self.requests: list[str] = []
        self.seen_tokens: set[str] = set()
        self.transfers = Transfers(self.url, part_size)
        self.api = Api(root, self.url, self.transfers)
        self.lock = threading.RLock()

    def fail(self, match: str, **how: Any) -> Fault:
        """Let requests fail that are still to come."""
        return self.faults.add(Fault(match, **how))

    def repository(self, name: str) -> Repository:
        return Repository(self.root / name)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away."""


@contextmanager
def running(root: Path, part_size: int = PART_SIZE) -> Iterator[HubServer]:
    """Serve while the block runs."""
    server = HubServer(root, part_size)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _serve(self) -> None:
        url = urlsplit(self.path)
        request = Request(self.command, url.path, url.query, self.headers, self.rfile)  # type: ignore[arg-type]
        self.server.requests.append(f"{self.command} {url.path}")
        fault = self.server.faults.of(self.command, url.path)
        try:
            if fault is not None and fault.kind == "cut the request":
                request.cut_after = max(1, int(self.headers.get("Content-Length") or 2) // 2)
            answer = self._answer(request, fault)
            for _ in request.pieces():  # what nobody read
                pass
            self._send(answer, fault)
        except (Cut, BrokenPipeError, ConnectionResetError):
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, request: Request, fault: Fault | None) -> Answer:
        told = Refused(fault.status, fault.message).answer if fault else Answer()
        if fault is not None:
            told.headers |= fault.headers
            if fault.kind == "refuse":
                return told
        try:
            request.user = self._user()
            if "/storage/" in request.path:  # as from elsewhere: large bodies come side by side, and need no token
                answer = self.server.api.answer(request)
            else:
                with self.server.lock:
                    answer = self.server.api.answer(request)
        except Refused as exc:
            answer = exc.answer
        return told if fault is not None and fault.kind == "after the work" else answer

    def _user(self) -> str | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if not token:
            return None
        self.server.seen_tokens.add(token)
        if token not in self.server.tokens:
            raise Refused(401, "Invalid credentials in Authorization header")
        return self.server.tokens[token]

    def _send(self, answer: Answer, fault: Fault | None) -> None:
        first, length, status = 0, answer.size, answer.status
        headers = dict(answer.headers)
        if status == 200 and (found := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")):
            first = int(found[1])
            length, status = answer.size - first, 206
            headers["Content-Range"] = f"bytes {first}-{answer.size - 1}/{answer.size}"
        is_cut = fault is not None and fault.kind == "cut the answer"
        if is_cut and not length:
            raise Cut
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        for piece in answer.part(first, length // 2 if is_cut else length):
            self.wfile.write(piece)
        if is_cut:
            raise Cut
