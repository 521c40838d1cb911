"""A YAML language server as an editor starts it: one process, JSON-RPC over its standard input and output."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

ANSWER_WITHIN_SECONDS = 60.0


class LanguageServer:
    """Speaks the Language Server Protocol to one `yaml-language-server`; use it in a `with` block.

    Positions are those of the protocol: lines and characters count from 0.
    """

    def __init__(
        self, command: Sequence[str], root: Path, schemas: Mapping[str, object] | None = None
    ) -> None:
        """command: how the server is started; schemas: what stands in the setting `yaml.schemas`."""
        self._process = subprocess.Popen(
            command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._answers: dict[int, queue.Queue[dict[str, Any]]] = {}
        self._diagnostics: dict[str, queue.Queue[list[dict[str, Any]]]] = {}
        self._lock = threading.Lock()
        self._last = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._root = root
        self._schemas = dict(schemas or {})

    def __enter__(self) -> LanguageServer:
        self.ask(
            "initialize",
            {
                "processId": None,
                "rootUri": self._root.as_uri(),
                "workspaceFolders": [{"uri": self._root.as_uri(), "name": "playbooks"}],
                "capabilities": {
                    "textDocument": {
                        "completion": {
                            "completionItem": {"snippetSupport": True, "documentationFormat": ["markdown"]}
                        },
                        "hover": {"contentFormat": ["markdown"]},
                    },
                    "workspace": {"configuration": True},
                },
            },
        )
        self.tell("initialized", {})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(10)
        self._reader.join(10)
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()

    def open(self, path: Path, text: str) -> str:
        """Open a document as an editor does; its URI."""
        uri = path.as_uri()
        self._diagnostics[uri] = queue.Queue()
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self.tell("textDocument/didOpen", {"textDocument": document})
        return uri

    def complete(self, uri: str, line: int, character: int) -> dict[str, dict[str, Any]]:
        """The completions at a position, by label."""
        found = self.ask("textDocument/completion", _at(uri, line, character))
        items = found["items"] if isinstance(found, dict) else found
        return {item["label"]: item for item in items}

    def hover(self, uri: str, line: int, character: int) -> str:
        """The hover text at a position; empty where there is none."""
        found = self.ask("textDocument/hover", _at(uri, line, character))
        return found["contents"]["value"] if found else ""

    def diagnose(self, uri: str) -> list[dict[str, Any]]:
        """The diagnostics that the server sends of its own accord after a document was opened."""
        return self._diagnostics[uri].get(timeout=ANSWER_WITHIN_SECONDS)

    def ask(self, method: str, parameters: Any) -> Any:
        """Send a request and wait for its result; raises RuntimeError with the server's error."""
        self._last += 1
        number = self._last
        answers = self._answers[number] = queue.Queue(maxsize=1)
        self._send({"id": number, "method": method, "params": parameters})
        answer = answers.get(timeout=ANSWER_WITHIN_SECONDS)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def tell(self, method: str, parameters: Any) -> None:
        """Send a notification."""
        self._send({"method": method, "params": parameters})

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        with self._lock:
            self._process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
            self._process.stdin.flush()

    def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        while header := stream.readline():
            length = 0
            while header.strip():
                name, _, value = header.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
                header = stream.readline()
            self._receive(json.loads(stream.read(length)))

    def _receive(self, message: dict[str, Any]) -> None:
        method = message.get("method")
        if method is None:
            self._answers.pop(message["id"]).put(message)
        elif method == "textDocument/publishDiagnostics":
            known = self._diagnostics.get(message["params"]["uri"])
            if known:
                known.put(message["params"]["diagnostics"])
        elif "id" in message:
            self._send({"id": message["id"], "result": self._settings(message)})

    def _settings(self, message: dict[str, Any]) -> Any:
        if message["method"] != "workspace/configuration":
            return None
        # What the YAML extension of an editor has by default, but nothing is fetched from outside.
        yaml = {
            "completion": True, "hover": True, "validate": True, "format": {"enable": False},
            "schemaStore": {"enable": False}, "kubernetesCRDStore": {"enable": False}, "schemas": self._schemas,
        }  # fmt: skip
        settings = {"yaml": yaml}
        return [settings.get(item.get("section"), {}) for item in message["params"]["items"]]


def _at(uri: str, line: int, character: int) -> dict[str, Any]:
    return {"textDocument": {"uri": uri}, "position": {"line": line, "character": character}}
