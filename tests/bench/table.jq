# SPDX-License-Identifier: BSD-2-Clause
# bench.json as a table; behind each figure its ratio to the base's.
def pad($n): tostring | . + (" " * ([$n - length, 0] | max));
def lpad($n): tostring | (" " * ([$n - length, 0] | max)) + .;
def times: if . == null then "-" else (. * 100 | round / 100 | tostring) + "x" end;
def fig($v; $r; $n): (if $v == null then "-" else $v | tostring end | lpad($n)) + ($r | times | lpad(8));
def ms: if . == null then null else . / 10 | round / 100 end;
def titles: [["keepalive", "1 KiB answers, 64 connections kept alive"], ["connection", "1 KiB answers, a new connection each, 64 at a time"],
	["body", "1 MiB answers, 16 connections kept alive"],
	["http", "HTTP: 1 KiB answers, 64 connections kept alive"], ["html", "HTTP: 100 KiB of HTML, 16 connections kept alive"],
	["json", "HTTP: 10 KiB of JSON, 64 connections kept alive"], ["html-gzip", "HTTP: 100 KiB of HTML, compressed by the servers"],
	["json-gzip", "HTTP: 10 KiB of JSON, compressed by the servers"],
	["tls", "TLS 1.3: 1 KiB answers, 64 connections kept alive"], ["tls-body", "TLS 1.3: 1 MiB answers, 16 connections kept alive"],
	["tls-new", "TLS 1.3: 1 KiB answers, a whole handshake each, 64 at a time"],
	["tokens", "HTTP, three instances: tokens in the table; each request has three words like tokens, one of which is one"]];
def order: ["direct", "haproxy", "haproxy-http", "nginx", "rddr-1", "rddr-2", "rddr-3", "rddr-failover", "rddr-admission", "rddr-http-1", "rddr-http-3", "haproxy-tls", "rddr-tls-1", "rddr-tls-3", "tokens-0", "tokens-1000", "tokens-100000"];
.results as $all
| (titles[] | .[0] as $w | select($all[$w]) | $all[$w] as $t
   | "", .[1],
     ("" | pad(14)) + ("req/s" | lpad(9)) + ("MB/s" | lpad(17)) + ("p50 ms" | lpad(17)) + ("p99 ms" | lpad(17)) + ("CPU us/req" | lpad(17)) + ("errors" | lpad(15)),
     (order[] | select($t[.]) as $s | $t[$s] as $r | $r.to_base as $h
      | ($s | pad(14)) + fig($r.requests_per_second; $h.requests_per_second; 9)
	+ fig($r.bytes_per_second / 1e4 | round / 100; $h.bytes_per_second; 9)
	+ fig($r.p50_us | ms; $h.p50_us; 9) + fig($r.p99_us | ms; $h.p99_us; 9)
	+ fig($r.cpu_us_per_request | if . then . * 10 | round / 10 else null end; $h.cpu_us_per_request; 9) + ($r.errors | lpad(7)))),
  (select($all.idle) | "", "memory of an idle session (PSS, one request behind it)",
   ("" | pad(14)) + ("bytes" | lpad(9)),
   (order[] | select($all.idle[.]) as $s | $all.idle[$s] | ($s | pad(14)) + fig(.bytes_per_session; .to_base.bytes_per_session; 9))),
  "", "The figure behind each is its ratio to the base's in the same run: HAProxy in mode tcp, in mode http where it says HTTP, an empty table for tokens.",
  "Medians; CPU is user and system time of the proxy alone."
