"""Says hello to each visitor, with the number that the counter gives."""

import http.server
import os
import urllib.request


class Greeter(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/alive":
            return self.answer("yes\n")
        with urllib.request.urlopen("http://counter:7000/", timeout=5) as counter:
            number = counter.read().decode().strip()
        self.answer(f"{os.environ['GREETING']}, visitor {number}.\n")

    def answer(self, text):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


print("greeter listens on port 8000")
http.server.ThreadingHTTPServer(("", 8000), Greeter).serve_forever()
