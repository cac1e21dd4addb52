"""The shop's page: asks the api, which it knows by its link's name, and shows the answer."""

import html
import http.server
import json
import os
import socket
import urllib.request

API = "http://backend:" + os.environ.get("BACKEND_PORT_8000_TCP_PORT", "8000")


class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/alive":
            return self.answer("alive\n", "text/plain")
        with urllib.request.urlopen(API + "/offers", timeout=5) as answer:
            offers = json.load(answer)
        rows = "".join(f"<li>{html.escape(name)}: {price}</li>" for name, price in offers["prices"].items())
        self.answer(
            f"<h1>{html.escape(os.environ['GREETING'])}</h1>\n<ul>{rows}</ul>\n"
            f"<p>Visit {offers['visits']}, served by web {socket.gethostname()} and api {offers['api']}.</p>\n",
            "text/html; charset=utf-8",
        )

    def answer(self, text, kind):
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


print("web listens on port 80")
http.server.ThreadingHTTPServer(("", 80), Page).serve_forever()
