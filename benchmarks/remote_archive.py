"""One experiment out of a remote archive with as many members as RxRx1's.

    python benchmarks/remote_archive.py [--bytes 256]

The archive is made here: RxRx1's names (51 experiments, 4 plates of 308 wells, 2 sites, 6 channels)
over members of a few bytes each, stored. What is measured is the remote directory of some 750,000
entries: its transfer, its memory, and the requests for one experiment's members behind it.
"""

import argparse
import http.server
import re
import resource
import tempfile
import threading
import time
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from morphpipe.datasets.fetch.remote_zip import fetch_members

EXPERIMENTS = {"HUVEC": 24, "RPE": 11, "HEPG2": 11, "U2OS": 5}
WELLS = [f"{chr(66 + row)}{column:02d}" for row in range(14) for column in range(2, 24)]


def write_archive(path: Path, size: int) -> int:
    """Give the number of members."""
    number = 0
    with zipfile.ZipFile(path, "w") as archive:
        for cell_type, experiments in EXPERIMENTS.items():
            for experiment in range(1, experiments + 1):
                folder = f"rxrx1/images/{cell_type}-{experiment:02d}"
                for plate in range(1, 5):
                    for well in WELLS:
                        for site in (1, 2):
                            for channel in range(1, 7):
                                name = f"{folder}/Plate{plate}/{well}_s{site}_w{channel}.png"
                                archive.writestr(name, number.to_bytes(4, "big") * (size // 4))
                                number += 1
    return number


class Server(http.server.ThreadingHTTPServer):
    """Answers range requests for one file, and counts them."""

    requests = sent = 0

    def __init__(self, path: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.path = path


class Handler(http.server.BaseHTTPRequestHandler):
    """Bytes of the server's file."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        """Send the bytes that are asked for."""
        total = self.server.path.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "bytes=0-"))
        assert asked
        start, stop = int(asked[1]), int(asked[2] or total - 1) + 1
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{total}")
        self.send_header("Content-Length", str(stop - start))
        self.send_header("ETag", '"made-here"')
        self.end_headers()
        self.server.requests += 1
        with open(self.server.path, "rb") as file:
            file.seek(start)
            data = file.read(stop - start)
        try:
            self.wfile.write(data)
            self.server.sent += len(data)
        except ConnectionError:
            pass  # The first answer is looked at and dropped: it tells the size.

    def log_message(self, format: str, *arguments: object) -> None:
        """Keep quiet."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bytes", type=int, default=256, help="of each member")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rxrx1-images.zip"
        # In a process of its own: writing takes memory, too.
        with ProcessPoolExecutor(1) as process:
            members = process.submit(write_archive, path, arguments.bytes).result()
        with Server(path) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            address = f"http://127.0.0.1:{server.server_address[1]}/rxrx1-images.zip"
            start = time.perf_counter()
            fetch_members(
                address,
                Path(folder) / "one.zip",
                wanted=lambda name: name.startswith("rxrx1/images/HEPG2-01/"),
            )
            seconds = time.perf_counter() - start
            server.shutdown()
        with zipfile.ZipFile(Path(folder) / "one.zip") as archive:
            fetched = len(archive.namelist())
        print(
            f"{fetched} of {members} members in {seconds:.1f} s, {server.requests} requests, "
            f"{server.sent / 1e6:.0f} MB sent of {path.stat().st_size / 1e6:.0f} MB; peak of the "
            f"memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB"
        )


if __name__ == "__main__":
    main()
