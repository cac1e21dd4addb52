"""What is for sale: asks the cache, which only it can reach."""

import http.server
import json
import socket


def ask(line):
    with socket.create_connection(("cache", 6000), timeout=5) as connection:
        connection.sendall(line.encode() + b"\n")
        return connection.makefile().readline().strip()


class Offers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/alive":
            return self.answer({"alive": True})
        prices = dict(pair.split("=") for pair in ask("get prices").split(","))
        self.answer({"prices": prices, "visits": ask("count visits"), "api": socket.gethostname()})

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


print("api listens on port 8000")
http.server.ThreadingHTTPServer(("", 8000), Offers).serve_forever()
