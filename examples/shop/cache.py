"""A cache that forgets nothing: `get KEY`, `set KEY VALUE`, `count KEY`, a line each, kept in a file on the volume."""

import json
import os
import pathlib
import socketserver
import threading

FILE = pathlib.Path("/data/cache.json")
LOCK = threading.Lock()


def answer(words):
    with LOCK:
        kept = json.loads(FILE.read_text()) if FILE.exists() else {}
        match words:
            case ["get", key]:
                return kept.get(key, "")
            case ["set", key, value]:
                kept[key] = value
            case ["count", key]:
                kept[key] = str(int(kept.get(key, "0")) + 1)
            case _:
                return "what?"
        new = FILE.with_suffix(".new")
        new.write_text(json.dumps(kept))
        os.replace(new, FILE)
        return kept[key]


class Line(socketserver.StreamRequestHandler):
    def handle(self):
        words = self.rfile.readline().decode().strip().split(" ", 2)
        self.wfile.write(answer(words).encode() + b"\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True


print("cache listens on port 6000")
Server(("", 6000), Line).serve_forever()
