# Fills the cache with prices, as soon as it listens, and ends.
exec python3 - <<'END'
import socket, time

for attempt in range(100):
    try:
        connection = socket.create_connection(("cache", 6000), timeout=5)
        break
    except OSError:
        time.sleep(0.05)
else:
    raise SystemExit("the cache does not answer")
connection.sendall(b"set prices apples=3,bread=2,cheese=7\n")
print("prices are", connection.makefile().readline().strip())
END
