// SPDX-License-Identifier: BSD-2-Clause
#include "addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "own.h"

static struct addr parsed(const char *text)
{
	struct addr a;

	if (rddr_addr_parse(text, 0, &a))
		fail_msg("%s does not parse", text);
	return a;
}

static struct prefix prefix(const char *text)
{
	struct prefix p;

	if (rddr_prefix_parse(text, &p))
		fail_msg("%s does not parse", text);
	return p;
}

static void test_parse_good(void **state)
{
	static const struct {
		const char *in, *out;
		uint16_t default_port;
	} cases[] = {
		{"10.0.0.1", "10.0.0.1", 0},
		{"10.0.0.1", "10.0.0.1:80", 80},
		{"10.0.0.1:443", "10.0.0.1:443", 80},
		{"10.0.0.1:0", "10.0.0.1", 80},
		{"10.0.0.1:65535", "10.0.0.1:65535", 0},
		{"255.255.255.255:1", "255.255.255.255:1", 0},
		{"0.0.0.0", "0.0.0.0", 0},
		{"::", "::", 0},
		{"::", "[::]:80", 80},
		{"::1", "[::1]:80", 80},
		{"[::1]", "::1", 0},
		{"[::1]", "[::1]:80", 80},
		{"[::1]:443", "[::1]:443", 80},
		{"fd00::1:443", "[fd00::1:443]:80", 80},
		{"FD00:0:0::A", "fd00::a", 0},
		{"::ffff:10.0.0.1", "10.0.0.1", 0},
		{"[::ffff:10.0.0.1]:80", "10.0.0.1:80", 0},
		{"::ffff:0a00:0001", "10.0.0.1", 0},
		{"64:ff9b::10.0.0.1", "64:ff9b::a00:1", 0},
		{"fe80::1%lo", "fe80::1%lo", 0},
		{"[fe80::1%lo]:80", "[fe80::1%lo]:80", 0},
		{"[fe80::1%4000000000]:80", "[fe80::1%4000000000]:80", 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[RDDR_ADDR_TEXT];
		struct addr a;

		memset(&a, 0xff, sizeof(a));
		print_message("%s\n", cases[i].in);
		assert_int_equal(rddr_addr_parse(cases[i].in, cases[i].default_port, &a), 0);
		assert_string_equal(rddr_addr_format(&a, text, sizeof(text)), cases[i].out);
	}
}

static void test_parse_bad(void **state)
{
	static const char *const cases[] = {
		"",
		" ",
		":",
		":80",
		"[]",
		"[]:80",
		"10.0.0",
		"10.0.0.256",
		"10.0.0.1.2",
		" 10.0.0.1",
		"10.0.0.1 ",
		"10.0.0.1:",
		"10.0.0.1:65536",
		"10.0.0.1:99999999999",
		"10.0.0.1:4294967376",
		"10.0.0.1:-1",
		"10.0.0.1:+1",
		"10.0.0.1: 80",
		"10.0.0.1:80x",
		"10.0.0.1:http",
		"10.0.0.1:80:80",
		"10.0.0.1/24",
		"10.0.0.1%lo",
		"[10.0.0.1]:80",
		"[10.0.0.1:80]",
		"[::1",
		"[::1]80",
		"[::1]:",
		"[::1]:65536",
		"[::1]]:80",
		"[[::1]]:80",
		"::1]:80",
		":::",
		"1:2:3:4:5:6:7:8:9",
		"g::1",
		"fe80::1%",
		"fe80::1%no-such-interface",
		"fe80::1%0",
		"fe80::1%4294967296",
		"localhost",
		"localhost:80",
		"example.org:80",
		"fe80:0000:0000:0000:0000:0000:0000:0001%an-interface-name-that-is-longer-than-any-can-be-01234567890",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct addr a, before;

		memset(&a, 0xa5, sizeof(a));
		before = a;
		print_message("'%s'\n", cases[i]);
		assert_int_equal(rddr_addr_parse(cases[i], 80, &a), -EINVAL);
		assert_memory_equal(&a, &before, sizeof(a));
	}
}

static void test_parts(void **state)
{
	struct addr four = parsed("10.1.2.3:80"), six = parsed("[fd00::9]:443");
	size_t len;

	(void)state;
	assert_int_equal(rddr_addr_len(&four), sizeof(struct sockaddr_in));
	assert_int_equal(rddr_addr_len(&six), sizeof(struct sockaddr_in6));
	assert_int_equal(rddr_addr_port(&four), 80);
	assert_int_equal(rddr_addr_port(&six), 443);
	assert_memory_equal(rddr_addr_bytes(&four, &len), "\x0a\x01\x02\x03", 4);
	assert_int_equal(len, 4);
	assert_int_equal(rddr_addr_bytes(&six, &len)[15], 9);
	assert_int_equal(len, 16);

	rddr_addr_set_port(&four, 65535);
	rddr_addr_set_port(&six, 0);
	assert_int_equal(ntohs(four.v4.sin_port), 65535);
	assert_int_equal(six.v6.sin6_port, 0);
}

static void test_unmap(void **state)
{
	struct addr mapped = {.v6 = {.sin6_family = AF_INET6, .sin6_port = htons(80)}};
	struct addr six = parsed("[fd00::1]:80"), before = six, four = parsed("10.0.0.1:80");

	(void)state;
	assert_int_equal(inet_pton(AF_INET6, "::ffff:10.0.0.1", &mapped.v6.sin6_addr), 1);
	rddr_addr_unmap(&mapped);
	assert_true(rddr_addr_equal(&mapped, &four));
	rddr_addr_unmap(&mapped);
	assert_true(rddr_addr_equal(&mapped, &four));
	rddr_addr_unmap(&six);
	assert_memory_equal(&six, &before, sizeof(six));
}

static void test_compare(void **state)
{
	static const struct {
		const char *a, *b;
		bool equal, same_host;
	} cases[] = {
		{"10.0.0.1:80", "10.0.0.1:80", true, true},	  {"10.0.0.1:80", "10.0.0.1:81", false, true},
		{"10.0.0.1:80", "10.0.0.2:80", false, false},	  {"10.0.0.1:80", "[::ffff:10.0.0.1]:80", true, true},
		{"0.0.0.0:80", "[::]:80", false, false},	  {"[fd00::1]:80", "[fd00::1]:80", true, true},
		{"[fd00::1]:80", "[fd00::1]:81", false, true},	  {"[fd00::1]:80", "[fd00::2]:80", false, false},
		{"[fd00::1]:80", "[fd01::1]:80", false, false},	  {"[fe80::1%1]:80", "[fe80::1%2]:80", false, false},
		{"[fe80::1%2]:80", "[fe80::1%2]:80", true, true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct addr a = parsed(cases[i].a), b = parsed(cases[i].b);

		print_message("%s %s\n", cases[i].a, cases[i].b);
		assert_int_equal(rddr_addr_equal(&a, &b), cases[i].equal);
		assert_int_equal(rddr_addr_equal(&b, &a), cases[i].equal);
		assert_int_equal(rddr_addr_same_host(&a, &b), cases[i].same_host);
		assert_int_equal(rddr_addr_same_host(&b, &a), cases[i].same_host);
	}

	/* What the kernel leaves behind in the fields that are no part of the address. */
	struct addr a = parsed("10.0.0.1:80"), b = a;
	memset(b.v4.sin_zero, 0xff, sizeof(b.v4.sin_zero));
	assert_true(rddr_addr_equal(&a, &b));
	a = b = parsed("[fd00::1]:80");
	b.v6.sin6_flowinfo = 1;
	assert_true(rddr_addr_equal(&a, &b));
}

static void test_wildcard(void **state)
{
	struct addr any4 = parsed("0.0.0.0:80"), any6 = parsed("[::]:80"), four = parsed("0.0.0.1"),
		    six = parsed("::1"), high = parsed("128.0.0.0");

	(void)state;
	assert_true(rddr_addr_is_wildcard(&any4));
	assert_true(rddr_addr_is_wildcard(&any6));
	assert_false(rddr_addr_is_wildcard(&four));
	assert_false(rddr_addr_is_wildcard(&six));
	assert_false(rddr_addr_is_wildcard(&high));
}

static void test_format(void **state)
{
	struct addr six = parsed("[fd00::1]:80"), none = {0};
	char text[RDDR_ADDR_TEXT], small[5];

	(void)state;
	assert_string_equal(rddr_addr_format(&none, text, sizeof(text)), "unspecified");
	memset(small, 'x', sizeof(small));
	assert_ptr_equal(rddr_addr_format(&six, small, 4), small);
	assert_string_equal(small, "[fd");
	assert_int_equal(small[4], 'x');
	assert_ptr_equal(rddr_addr_format(&six, small, 1), small);
	assert_string_equal(small, "");
	small[0] = 'x';
	rddr_addr_format(&six, small, 0);
	assert_int_equal(small[0], 'x');

	/* The longest that there is fits. */
	memset(&six.v6.sin6_addr, 0xff, sizeof(six.v6.sin6_addr));
	six.v6.sin6_scope_id = UINT32_MAX;
	rddr_addr_set_port(&six, 65535);
	assert_string_equal(rddr_addr_format(&six, text, sizeof(text)),
			    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535");
}

static void test_local(void **state)
{
	struct addr loopback = parsed("127.0.0.1:80"), other = parsed("127.9.9.9:80"), six = parsed("[::1]:80"),
		    foreign4 = parsed("192.0.2.1:80"), foreign6 = parsed("[2001:db8::1]:80"), none = {0},
		    any4 = parsed("0.0.0.0"), any6 = parsed("::"), multicast4 = parsed("224.0.0.1"),
		    multicast6 = parsed("ff02::1"), broadcast = parsed("255.255.255.255");

	(void)state;
	assert_true(rddr_addr_is_local(&loopback));
	assert_true(rddr_addr_is_local(&other));
	assert_true(rddr_addr_is_local(&any4));
	assert_true(rddr_addr_is_local(&any6));
	assert_false(rddr_addr_is_local(&foreign4));
	assert_false(rddr_addr_is_local(&foreign6));
	assert_false(rddr_addr_is_local(&multicast4));
	assert_false(rddr_addr_is_local(&multicast6));
	assert_false(rddr_addr_is_local(&broadcast));
	assert_false(rddr_addr_is_local(&none));
	if (access("/proc/net/if_inet6", F_OK) == 0)
		assert_true(rddr_addr_is_local(&six));
}

static bool write_text(const char *path, const char *text)
{
	_owned_file_ FILE *file = fopen(path, "w");

	return file && fputs(text, file) >= 0 && !fflush(file);
}

/* Exit status of a child in a network namespace of its own, where any address can be bound: 0 good, 1 bad, 77 no such
 * namespace. */
static int in_nonlocal_namespace(void)
{
	struct addr foreign4 = parsed("192.0.2.1"), foreign6 = parsed("2001:db8::1");

	if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET))
		return 77;
	if (!write_text("/proc/sys/net/ipv4/ip_nonlocal_bind", "1") ||
	    !write_text("/proc/sys/net/ipv6/ip_nonlocal_bind", "1"))
		return 77;
	return rddr_addr_is_local(&foreign4) || rddr_addr_is_local(&foreign6);
}

static void test_local_where_anything_binds(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	assert_true(pid >= 0);
	if (!pid)
		_exit(in_nonlocal_namespace());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_prefix_parse(void **state)
{
	static const struct {
		const char *in, *out;
		int error;
	} cases[] = {
		{"10.0.0.0/8", "10.0.0.0/8", 0},
		{"10.0.0.1", "10.0.0.1/32", 0},
		{"10.0.0.1/32", "10.0.0.1/32", 0},
		{"0.0.0.0/0", "0.0.0.0/0", 0},
		{"10.0.0.2/31", "10.0.0.2/31", 0},
		{"10.128.0.0/9", "10.128.0.0/9", 0},
		{"::/0", "::/0", 0},
		{"fd00::/8", "fd00::/8", 0},
		{"fd00::1", "fd00::1/128", 0},
		{"2001:db8:8000::/33", "2001:db8:8000::/33", 0},
		{"::ffff:10.0.0.0/104", "10.0.0.0/8", 0},
		{"::ffff:10.0.0.1", "10.0.0.1/32", 0},
		{"::ffff:0.0.0.0/96", "0.0.0.0/0", 0},
		{"10.0.0.1/8", NULL, -ERANGE},
		{"10.0.0.1/31", NULL, -ERANGE},
		{"10.0.0.0/0", NULL, -ERANGE},
		{"fd00::1/64", NULL, -ERANGE},
		{"2001:db8:8000::/32", NULL, -ERANGE},
		{"::ffff:10.0.0.1/104", NULL, -ERANGE},
		{"10.0.0.0/33", NULL, -EINVAL},
		{"fd00::/129", NULL, -EINVAL},
		{"10.0.0.0/", NULL, -EINVAL},
		{"10.0.0.0/-1", NULL, -EINVAL},
		{"10.0.0.0/8/8", NULL, -EINVAL},
		{"10.0.0.0/255.0.0.0", NULL, -EINVAL},
		{"10.0.0.0:80", NULL, -EINVAL},
		{"10.0/8", NULL, -EINVAL},
		{"/8", NULL, -EINVAL},
		{"", NULL, -EINVAL},
		{"[fd00::]/8", NULL, -EINVAL},
		{"fe80::1%lo", NULL, -EINVAL},
		{"fe80::%lo/64", NULL, -EINVAL},
		{"any", NULL, -EINVAL},
		{"10.0.0.0/0000000000000000000000000000000000000000000000000000000000000000000000000008", NULL,
		 -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[RDDR_ADDR_TEXT];
		struct prefix p, before;

		memset(&p, 0xa5, sizeof(p));
		before = p;
		print_message("'%s'\n", cases[i].in);
		assert_int_equal(rddr_prefix_parse(cases[i].in, &p), cases[i].error);
		if (cases[i].error)
			assert_memory_equal(&p, &before, sizeof(p));
		else
			assert_string_equal(rddr_prefix_format(&p, text, sizeof(text)), cases[i].out);
	}
}

static void test_prefix_format(void **state)
{
	struct prefix all = {.family = AF_UNSPEC}, ten = prefix("10.0.0.0/8");
	char text[8];

	(void)state;
	assert_string_equal(rddr_prefix_format(&all, text, sizeof(text)), "any");
	assert_string_equal(rddr_prefix_format(&ten, text, sizeof(text)), "10.0.0.");
	text[0] = 'x';
	rddr_prefix_format(&ten, text, 0);
	assert_int_equal(text[0], 'x');
}

static void test_prefix_contains(void **state)
{
	static const struct {
		const char *prefix, *addr;
		bool contains;
	} cases[] = {
		{"10.0.0.0/8", "10.255.255.255:80", true},
		{"10.0.0.0/8", "11.0.0.0", false},
		{"10.0.0.0/9", "10.127.255.255", true},
		{"10.0.0.0/9", "10.128.0.0", false},
		{"10.0.0.1", "10.0.0.1:80", true},
		{"10.0.0.1", "10.0.0.0", false},
		{"10.0.0.2/31", "10.0.0.3", true},
		{"10.0.0.2/31", "10.0.0.4", false},
		{"0.0.0.0/0", "192.0.2.1", true},
		{"0.0.0.0/0", "::", false},
		{"::/0", "0.0.0.0", false},
		{"::/0", "fd00::1", true},
		{"fd00::/8", "fdff::1", true},
		{"fd00::/8", "fe00::1", false},
		{"fd00::/127", "fd00::1", true},
		{"fd00::/127", "fd00::2", false},
		{"fd00::1", "[fd00::1]:80", true},
		{"fe80::/10", "fe80::1%1", true},
	};
	struct prefix all = {.family = AF_UNSPEC}, ten = prefix("10.0.0.0/8");
	struct addr mapped = {.v6 = {.sin6_family = AF_INET6}}, four = parsed("10.0.0.1"), six = parsed("fd00::1");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct prefix p = prefix(cases[i].prefix);
		struct addr a = parsed(cases[i].addr);

		print_message("%s %s\n", cases[i].prefix, cases[i].addr);
		assert_int_equal(rddr_prefix_contains(&p, &a), cases[i].contains);
	}
	assert_true(rddr_prefix_contains(&all, &four));
	assert_true(rddr_prefix_contains(&all, &six));
	assert_int_equal(inet_pton(AF_INET6, "::ffff:10.9.9.9", &mapped.v6.sin6_addr), 1);
	assert_true(rddr_prefix_contains(&ten, &mapped));
}

static void test_prefix_covers(void **state)
{
	static const struct {
		const char *outer, *inner;
		bool covers;
	} cases[] = {
		{"10.0.0.0/8", "10.0.0.0/8", true},
		{"10.0.0.0/8", "10.1.0.0/16", true},
		{"10.1.0.0/16", "10.0.0.0/8", false},
		{"10.0.0.0/8", "11.0.0.0/16", false},
		{"10.0.0.0/9", "10.128.0.0/9", false},
		{"0.0.0.0/0", "10.0.0.1", true},
		{"0.0.0.0/0", "::/0", false},
		{"::/0", "10.0.0.1", false},
		{"::/0", "fd00::1", true},
		{"fd00::/8", "fc00::/7", false},
		{"fd00::/127", "fd00::1", true},
	};
	struct prefix all = {.family = AF_UNSPEC}, everything = prefix("0.0.0.0/0");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct prefix outer = prefix(cases[i].outer), inner = prefix(cases[i].inner);

		print_message("%s %s\n", cases[i].outer, cases[i].inner);
		assert_int_equal(rddr_prefix_covers(&outer, &inner), cases[i].covers);
	}
	assert_true(rddr_prefix_covers(&all, &everything));
	assert_true(rddr_prefix_covers(&all, &all));
	assert_false(rddr_prefix_covers(&everything, &all));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_good),
		cmocka_unit_test(test_parse_bad),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_unmap),
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_wildcard),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_local),
		cmocka_unit_test(test_local_where_anything_binds),
		cmocka_unit_test(test_prefix_parse),
		cmocka_unit_test(test_prefix_format),
		cmocka_unit_test(test_prefix_contains),
		cmocka_unit_test(test_prefix_covers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
