"""Serves a study on this machine, or to a network if asked to, and keeps the answers that are posted."""

from __future__ import annotations

import uuid
from http import server as plain
from pathlib import Path

from ..atomic_files import whole_file
from ..errors import ConfigError
from .page import COLUMNS

# Bytes of one person's answers: thousands of them.
MOST = 4_000_000


class StudyServer(plain.ThreadingHTTPServer):
    """A server for one page.

    Args:
        page: the study's page.
        answers: the folder for what is posted.
        host, port: where it listens; port 0 takes a free one.

    Raises:
        ConfigError: it cannot listen there.
    """

    daemon_threads = True

    def __init__(self, page: Path, answers: Path, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.page, self.answers = page.read_bytes(), answers
        try:
            super().__init__((host, port), Handler)
        except (OSError, OverflowError) as error:
            raise ConfigError(
                got=f"{host}:{port}, where this machine cannot listen ({error})",
                expected="an address of this machine, and a port that is free",
                mend="Choose another --port, or 0 for any.",
            ) from error

    @property
    def address(self) -> str:
        """Where the page is."""
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}/"


class Handler(plain.BaseHTTPRequestHandler):
    """Gives the page, and takes answers; nothing else is there."""

    server: StudyServer
    # Seconds.
    timeout = 30

    def do_GET(self) -> None:
        """The page."""
        self.reply(200, self.server.page, "text/html; charset=utf-8") if self.path == "/" else self.reply(404)

    def do_POST(self) -> None:
        """Keeps answers under a name of our own."""
        length = self.headers.get("Content-Length", "")
        if self.path != "/answers" or not length.isdecimal() or not 0 < int(length) <= MOST:
            return self.reply(400)
        body = self.rfile.read(int(length))
        if not body.replace(b'"', b"").startswith(",".join(COLUMNS).encode()):
            return self.reply(400)
        with whole_file(self.server.answers / f"answers-{uuid.uuid4().hex[:12]}.csv") as temporary:
            temporary.write_bytes(body)
        return self.reply(204)

    def reply(self, status: int, body: bytes = b"", kind: str = "text/plain") -> None:
        """Answers."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Tells nothing of who asked."""
