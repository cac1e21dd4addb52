"""A probe: asks a URL, or only connects to tcp://HOST:PORT, and ends with 0 if somebody answered."""

import socket
import sys
import urllib.parse
import urllib.request

url = urllib.parse.urlparse(sys.argv[1])
if url.scheme == "tcp":
    socket.create_connection((url.hostname, url.port), timeout=2).close()
else:
    urllib.request.urlopen(sys.argv[1], timeout=2).read()
