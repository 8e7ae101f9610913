// SPDX-License-Identifier: BSD-2-Clause
/* Broken files: each with where the first error has to be, and what it has to say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config_capture.h"
#include "own.h"

/* A good listening service of 5 lines; what follows is line 6, indented by 4. */
#define SHOP                                                                                                           \
	"services:\n"                                                                                                  \
	"  shop:\n"                                                                                                    \
	"    listen: 127.0.0.1:8080\n"                                                                                 \
	"    instances:\n"                                                                                             \
	"      - {chainer: directed, remote: 127.0.0.1:9001}\n"
/* The same with a second instance in line 6; its keys begin in column 10. */
#define SECOND(keys) SHOP "      - {" keys "}\n"
/* An intercepting service; the interception begins in column 16 of line 3. */
#define GATE(intercept)                                                                                                \
	"services:\n"                                                                                                  \
	"  shop:\n"                                                                                                    \
	"    intercept: " intercept "\n"                                                                               \
	"    instances: [{chainer: transparent}]\n"
#define GATE2(first, second)                                                                                           \
	GATE(first)                                                                                                    \
	"  other:\n"                                                                                                   \
	"    intercept: " second "\n"                                                                                  \
	"    instances: [{chainer: transparent}]\n"
/* An original file; the first line after it is line 6. */
#define ORIGINAL                                                                                                       \
	"addrlist: [127.0.0.1:9001, 127.0.0.1:9002]\n"                                                                 \
	"incoming-proxy:\n"                                                                                            \
	"  host: 127.0.0.1\n"                                                                                          \
	"  port: 8080\n"                                                                                               \
	"  protocol: tcp\n"

struct broken {
	const char *text;
	unsigned line, column;
	const char *says; /* "KEY: message", its beginning */
};

static const struct broken whole_files[] = {
	{"", 1, 1, "the file is empty"},
	{"# nothing but words\n", 1, 1, "the file is empty"},
	{"--- \n...\n", 2, 1, "wants a mapping of keys, is empty"},
	{"just words\n", 1, 1, "wants a mapping of keys, is \"just words\""},
	{"- services\n", 1, 1, "wants a mapping of keys, is a list"},
	{"{}\n", 1, 1, "the key services is missing"},
	{SHOP "---\nservices: {}\n", 6, 1, "a second document"},
	{"services: [\n", 2, 1, "not YAML: "},
	{"services:\n\tshop: {}\n", 2, 1, "not YAML: found character that cannot start any token"},
	{"services: {a: 1}}\n", 1, 17, "not YAML: "},
	{"services: \"open\n", 2, 1, "not YAML: found unexpected end of stream"},
	{"services:\n  shop: \xff\xfe\n", 2, 9, "invalid leading UTF-8 octet (0xff)"},
	{"services:\n  \xc3\xa4: \xe2\x28\xa1\n", 2, 7, "invalid trailing UTF-8 octet (0x28)"},
	{"services:\n  shop: a\x01z\n", 2, 10, "control characters are not allowed (0x01)"},
	{"services: \"a\\0b\"\n", 1, 11, "a NUL character in a value"},
	{"services: !!python/object:os.system {}\n", 1, 11,
	 "the tag \"tag:yaml.org,2002:python/object:os.system\" does not fit"},
	{"services: !secret x\n", 1, 11, "the tag \"!secret\" does not fit here"},
	{"services: !!int word\n", 1, 11, "the tag \"tag:yaml.org,2002:int\" does not fit here"},
	{"services: !!map [a]\n", 1, 11, "the tag \"tag:yaml.org,2002:map\" does not fit here"},
	{"services: *nowhere\n", 1, 11, "no anchor for the alias \"nowhere\""},
	{"services: &a {shop: *a}\n", 1, 21, "the alias *a stands inside of what it is an alias for"},
	{"services: &a\n  shop: [1, [2, *a]]\n", 2, 17, "the alias *a stands inside of what it is an alias for"},
	{"services:\n  <<: {}\n", 2, 3, "merge keys (<<) are not supported"},
	{"services:\n  {a: b}: 1\n", 2, 3, "a key has to be a word"},
	{"? [a]\n: b\n", 1, 3, "a key has to be a word"},
	{"workers: 1\n" SHOP "workers: 2\n", 7, 1, "the key \"workers\" stands in line 1 already"},
	{SHOP "    filter: false\n    \"filter\": false\n", 7, 5, "the key \"filter\" stands in line 6 already"},
	{"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 1, 33, "nested more than 32 deep"},
	{"%YAML 1.1\n%YAML 1.1\n---\na: b\n", 2, 1, "not YAML: found duplicate %YAML directive"},
	{SHOP "addrlist: [127.0.0.1:1]\n", 6, 1 + 10, "addrlist: of an original RDDR file, together with services\n"},
};

static const struct broken daemon_wide[] = {
	{SHOP "worker: 1\n", 6, 1, "worker: unknown key (did you mean workers?)"},
	{SHOP "log_level: info\n", 6, 1, "log_level: unknown key (did you mean log-level?)"},
	{SHOP "Drain: 5s\n", 6, 1, "Drain: unknown key (did you mean drain?)"},
	{SHOP "zebra: 5s\n", 6, 1, "zebra: unknown key\n"},
	{SHOP "\"a\\nb\": 5s\n", 6, 1, "\"a\\x0ab\": unknown key\n"},
	{SHOP "workers: 65\n", 6, 10, "workers: wants a whole number from 0 to 64, is \"65\""},
	{SHOP "workers: -1\n", 6, 10, "workers: wants a whole number from 0 to 64, is \"-1\""},
	{SHOP "workers: 99999999999999999999999\n", 6, 10, "workers: wants a whole number from 0 to 64, is \"99999"},
	{SHOP "workers: \"4\"\n", 6, 10, "workers: wants a whole number from 0 to 64, is the text \"4\""},
	{SHOP "workers: 2.0\n", 6, 10, "workers: wants a whole number"},
	{SHOP "workers: [2]\n", 6, 10, "workers: wants a whole number from 0 to 64, is a list"},
	{SHOP "workers:\n", 6, 9, "workers: wants a whole number from 0 to 64, is empty"},
	{SHOP "log-level: loud\n", 6, 12, "log-level: wants one of: error, warning, info, debug; is \"loud\""},
	{SHOP "verbosity: DEBUG\n", 6, 12, "verbosity: only in an original RDDR file; here it is log-level"},
	{SHOP "control: 5\n", 6, 10, "control: wants a text, is the number 5 (quote it"},
	{SHOP "control: /run/rddr/\n", 6, 10, "control: wants a file, is the folder \"/run/rddr/\""},
	{SHOP "control: "
	      "/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	      "xxxx\n",
	 6, 10, "control: 108 bytes are too long, at most 107 are possible: \"/xxx"},
	{SHOP "drain: 5\n", 6, 8, "drain: wants a duration (a number with ms, s, m or h) from 0ms to 1h, is \"5\""},
	{SHOP "drain: 61m\n", 6, 8, "drain: wants a duration"},
	{SHOP "drain: 5 weeks\n", 6, 8, "drain: wants a duration"},
	{SHOP "drain: 99999999999999999h\n", 6, 8, "drain: wants a duration"},
	{SHOP "drain: 18446744073709551616ms\n", 6, 8, "drain: wants a duration"},
	{SHOP "drain: -5s\n", 6, 8, "drain: wants a duration"},
	{SHOP "evidence: /tmp/x\n", 6, 11, "evidence: wants a mapping of keys, is \"/tmp/x\""},
	{SHOP "evidence: {fil: x}\n", 6, 12, "evidence.fil: unknown key (did you mean file?)"},
	{SHOP "evidence: {max-size: 1KiB}\n", 6, 22,
	 "evidence.max-size: wants a size (bytes, or a number with KiB, MiB or GiB) from 64KiB to 1024GiB, is "
	 "\"1KiB\""},
	{SHOP "evidence: {max-size: 10MB}\n", 6, 22, "evidence.max-size: wants a size"},
	{SHOP "evidence: {max-size: 4096}\n", 6, 22, "evidence.max-size: wants a size"},
	{SHOP "evidence: {keep: 1001}\n", 6, 18, "evidence.keep: wants a whole number from 0 to 1000, is \"1001\""},
	{SHOP "evidence: {excerpt: 17KiB}\n", 6, 21,
	 "evidence.excerpt: wants a size (bytes, or a number with KiB, MiB or GiB) from 0B to 16KiB"},
	{SHOP "defaults: {filter: true}\n", 6, 12, "defaults.filter: unknown key"},
	{SHOP "defaults: {deadlines: {idle: 25h}}\n", 6, 30,
	 "defaults.deadlines.idle: wants a duration (a number with ms, s, m or h) from 10ms to 24h"},
};

static const struct broken services[] = {
	{"services:\n", 1, 10, "services: wants a mapping of services by name, is empty"},
	{"services: [shop]\n", 1, 11, "services: wants a mapping of services by name, is a list"},
	{"services: {}\n", 1, 11, "services: there is no service"},
	{"services: {shop: 1}\n", 1, 18, "services.shop: wants a mapping of keys, is \"1\""},
	{"services: {my shop: {}}\n", 1, 12, "services.\"my shop\": a service's name has 1 to 63"},
	{"services: {-shop: {}}\n", 1, 12, "services.-shop: a service's name"},
	{"services: {\"\": {}}\n", 1, 12, "services.\"\": a service's name"},
	{"services:\n  shop:\n    listen: 127.0.0.1:80\n", 3, 5, "services.shop: the key instances is missing"},
	{"services:\n  shop:\n    instances: [{chainer: directed, remote: 127.0.0.1:1}]\n", 3, 5,
	 "services.shop: needs intercept, or listen"},
	{SHOP "    intercept: {address: 10.0.0.1, port: 80}\n", 6, 16,
	 "services.shop.intercept: not together with listen (line 3): a service has one"},
	{SHOP "    when-down: open\n", 6, 16,
	 "services.shop.when-down: not together with listen (line 3): it is for services that"},
	{SHOP "    existing: keep\n", 6, 15, "services.shop.existing: not together with listen"},
	{SHOP "    direction: sideways\n", 6, 16,
	 "services.shop.direction: wants one of: incoming, outgoing; is \"sideways\""},
	{SHOP "    enforce: true\n", 6, 5, "services.shop.enforce: unknown key (did you mean enforcing?)"},
	{SHOP "    enforcing: yes\n", 6, 16, "services.shop.enforcing: wants true or false, is \"yes\""},
	{SHOP "    enforcing: \"true\"\n", 6, 16, "services.shop.enforcing: wants true or false, is the text \"true\""},
	{SHOP "    enforcing:\n", 6, 15, "services.shop.enforcing: wants true or false, is empty"},
	{SHOP "    filter: true\n", 6, 13,
	 "services.shop.filter: true needs at least 3 instances (the filter pair, and one to compare it with); there "
	 "is 1"},
	{SECOND("chainer: directed, remote: 127.0.0.1:9002") "    filter: true\n", 7, 13,
	 "services.shop.filter: true needs at least 3 instances (the filter pair, and one to compare it with); there "
	 "are 2"},
	{SHOP "    diff-class: [http]\n", 6, 17, "services.shop.diff-class: wants a text, is a list"},
	{SHOP "    diff-class: \"\"\n", 6, 17, "services.shop.diff-class: wants the name of a diff plugin"},
	{SHOP "    diff-class: true\n", 6, 17, "services.shop.diff-class: wants a text, is the boolean true"},
	{SHOP "    diff-params: [1]\n", 6, 18, "services.shop.diff-params: wants a mapping of keys, is a list"},
	{SHOP "    diff-params: x\n", 6, 18, "services.shop.diff-params: wants a mapping of keys, is \"x\""},
	{SHOP "    diff-params: {a: [1, .inf]}\n", 6, 26,
	 "services.shop.diff-params.a[1]: .inf cannot be said in JSON"},
	{SHOP "    diff-params: {a: .NaN}\n", 6, 22, "services.shop.diff-params.a: .NaN cannot be said in JSON"},
	{SHOP "    diff-params: {a: 1e999}\n", 6, 22, "services.shop.diff-params.a: 1e999 cannot be said in JSON"},
	{SHOP "    diff-params: {a: 18446744073709551616}\n", 6, 22,
	 "services.shop.diff-params.a: the number 18446744073709551616 is too large"},
	{SHOP "    diff-params: {a: -9223372036854775809}\n", 6, 22,
	 "services.shop.diff-params.a: the number -9223372036854775809 is too large"},
	{SHOP "    diff-params: {a: {b: 1, b: 2}}\n", 6, 29, "the key \"b\" stands in line 6 already"},
	{SHOP "    diff-params: {a: [[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]}\n", 6, 45,
	 "services.shop.diff-params.a[0][0][0]"},
	{SHOP "    policy: all\n", 6, 13, "services.shop.policy: wants a mapping of keys, is \"all\""},
	{SHOP "    policy: {verdict: majority}\n", 6, 23,
	 "services.shop.policy.verdict: majority is not in this version of RDDR"},
	{SHOP "    policy: {verdict: most}\n", 6, 23, "services.shop.policy.verdict: wants one of: all; is \"most\""},
	{SHOP "    policy: {quorum: 2}\n", 6, 14, "services.shop.policy.quorum: unknown key"},
	{SHOP "    deadlines: {connect: 9ms}\n", 6, 26,
	 "services.shop.deadlines.connect: wants a duration (a number with ms, s, m or h) from 10ms to 5m, is \"9ms\""},
	{SHOP "    deadlines: {skew: 61m}\n", 6, 23, "services.shop.deadlines.skew: wants a duration"},
	{SHOP "    deadlines: {idle: 0s}\n", 6, 23, "services.shop.deadlines.idle: wants a duration"},
	{SHOP "    deadlines: {linger: 6m}\n", 6, 25, "services.shop.deadlines.linger: wants a duration"},
	{SHOP "    deadlines: {reuse: 25h}\n", 6, 24, "services.shop.deadlines.reuse: wants a duration"},
	{SHOP "    deadlines: 5s\n", 6, 16, "services.shop.deadlines: wants a mapping of keys, is \"5s\""},
	{SHOP "    noise: {run: 2MiB}\n", 6, 18,
	 "services.shop.noise.run: wants a size (bytes, or a number with KiB, MiB or GiB) from 0B to 1MiB"},
	{SHOP "    noise: {share: 20}\n", 6, 20,
	 "services.shop.noise.share: wants a percentage from 0% to 100%, is \"20\""},
	{SHOP "    noise: {share: 101%}\n", 6, 20,
	 "services.shop.noise.share: wants a percentage from 0% to 100%, is \"101%\""},
	{SHOP "    limits: {buffer: 4095}\n", 6, 22,
	 "services.shop.limits.buffer: wants a size (bytes, or a number with KiB, MiB or GiB) from 4KiB to 16MiB, is "
	 "\"4095\""},
	{SHOP "    limits: {buffer: 17MiB}\n", 6, 22, "services.shop.limits.buffer: wants a size"},
	{SHOP "    limits: {lag: 33MiB}\n", 6, 19, "services.shop.limits.lag: wants a size"},
	{SHOP "    limits: {repeat: 2MiB}\n", 6, 22, "services.shop.limits.repeat: wants a size"},
};

static const struct broken instances[] = {
	{"services:\n  shop:\n    listen: 127.0.0.1:80\n    instances: []\n", 4, 16,
	 "services.shop.instances: the list is empty"},
	{"services:\n  shop:\n    listen: 127.0.0.1:80\n    instances: {live: 1}\n", 4, 16,
	 "services.shop.instances: wants a list of instances, is a mapping"},
	{"services:\n  shop:\n    listen: 127.0.0.1:80\n    instances: [a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a]\n", 4, 16,
	 "services.shop.instances: 17 items; at most 16 are possible"},
	{SHOP "      - live\n", 6, 9, "services.shop.instances[1]: wants a mapping of keys, is \"live\""},
	{SECOND("name: x"), 6, 9, "services.shop.instances[1]: the key chainer is missing"},
	{SECOND("chainer: direct, remote: 127.0.0.1:1"), 6, 19,
	 "services.shop.instances[1].chainer: wants one of: transparent, directed, failover, inband; is \"direct\" "
	 "(did you mean "
	 "directed?)"},
	{SECOND("chainer: failover"), 6, 9, "services.shop.instances[1]: hosts: missing"},
	{SECOND("chainer: failover, hosts: [127.0.0.1:1, 127.0.0.1:1]"), 6, 36,
	 "services.shop.instances[1].hosts: 127.0.0.1:1: stands twice"},
	{SECOND("chainer: failover, hosts: [127.0.0.1]"), 6, 37, "services.shop.instances[1].hosts[0]: "},
	{SECOND("chainer: failover, hosts: [127.0.0.1:1], remote: 127.0.0.1:2"), 6, 59,
	 "services.shop.instances[1].remote: not with chainer failover"},
	{SECOND("chainer: directed, remote: 127.0.0.1:2, rotate: true"), 6, 58,
	 "services.shop.instances[1].rotate: only with chainer failover"},
	{SECOND("chainer: failover, hosts: [127.0.0.1:1], down-for: 1ms"), 6, 61,
	 "services.shop.instances[1].down-for: "},
	{SECOND("chainer: failover, hosts: [127.0.0.1:1], check: { http: / }, tls: { verify: none }"), 6, 9,
	 "services.shop.instances[1].check: http asks in clear"},
	{SECOND("chainer: inband, remote: 127.0.0.1:1"), 6, 35,
	 "services.shop.instances[1].remote: not with chainer inband"},
	{SECOND("chainer: directed, hosts: [127.0.0.1:1], remote: 127.0.0.1:1"), 6, 36,
	 "services.shop.instances[1].hosts: only with chainer failover"},
	{SECOND("chainer: transparent"), 6, 19, "services.shop.instances[1].chainer: "},
	{SECOND("chainer: directed"), 6, 9, "services.shop.instances[1]: remote: "},
	{SECOND("chainer: directed, remote: 127.0.0.1"), 6, 37,
	 "services.shop.instances[1].remote: wants host:port with a port from 1 to 65535 (IPv6: \"[fd00::1]:80\"), is "
	 "\"127.0.0.1\""},
	{SECOND("chainer: directed, remote: 127.0.0.1:0"), 6, 37, "services.shop.instances[1].remote: wants host:port"},
	{SECOND("chainer: directed, remote: 127.0.0.1:65536"), 6, 37,
	 "services.shop.instances[1].remote: wants host:port with a port from 1 to 65535, is \"127.0.0.1:65536\""},
	{SECOND("chainer: directed, remote: 127.0.0.1:http"), 6, 37,
	 "services.shop.instances[1].remote: wants host:port with a port from 1 to 65535, is \"127.0.0.1:http\""},
	{SECOND("chainer: directed, remote: 127.0.0.256:80"), 6, 37,
	 "services.shop.instances[1].remote: wants host:port, is \"127.0.0.256:80\""},
	{SECOND("chainer: directed, remote: 127.1:80"), 6, 37,
	 "services.shop.instances[1].remote: wants host:port, is \"127.1:80\""},
	{SECOND("chainer: directed, remote: 'fd00::1:80'"), 6, 37,
	 "services.shop.instances[1].remote: wants host:port with a port from 1 to 65535 (IPv6: \"[fd00::1]:80\")"},
	{SECOND("chainer: directed, remote: '[fd00::g]:80'"), 6, 37,
	 "services.shop.instances[1].remote: wants host:port, is the text \"[fd00::g]:80\""},
	{SECOND("chainer: directed, remote: [fd00::1]:80"), 6, 46, "not YAML: did not find expected ',' or '}'"},
	{SECOND("chainer: directed, remote: 80"), 6, 37,
	 "services.shop.instances[1].remote: wants a text, is the number 80"},
	{SECOND("chainer: directed, remote: 'a host:80'"), 6, 37,
	 "services.shop.instances[1].remote: wants host:port, is the text \"a host:80\""},
	{SECOND("chainer: directed, remote: -x.invalid:80"), 6, 37,
	 "services.shop.instances[1].remote: wants host:port, is \"-x.invalid:80\""},
	{SECOND("chainer: directed, remote: nowhere.invalid:80"), 6, 37,
	 "services.shop.instances[1].remote: the host nowhere.invalid cannot be resolved: "},
	{SECOND("chainer: directed, remote: 0.0.0.0:80"), 6, 37,
	 "services.shop.instances[1].remote: 0.0.0.0:80 is the wildcard address"},
	{SECOND("chainer: directed, remote: '[::]:80'"), 6, 37,
	 "services.shop.instances[1].remote: [::]:80 is the wildcard address"},
	{SECOND("chainer: directed, remote: 224.0.0.1:80"), 6, 37,
	 "services.shop.instances[1].remote: 224.0.0.1:80 is a multicast address"},
	{SECOND("chainer: directed, remote: 255.255.255.255:80"), 6, 37,
	 "services.shop.instances[1].remote: 255.255.255.255:80 is the broadcast address"},
	{SECOND("chainer: directed, remote: '[ff02::1]:80'"), 6, 37,
	 "services.shop.instances[1].remote: [ff02::1]:80 is a multicast address"},
	{SECOND("chainer: directed, remote: '[fe80::1]:80'"), 6, 37,
	 "services.shop.instances[1].remote: [fe80::1]:80 is a link-local address without its interface"},
	{SECOND("chainer: directed, remote: 127.0.0.1:8080"), 6, 37,
	 "services.shop.instances[1].remote: 127.0.0.1:8080 is where RDDR itself listens (service shop, line 3)"},
	{"services:\n  shop:\n    listen: 0.0.0.0:8080\n    instances: [{chainer: directed, remote: 127.0.0.1:8080}]\n",
	 4, 45, "services.shop.instances[0].remote: 127.0.0.1:8080 is where RDDR itself listens"},
	{SECOND("chainer: directed, remote: 127.0.0.1:1, local: 0.0.0.0"), 6, 57,
	 "services.shop.instances[1].local: 0.0.0.0 is the wildcard address"},
	{SECOND("chainer: directed, remote: 127.0.0.1:1, local: 'fd00::1'"), 6, 57,
	 "services.shop.instances[1].local: "},
	{SECOND("chainer: directed, remote: 127.0.0.1:1, local: 127.0.0.1, forge-addr: true"), 6, 57,
	 "services.shop.instances[1].local: "},
	{SECOND("chainer: directed, remote: 127.0.0.1:1, forge-port: exact"), 6, 62,
	 "services.shop.instances[1].forge-port: "},
	{SECOND("chainer: directed, remote: 127.0.0.1:1, forge-addr: true, forge-port: [exact, exact]"), 6, 80,
	 "services.shop.instances[1].forge-port: "},
	{SECOND("chainer: directed, remote: 127.0.0.1:1, forge-addr: true, forge-port: [exact, fixed]"), 6, 88,
	 "services.shop.instances[1].forge-port[1]: wants one of: exact, group, any, random; is \"fixed\""},
	{SECOND("chainer: directed, remote: 127.0.0.1:1, forge-addr: true, forge-port: [any, any, any, any, any]"), 6,
	 80, "services.shop.instances[1].forge-port: 5 items; at most 4 are possible"},
	{SECOND("chainer: directed, remote: 127.0.0.1:1, forge-fallback: true"), 6, 66,
	 "services.shop.instances[1].forge-fallback: "},
	{SECOND("chainer: directed, remote: 127.0.0.1:1, forced-port: 0"), 6, 63,
	 "services.shop.instances[1].forced-port: wants a whole number from 1 to 65535, is \"0\""},
	{SECOND("chainer: directed, remote: 127.0.0.1:1, forced-port: 5"), 6, 63,
	 "services.shop.instances[1].forced-port: "},
	{SECOND("chainer: directed, remote: '[::1]:1', forge-addr: true"), 6, 37,
	 "services.shop.instances[1].remote: the service has IPv4 clients, whose addresses cannot be forged"},
	{SECOND("name: instance0, chainer: directed, remote: 127.0.0.1:1"), 6, 9,
	 "services.shop.instances[1].name: instance0 is the name of the instance in line 5 already"},
	{SECOND("name: 5, chainer: directed, remote: 127.0.0.1:1"), 6, 16,
	 "services.shop.instances[1].name: wants a text, is the number 5"},
	{SECOND("name: a b, chainer: directed, remote: 127.0.0.1:1"), 6, 16,
	 "services.shop.instances[1].name: a name has no blanks"},
	{SECOND("name: \"a\\eb\", chainer: directed, remote: 127.0.0.1:1"), 6, 16,
	 "services.shop.instances[1].name: a name has no blanks, quotes, ',' or '=', and is ASCII; is the text "
	 "\"a\\x1bb\""},
};

static const struct broken listeners[] = {
	{"services: {a: {listen: 80, instances: [{chainer: directed, remote: 127.0.0.1:1}]}}\n", 1, 24,
	 "services.a.listen: wants a text, is the number 80"},
	{"services: {a: {listen: {host: 127.0.0.1}, instances: [{chainer: directed, remote: 127.0.0.1:1}]}}\n", 1, 24,
	 "services.a.listen: the key port is missing"},
	{"services: {a: {listen: {port: 1}, instances: [{chainer: directed, remote: 127.0.0.1:1}]}}\n", 1, 24,
	 "services.a.listen: the key host is missing"},
	{"services: {a: {listen: {host: '127.0.0.1:5', port: 1}, instances: [{chainer: directed, remote: "
	 "127.0.0.1:1}]}}\n",
	 1, 31, "services.a.listen.host: wants a host's address or name, is the text \"127.0.0.1:5\""},
	{"services: {a: {listen: {host: 127.0.0.1, port: 65536}, instances: [{chainer: directed, remote: "
	 "127.0.0.1:1}]}}\n",
	 1, 48, "services.a.listen.port: wants a whole number from 1 to 65535, is \"65536\""},
	{"services: {a: {listen: 127.0.0.1, instances: [{chainer: directed, remote: 127.0.0.1:1}]}}\n", 1, 24,
	 "services.a.listen: wants host:port"},
	{SHOP "  other:\n    listen: 127.0.0.1:8080\n    instances: [{chainer: directed, remote: 127.0.0.1:1}]\n", 7,
	 13, "services.other.listen: 127.0.0.1:8080: the service shop listens there already (line 3)"},
	{SHOP "  other:\n    listen: 0.0.0.0:8080\n    instances: [{chainer: directed, remote: 127.0.0.1:1}]\n", 7, 13,
	 "services.other.listen: 0.0.0.0:8080: the service shop listens there already (line 3)"},
	{SHOP "  other:\n    listen: 127.0.0.1:8081\n    instances: [{chainer: directed, remote: 127.0.0.1:8080}]\n", 8,
	 45, "services.other.instances[0].remote: 127.0.0.1:8080 is where RDDR itself listens (service shop, line 3)"},
};

static const struct broken interceptions[] = {
	{GATE("10.0.0.1:80"), 3, 16, "services.shop.intercept: wants a mapping of keys, is \"10.0.0.1:80\""},
	{GATE("[]"), 3, 16, "services.shop.intercept: the list is empty"},
	{GATE("{port: 80}"), 3, 16, "services.shop.intercept: the key address is missing"},
	{GATE("{address: 10.0.0.1}"), 3, 16, "services.shop.intercept: the key port is missing"},
	{GATE("{adress: 10.0.0.1, address: 10.0.0.1, port: 1}"), 3, 17,
	 "services.shop.intercept.adress: unknown key (did you mean address?)"},
	{GATE("[{address: 10.0.0.1, port: 1}, {address: 10.0.0.2, port: 0}]"), 3, 73,
	 "services.shop.intercept[1].port: wants a whole number from 1 to 65535, is \"0\""},
	{GATE("{address: 10.0.0.1, port: 65536}"), 3, 42,
	 "services.shop.intercept.port: wants a whole number from 1 to 65535, is \"65536\""},
	{GATE("{address: 10.0.0.1, port: http}"), 3, 42,
	 "services.shop.intercept.port: wants a port (1 to 65535), a list of ports, or all; is \"http\""},
	{GATE("{address: 10.0.0.1, port: [80, [81]]}"), 3, 47,
	 "services.shop.intercept.port[1]: wants a port (1 to 65535), a list of ports, or all; is a list"},
	{GATE("{address: 10.0.0.1, port: []}"), 3, 42, "services.shop.intercept.port: the list is empty"},
	{GATE("{address: 10.0.0.1:80, port: 80}"), 3, 26,
	 "services.shop.intercept.address: wants an address or a prefix (10.0.0.0/8, fd00::/8) without port or name, "
	 "is \"10.0.0.1:80\""},
	{GATE("{address: localhost, port: 80}"), 3, 26,
	 "services.shop.intercept.address: wants an address or a prefix"},
	{GATE("{address: 10.0.0.1/8, port: 80}"), 3, 26,
	 "services.shop.intercept.address: \"10.0.0.1/8\" has bits set behind the prefix's length"},
	{GATE("{address: 10.0.0.0/33, port: 80}"), 3, 26,
	 "services.shop.intercept.address: wants an address or a prefix"},
	{GATE("{address: 0.0.0.0, port: 80}"), 3, 26,
	 "services.shop.intercept.address: 0.0.0.0 is the wildcard address (every address: 0.0.0.0/0, ::/0)"},
	{GATE("{address: '::', port: 80}"), 3, 26, "services.shop.intercept.address: :: is the wildcard address"},
	{GATE("{address: [10.0.0.1, 5], port: 80}"), 3, 37,
	 "services.shop.intercept.address[1]: wants a text, is the number 5"},
	{GATE("{address: 10.0.0.1, port: 80, interface: abcdefghijklmnop}"), 3, 57,
	 "services.shop.intercept.interface: 16 bytes are too long, at most 15 are possible: \"abcdefghijklmnop\""},
	{GATE("{address: 10.0.0.1, port: 80, interface: [eth0, a/b]}"), 3, 64,
	 "services.shop.intercept.interface[1]: wants an interface's name, is \"a/b\""},
	{GATE("{address: 10.0.0.1, port: 80, interface: ..}"), 3, 57,
	 "services.shop.intercept.interface: wants an interface's name, is \"..\""},
	{GATE("{address: 10.0.0.1, port: 80, interface: lo}"), 3, 57,
	 "services.shop.intercept.interface: nothing is intercepted on lo"},
	{GATE("{address: 10.0.0.1, port: 80, clients: here}"), 3, 55,
	 "services.shop.intercept.clients: wants an address or a prefix"},
	{GATE("{address: 10.0.0.1, port: 80, clients: 'fd00::/8'}"), 3, 16,
	 "services.shop.intercept: no clients of the family of address 10.0.0.1/32"},
	{GATE("[{address: 10.0.0.1, port: 80}, {address: 10.0.0.1, port: [81, 80]}]"), 3, 48,
	 "services.shop.intercept: 10.0.0.1/32 port 80 from any is intercepted already (service shop, line 3)"},
	{GATE2("{address: 10.0.0.1, port: 80}", "{address: 10.0.0.1/32, port: 80}"), 6, 16,
	 "services.other.intercept: 10.0.0.1/32 port 80 from any is intercepted already (service shop, line 3)"},
	{GATE2("{address: 10.0.0.1, port: all, interface: e0, clients: 10.1.0.0/16}",
	       "{address: 10.0.0.1, port: all, interface: [e1, e0], clients: [10.1.0.0/16]}"),
	 6, 16, "services.other.intercept: 10.0.0.1/32 port all on e0 from 10.1.0.0/16 is intercepted already"},
	{GATE2("{address: 'fd00::1', port: 80}", "{address: 'fd00::1', port: 80, clients: '::/0'}"), 6, 16,
	 "services.other.intercept: fd00::1/128 port 80 from any is intercepted already"},
	{"services:\n  s:\n    intercept: {address: [10.0.0.1, 'fd00::1'], port: 80}\n    instances: [{chainer: "
	 "directed, forge-addr: true, remote: 10.1.0.1:1}]\n",
	 4, 63, "services.s.instances[0].remote: the service has IPv6 clients"},
	{"services:\n  s:\n    intercept: {address: 'fd00::1', port: 80}\n    instances: [{chainer: transparent, "
	 "local: 10.1.0.1}]\n",
	 4, 17, "services.s.instances[0].local: the service has IPv6 destinations"},
	{"services:\n  s:\n    intercept: {address: 10.0.0.1, port: 80}\n    instances: [{chainer: transparent, "
	 "remote: 10.1.0.1:1}]\n",
	 4, 48, "services.s.instances[0].remote: "},
};

static const struct broken originals[] = {
	{"addrlist: [127.0.0.1:1]\n", 1, 1, "the key incoming-proxy is missing"},
	{"incoming-proxy: {host: 127.0.0.1, port: 1}\n", 1, 1, "the key addrlist is missing"},
	{ORIGINAL "filter: true\n", 6, 9, "filter: true needs at least 3 instances"},
	{ORIGINAL "filter: maybe\n", 6, 9, "filter: wants true or false, is \"maybe\""},
	{ORIGINAL "  certificate: x\n", 6, 3, "incoming-proxy.certificate: unknown key"},
	{ORIGINAL "proxies: x\n", 6, 1, "proxies: unknown key"},
	{ORIGINAL "outgoing-proxies: {\"127.0.0.1:5432\": {host: 127.0.0.1, ports: [1, 2, 3]}}\n", 6, 63,
	 "outgoing-proxies.\"127.0.0.1:5432\".ports: wants one port for each of the 2 of addrlist, has 3"},
	{ORIGINAL "outgoing-proxies: {\"127.0.0.1\": {host: 127.0.0.1, ports: [1, 2]}}\n", 6, 20,
	 "outgoing-proxies.\"127.0.0.1\": "},
	{ORIGINAL "outgoing-proxies: {\"127.0.0.1:5432\": {host: 127.0.0.1, ports: [8080, 2]}}\n", 6, 38,
	 "outgoing-proxies: 127.0.0.1:8080: the service incoming listens there already"},
	{ORIGINAL "outgoing-proxies: no\n", 6, 19,
	 "outgoing-proxies: wants a mapping of backends (host:port), is \"no\""},
	{ORIGINAL "verbosity: LOUD\n", 6, 12, "verbosity: wants one of: error, warning, info, debug; is \"LOUD\""},
	{ORIGINAL "verbosity: INFO\nlog-level: info\n", 6, 12, "verbosity: not together with log-level"},
	{"addrlist: [127.0.0.1:1]\nincoming-proxy: {host: 127.0.0.1, port: 2, protocol: sctp}\n", 2, 54,
	 "incoming-proxy.protocol: wants one of: tcp, ssl; is \"sctp\""},
	{"addrlist: [127.0.0.1:1]\nincoming-proxy: {host: 127.0.0.1, port: 2, protocol: udp}\n", 2, 54,
	 "incoming-proxy.protocol: wants one of: tcp, ssl; is \"udp\""},
	{"addrlist: [127.0.0.1:1]\nincoming-proxy: {host: 127.0.0.1, port: 0}\n", 2, 41,
	 "incoming-proxy.port: wants a whole number from 1 to 65535, is \"0\""},
	{"addrlist: [127.0.0.1:1]\nincoming-proxy: {host: nowhere.invalid, port: 2}\n", 2, 24,
	 "incoming-proxy.host: the host nowhere.invalid cannot be resolved"},
	{"addrlist: [127.0.0.1:1, 127.0.0.1]\nincoming-proxy: {host: 127.0.0.1, port: 2}\n", 1, 25,
	 "addrlist[1]: wants host:port"},
	{"addrlist: 127.0.0.1:1\nincoming-proxy: {host: 127.0.0.1, port: 2}\n", 1, 11,
	 "addrlist: wants a list of host:port, is \"127.0.0.1:1\""},
	{"addrlist: []\nincoming-proxy: {host: 127.0.0.1, port: 2}\n", 1, 11, "addrlist: the list is empty"},
	{"addrlist: [127.0.0.1:1, 127.0.0.1:2]\nincoming-proxy: {host: 127.0.0.1, port: 2}\n", 1, 25,
	 "addrlist[1]: 127.0.0.1:2 is where RDDR itself listens"},
	{"addrlist: [127.0.0.1:1]\nincoming-proxy: {host: 127.0.0.1, port: 2, diff-params: 5}\n", 2, 57,
	 "incoming-proxy.diff-params: wants a mapping of keys, is \"5\""},
	{"addrlist: [127.0.0.1:1]\nincoming-proxy: on\n", 2, 17, "incoming-proxy: wants a mapping of keys, is \"on\""},
};

/* More is wrong with these than one thing. */
static const struct broken several[] = {
	{"a: 1\nb: 2\na: 3\na: 4\nb: 5\n", 3, 1, "the key \"a\" stands in line 1 already"},
	{SHOP "    when-down: shut\n", 6, 16, "services.shop.when-down: wants one of: closed, open; is \"shut\""},
};

static unsigned count_lines(const char *log)
{
	unsigned n = 0;

	for (; *log; log++)
		n += *log == '\n';
	return n;
}

/* Each has one error; at least two where most is larger. */
static void check_broken(const struct broken *table, size_t n, unsigned least, unsigned most)
{
	char *log = malloc(CAPTURED), expected[1024];
	unsigned wrong = 0;

	assert_non_null(log);
	for (size_t i = 0; i < n; i++) {
		struct config *config = NULL;
		int err = parse_captured(table[i].text, strlen(table[i].text), &config, log);
		unsigned lines = count_lines(log);

		snprintf(expected, sizeof(expected), "error config: t:%u:%u: %s", table[i].line, table[i].column,
			 table[i].says);
		if (err == -EINVAL && !config && strstr(log, expected) && lines >= least && lines <= most)
			continue;
		wrong++;
		print_error("---- %d, for\n%swanted %u to %u lines, among them\n%s\ngot\n%s", err, table[i].text, least,
			    most, expected, log);
		rddr_config_put(&config);
	}
	free(log);
	assert_int_equal(wrong, 0);
}

#define BROKEN(table, least, most)                                                                                     \
	static void test_##table(void **state)                                                                         \
	{                                                                                                              \
		(void)state;                                                                                           \
		check_broken(table, ARRAY_LEN(table), least, most);                                                    \
	}
BROKEN(whole_files, 1, 1)
BROKEN(daemon_wide, 1, 1)
BROKEN(services, 1, 1)
BROKEN(instances, 1, 1)
BROKEN(listeners, 1, 1)
BROKEN(interceptions, 1, 1)
BROKEN(originals, 1, 1)
BROKEN(several, 2, 20)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_files), cmocka_unit_test(test_daemon_wide),
		cmocka_unit_test(test_services),    cmocka_unit_test(test_instances),
		cmocka_unit_test(test_listeners),   cmocka_unit_test(test_interceptions),
		cmocka_unit_test(test_originals),   cmocka_unit_test(test_several),
	};

	enter_empty_network();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
