#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Clients and servers that do with TLS what curl and nginx do not.

peer.py serve ADDRESS PORT CERT KEY HOW
peer.py ask ADDRESS PORT CA NAME HOW

HOW, of servers: echo (lines, until the end of the stream, and then how many bytes it was), cut (one line, and no close_notify),
starttls (echo, after STARTTLS in clear), starttls-more (the same, with a line in clear behind the consent), starttls-late (with that line
instead of a handshake).
HOW, of clients: half (half a mebibyte, the end of our half, and everything until the other's), cut (no close_notify from us),
read (one line sent, everything read), starttls, starttls-more, clear, idle N (N connections with one line each, then silence until killed).
What a client reads goes to standard output, with "end" or "torn" behind it.
"""
import hashlib
import socket
import ssl
import sys
import threading
import time


def lines(conn):
    data = b""
    while not data.endswith(b"\n"):
        more = conn.recv(1)
        if not more:
            break
        data += more
    return data


class Tls:
    """TLS over a socket whose half can be closed without a read: SSLSocket's unwrap drops what has come meanwhile."""

    def __init__(self, sock, context, **how):
        self.sock = sock
        self.came, self.goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.came, self.goes, **how)
        self.read = b""
        self.step(self.tls.do_handshake)

    def flush(self):
        if self.goes.pending:
            self.sock.sendall(self.goes.read())

    def step(self, call, *args):
        while True:
            try:
                result = call(*args)
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
                data = self.sock.recv(65536)
                if data:
                    self.came.write(data)
                else:
                    self.came.write_eof()
            except ssl.SSLError:
                # An alert, perhaps.
                self.flush()
                raise

    def sendall(self, data):
        self.step(self.tls.write, data)

    def recv(self, most):
        """Empty behind a close_notify; ssl.SSLError where the stream ends without one."""
        if self.read:
            data, self.read = self.read[:most], self.read[most:]
            return data
        try:
            return self.step(self.tls.read, most)
        except ssl.SSLZeroReturnError:
            return b""

    def half_close(self):
        """close_notify, and the end of the socket's half."""
        try:
            while True:
                data = self.tls.read(65536)
                if not data:
                    break
                self.read += data
        except ssl.SSLError:
            pass
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass
        try:
            self.flush()
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.sock.close()


def echo(conn):
    total, digest = 0, hashlib.sha256()
    while True:
        data = conn.recv(65536)
        if not data:
            break
        total += len(data)
        digest.update(data)
        if data.endswith(b"\n") and total < 1000:
            conn.sendall(data)
    conn.sendall(b"%d %s\n" % (total, digest.hexdigest().encode()))
    conn.half_close()


def serve_one(conn, context, how):
    try:
        if how.startswith("starttls"):
            print("clear", lines(conn).decode().strip(), flush=True)
            conn.sendall(b"+OK\nmore in clear\n" if how == "starttls-more" else b"+OK\n")
        conn = Tls(conn, context, server_side=True)
        if how == "cut":
            conn.sendall(b"cut: " + lines(conn))
        else:
            echo(conn)
    except (ssl.SSLError, OSError) as e:
        print("error", e, flush=True)
    finally:
        conn.close()


def serve(address, port, cert, key, how):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    listener = socket.create_server((address, int(port)), backlog=4096)
    while True:
        conn, _ = listener.accept()
        threading.Thread(target=serve_one, args=(conn, context, how), daemon=True).start()


def read_all(conn):
    try:
        while True:
            data = conn.recv(65536)
            if not data:
                break
            sys.stdout.write(data.decode())
        print("end")
    except (ssl.SSLError, OSError) as e:
        print("torn", type(e).__name__)


def ask(address, port, ca, name, how, n="1"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca)
    if how == "idle":
        kept = []
        for i in range(int(n)):
            conn = Tls(socket.create_connection((address, int(port))), context, server_hostname=name)
            conn.sendall(b"hello\n")
            assert conn.recv(100) == b"hello\n"
            kept.append(conn)
        print("ready", flush=True)
        time.sleep(600)
    conn = socket.create_connection((address, int(port)))
    conn.settimeout(30)
    if how == "clear":
        conn.sendall(b"hello\n")
        conn.shutdown(socket.SHUT_WR)
        read_all(conn)
        return
    if how.startswith("starttls"):
        conn.sendall(b"STARTTLS\nin clear\n" if how == "starttls-more" else b"STARTTLS\n")
        answer = lines(conn)
        if answer != b"+OK\n":
            print("clear", answer.decode().strip())
            return
    try:
        conn = Tls(conn, context, server_hostname=name)
    except (ssl.SSLError, OSError) as e:
        print("refused", type(e).__name__)
        return
    if how == "half":
        data = bytes(range(256)) * 2048
        conn.sendall(data)
        print(len(data), hashlib.sha256(data).hexdigest())
    else:
        conn.sendall(b"hello\n")
        if how == "cut":
            print(lines(conn).decode().strip())
            return
    if how != "read":
        conn.half_close()
    read_all(conn)


if __name__ == "__main__":
    {"serve": serve, "ask": ask}[sys.argv[1]](*sys.argv[2:])
