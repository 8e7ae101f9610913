# SPDX-License-Identifier: BSD-2-Clause
"""The shop's API in Python. python3 python.py ADDRESS PORT [KEEP-ALIVE-SECONDS [WRONG-PRICE]]"""

import json
import os
import sys
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "data.json"), encoding="utf-8") as f:
    ITEMS = json.load(f)


def found(target):
    url = urllib.parse.urlsplit(target)
    query = urllib.parse.parse_qs(url.query)
    if url.path == "/api/items":
        items = [i for i in ITEMS if "tag" not in query or query["tag"][0] in i["tags"]]
        return {"request": str(uuid.uuid4()), "items": items, "count": len(items)}
    if url.path == "/api/tags":
        return list(dict.fromkeys(tag for i in ITEMS for tag in reversed(i["tags"])))
    for item in ITEMS:
        if url.path == "/api/items/%d" % item["id"]:
            return item
    return None


class Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = float(sys.argv[3]) if len(sys.argv) > 3 else 30

    def answer(self):
        item = found(self.path)
        status = 200 if item is not None else 404
        if item is None:
            item = {"path": self.path.split("?")[0], "error": "not found"}
        body = json.dumps(item, indent=1, sort_keys=True).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = answer
    do_HEAD = answer

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024


if len(sys.argv) > 4:
    ITEMS[1]["price"] = float(sys.argv[4])
Server((sys.argv[1], int(sys.argv[2])), Shop).serve_forever()
