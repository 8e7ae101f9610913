/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Plugins of every kind are compiled here, each from a few lines, and loaded. Each has a constructor that sets a
 * variable of the environment; where the loader refuses a plugin for what it says of itself, nothing of it may have
 * run.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "plugin.h"

#define RAN "RDDR_TEST_PLUGIN_RAN"

#define SOURCE                                                                                                         \
	"#include <stdlib.h>\n"                                                                                        \
	"#include <rddr_diff.h>\n"                                                                                     \
	"static __attribute__((constructor)) void born(void) { setenv(\"" RAN "\", \"1\", 1); }\n"

#define TABLE                                                                                                          \
	"const struct rddr_diff_plugin rddr_diff_plugin = { .abi = RDDR_DIFF_ABI, .size = sizeof(rddr_diff_plugin)"
/* Something else, under the table's name. */
#define AS_TABLE(type) type " table __asm__(\"rddr_diff_plugin\")"
#define NAMED(name)    SOURCE TABLE ", .name = \"" name "\" };\n"

static char dir[] = "/tmp/rddr-unit-plugin-XXXXXX";
static char err[1024];

static const char *path_of(const char *name)
{
	static char paths[4][128];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static void write_file(const char *path, const void *data, size_t len)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static void run(const char *const argv[])
{
	pid_t pid = fork();
	int status = -1;

	assert_true(pid >= 0);
	if (pid == 0) {
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Compiles a plugin into dir/NAME. option may be NULL. */
static const char *compile(const char *name, const char *source, const char *option)
{
	const char *path = path_of(name), *from = path_of("source.c");
	const char *argv[] = {"cc", "-std=gnu11", "-O1", "-fPIC", "-shared", "-Idiff", "-o", path, from, option, NULL};

	write_file(from, source, strlen(source));
	run(argv);
	return path;
}

static int load(const char *diff_class, struct plugin **plugin)
{
	unsetenv(RAN);
	err[0] = '\0';
	*plugin = NULL;
	return rddr_plugin_load(diff_class, dir, plugin, err, sizeof(err));
}

/* Refused with that error and a message that opens with the file's name and has the words in it. Nothing of it ran. */
static void assert_refused(const char *path, int error, const char *words)
{
	struct plugin *plugin;

	assert_int_equal(load(path, &plugin), error);
	assert_null(plugin);
	assert_null(getenv(RAN));
	if (strncmp(err, path, strlen(path)) != 0 || !strstr(err, words))
		fail_msg("the message is: %s", err);
}

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	const char *argv[] = {"rm", "-rf", dir, NULL};

	(void)state;
	run(argv);
	return 0;
}

static void a_plugin_is_loaded(void **state)
{
	const char *path = compile("mine.so", NAMED("mine"), NULL);
	struct plugin *plugin;

	(void)state;
	assert_int_equal(load(path, &plugin), 0);
	assert_non_null(getenv(RAN));
	assert_string_equal(rddr_plugin_path(plugin), path);
	assert_string_equal(rddr_plugin_ops(plugin)->name, "mine");
	assert_null(rddr_plugin_ops(plugin)->create);
	rddr_plugin_put(&plugin);
	assert_null(plugin);
	rddr_plugin_put(&plugin);
}

static void a_class_is_a_file_of_the_folder(void **state)
{
	static const char *const names[] = {"bytes", "rddr_diff_builtins.RddrBytesDiff"};
	struct plugin *plugin;

	(void)state;
	compile("bytes.so", NAMED("bytes"), NULL);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(load(names[i], &plugin), 0);
		assert_string_equal(rddr_plugin_ops(plugin)->name, "bytes");
		rddr_plugin_put(&plugin);
	}
}

static void a_class_that_is_not_there(void **state)
{
	static const char *const names[] = {"htpp",   "", "Bytes", "a b", "..", "rddr_diff_builtins.RddrHttpDiff",
					    "my.Diff"};
	struct plugin *plugin;

	(void)state;
	compile("bytes.so", NAMED("bytes"), NULL);
	compile("mine.so", NAMED("mine"), NULL);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(load(names[i], &plugin), -ENOENT);
		assert_non_null(strstr(err, names[i]));
		assert_non_null(strstr(err, "there are bytes, mine"));
	}
	assert_int_equal(rddr_plugin_load("bytes", "/nonexistent", &plugin, err, sizeof(err)), -ENOENT);
	assert_non_null(strstr(err, "/nonexistent: No such file"));
	/* However little room there is for the message. */
	assert_int_equal(rddr_plugin_load("htpp", dir, &plugin, err, 8), -ENOENT);
	assert_int_equal(strlen(err), 7);
}

static void files_that_are_no_plugins(void **state)
{
	static const char text[] = "#!/bin/sh\nexit 0\n";

	(void)state;
	assert_refused(path_of("none.so"), -ENOENT, "No such file");
	write_file(path_of("text.so"), text, sizeof(text) - 1);
	assert_refused(path_of("text.so"), -ENOEXEC, "shared object");
	write_file(path_of("empty.so"), "", 0);
	assert_refused(path_of("empty.so"), -ENOEXEC, "shared object");
	assert_refused(dir, -ENOEXEC, "regular file");
	assert_int_equal(mkfifo(path_of("fifo.so"), 0600), 0);
	assert_refused(path_of("fifo.so"), -ENOEXEC, "regular file");
	assert_refused("/dev/null", -ENOEXEC, "regular file");
}

static void tables_that_do_not_fit(void **state)
{
	static const struct {
		const char *source;
		int error;
		const char *words;
	} cases[] = {
		{SOURCE "int nothing;\n", -ENOEXEC, "exports no rddr_diff_plugin"},
		{SOURCE
		 "#pragma GCC visibility push(hidden)\n" AS_TABLE("const struct rddr_diff_plugin") " = {1, 16, 0};\n",
		 -ENOEXEC, "exports no"},
		{SOURCE "void f(void) __asm__(\"rddr_diff_plugin\");\nvoid f(void) {}\n", -ENOEXEC, "exports no"},
		{SOURCE "const void *use(void) { return &rddr_diff_plugin; }\n", -ENOEXEC, "exports no"},
		{SOURCE AS_TABLE("const int") " = RDDR_DIFF_ABI;\n", -EPROTO, "4 bytes"},
		{SOURCE TABLE ", .abi = RDDR_DIFF_ABI + 1 };\n", -EPROTO, "ABI 2, this rddr knows 1"},
		{SOURCE TABLE ", .abi = 0 };\n", -EPROTO, "ABI 0"},
		{SOURCE TABLE ", .size = 8 };\n", -EPROTO, "size is 8"},
		{SOURCE TABLE ", .size = 0 };\n", -EPROTO, "size is 0"},
		{SOURCE TABLE ", .size = sizeof(rddr_diff_plugin) + 8 };\n", -EPROTO, "bytes that are there"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		compile("bad.so", cases[i].source, "-Wno-override-init");
		assert_refused(path_of("bad.so"), cases[i].error, cases[i].words);
	}
}

/* A newer plugin: what we do not know of its table is zero, or is not. */
static void longer_tables(void **state)
{
	static const char newer[] =
		SOURCE "struct newer { struct rddr_diff_plugin known; void (*more[2])(void); uint64_t flags; };\n"
		       "void more(void) {}\n";
	static const char *const tails[] = {"", ".more = {0, more}", ".flags = 1", ".more = {more}"};
	char source[2048];
	struct plugin *plugin;

	(void)state;
	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		snprintf(source, sizeof(source),
			 "%s" AS_TABLE(
				 "const struct newer") " = { .known = { .abi = RDDR_DIFF_ABI,"
						       " .size = sizeof(struct newer), .name = \"newer\" }, %s };\n",
			 newer, tails[i]);
		compile("newer.so", source, NULL);
		if (i > 0) {
			assert_refused(path_of("newer.so"), -EPROTO, "does not know");
			continue;
		}
		assert_int_equal(load(path_of("newer.so"), &plugin), 0);
		assert_string_equal(rddr_plugin_ops(plugin)->name, "newer");
		rddr_plugin_put(&plugin);
	}
}

/* An older one: it ends with validate_params, and what lies behind it is somebody else's. */
static void a_shorter_table_is_filled_up(void **state)
{
	static const char source[] = SOURCE
		"struct older { uint32_t abi, size; const char *name;"
		" int (*validate_params)(const char *, void **, char *, size_t); void *not_ours[20]; };\n"
		"static int yes(const char *j, void **p, char *e, size_t n) { (void)j, (void)p, (void)e, (void)n; "
		"return 0; }\n" AS_TABLE("const struct older") " = { RDDR_DIFF_ABI, 24, \"older\", yes,"
							       " { (void *)1, (void *)1, (void *)1, (void *)1, (void "
							       "*)1, (void *)1, (void *)1 } };\n";
	struct plugin *plugin;

	(void)state;
	compile("older.so", source, NULL);
	assert_int_equal(load(path_of("older.so"), &plugin), 0);
	assert_non_null(rddr_plugin_ops(plugin)->validate_params);
	assert_null(rddr_plugin_ops(plugin)->free_params);
	assert_null(rddr_plugin_ops(plugin)->render_denial);
	rddr_plugin_put(&plugin);
}

static void what_the_linker_refuses(void **state)
{
	struct plugin *plugin;

	(void)state;
	compile("undefined.so",
		SOURCE "void missing(void);\nvoid use(void) { missing(); }\n" TABLE ", .name = \"x\" };\n", NULL);
	assert_refused(path_of("undefined.so"), -ENOEXEC, "missing");
	assert_null(strstr(err, "/proc/"));
	/* Its name can be looked at only when it is loaded. */
	compile("nameless.so", SOURCE TABLE " };\n", NULL);
	assert_int_equal(load(path_of("nameless.so"), &plugin), -EPROTO);
	assert_non_null(strstr(err, "no name"));
}

/* A file that was cut anywhere is refused, and nothing reads past its end. */
static void a_truncated_file_is_refused(void **state)
{
	const char *path = compile("whole.so", NAMED("whole"), "-s");
	static char content[1 << 16];
	FILE *file = fopen(path, "r");
	struct plugin *plugin;
	size_t len;

	(void)state;
	assert_non_null(file);
	len = fread(content, 1, sizeof(content), file);
	fclose(file);
	assert_in_range(len, 1000, sizeof(content) - 1);
	for (size_t cut = 0; cut < len; cut += 1 + len / 200) {
		write_file(path_of("cut.so"), content, cut);
		assert_true(load(path_of("cut.so"), &plugin) < 0);
		assert_null(getenv(RAN));
	}
}

static void whoever_may_write_it_is_asked(void **state)
{
	const char *path = compile("open.so", NAMED("open"), NULL);
	struct plugin *plugin;

	(void)state;
	assert_int_equal(chmod(path, 0646), 0);
	assert_refused(path, -EPERM, "0646");
	assert_int_equal(chmod(path, 0644), 0);
	if (geteuid() == 0) {
		assert_int_equal(chown(path, 12345, 0), 0);
		assert_refused(path, -EPERM, "user 12345");
		assert_int_equal(chown(path, 0, 0), 0);
	}
	assert_int_equal(load(path, &plugin), 0);
	rddr_plugin_put(&plugin);
}

static void the_same_bytes_are_the_same_plugin(void **state)
{
	const char *path = compile("one.so", NAMED("one"), NULL);
	struct plugin *first, *second, *held;

	(void)state;
	assert_int_equal(load(path, &first), 0);
	assert_int_equal(load(path, &second), 0);
	assert_ptr_equal(first, second);
	/* It was not loaded again. */
	assert_null(getenv(RAN));
	held = rddr_plugin_get(first);
	rddr_plugin_put(&first);
	rddr_plugin_put(&second);
	assert_string_equal(rddr_plugin_ops(held)->name, "one");
	rddr_plugin_put(&held);
	assert_int_equal(load(path, &first), 0);
	assert_non_null(getenv(RAN));
	rddr_plugin_put(&first);
}

static const char *version_of(struct plugin *plugin)
{
	static char text[64];

	text[0] = '\0';
	rddr_plugin_ops(plugin)->validate_params("{}", NULL, text, sizeof(text));
	return text;
}

/* Versions of one file live side by side, each with its own state; the file may be overwritten under a loaded one. */
static void versions_live_side_by_side(void **state)
{
	struct plugin *plugins[4];
	const char *path = NULL;

	(void)state;
	for (int i = 0; i < 4; i++) {
		char source[2048], want[16];

		snprintf(source, sizeof(source),
			 SOURCE "#include <stdio.h>\nint calls = %d;\n"
				"static int say(const char *j, void **p, char *e, size_t n)"
				"{ (void)j, (void)p; snprintf(e, n, \"v%d.%%d\", calls++); return 0; }\n" TABLE
				", .name = \"versions\", .validate_params = say };\n",
			 i * 10, i);
		path = compile("versions.so", source, NULL);
		assert_int_equal(load(path, &plugins[i]), 0);
		snprintf(want, sizeof(want), "v%d.%d", i, i * 10);
		assert_string_equal(version_of(plugins[i]), want);
	}
	assert_int_equal(truncate(path, 0), 0);
	assert_string_equal(version_of(plugins[0]), "v0.1");
	assert_string_equal(version_of(plugins[3]), "v3.31");
	/* One in the middle goes, and another comes: it is not taken for the one that went. */
	rddr_plugin_put(&plugins[1]);
	compile("versions.so", NAMED("new"), NULL);
	assert_int_equal(load(path, &plugins[1]), 0);
	assert_string_equal(rddr_plugin_ops(plugins[1])->name, "new");
	assert_string_equal(version_of(plugins[2]), "v2.21");
	for (int i = 0; i < 4; i++)
		rddr_plugin_put(&plugins[i]);
}

static unsigned open_descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* The linker keeps some for ever; their descriptor's number must not be used for another. */
static void one_that_stays_is_not_mistaken(void **state)
{
	unsigned before = open_descriptors();
	struct plugin *plugin;

	(void)state;
	compile("stays.so", NAMED("stays"), "-Wl,-z,nodelete");
	compile("goes.so", NAMED("goes"), NULL);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(load(path_of("stays.so"), &plugin), 0);
		assert_string_equal(rddr_plugin_ops(plugin)->name, "stays");
		rddr_plugin_put(&plugin);
		assert_int_equal(load(path_of("goes.so"), &plugin), 0);
		assert_string_equal(rddr_plugin_ops(plugin)->name, "goes");
		rddr_plugin_put(&plugin);
	}
	assert_int_equal(open_descriptors(), before + 1);
}

static void nothing_is_left_open(void **state)
{
	unsigned before = open_descriptors();
	struct plugin *plugin;

	(void)state;
	compile("leak.so", NAMED("leak"), NULL);
	compile("abi.so", SOURCE TABLE ", .abi = 7 };\n", "-Wno-override-init");
	for (int i = 0; i < 5; i++) {
		assert_int_equal(load(path_of("leak.so"), &plugin), 0);
		rddr_plugin_put(&plugin);
		assert_int_equal(load(path_of("abi.so"), &plugin), -EPROTO);
		assert_int_equal(load("nothing", &plugin), -ENOENT);
	}
	assert_int_equal(open_descriptors(), before);
}

/* The real ones, where they are built. */
static void the_built_ones_load(void **state)
{
	static const char *const names[] = {"bytes", "skeleton"};
	const char *build = getenv("RDDR_BUILD");
	char folder[256];

	(void)state;
	snprintf(folder, sizeof(folder), "%s/diff", build ? build : "build");
	for (size_t i = 0; i < 2; i++) {
		struct plugin *plugin;

		if (rddr_plugin_load(names[i], folder, &plugin, err, sizeof(err)) != 0)
			fail_msg("%s", err);
		assert_string_equal(rddr_plugin_ops(plugin)->name, names[i]);
		assert_non_null(rddr_plugin_ops(plugin)->diff_traffic);
		rddr_plugin_put(&plugin);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_class_that_is_not_there), /* first: it lists the folder */
		cmocka_unit_test(a_plugin_is_loaded),
		cmocka_unit_test(a_class_is_a_file_of_the_folder),
		cmocka_unit_test(files_that_are_no_plugins),
		cmocka_unit_test(tables_that_do_not_fit),
		cmocka_unit_test(longer_tables),
		cmocka_unit_test(a_shorter_table_is_filled_up),
		cmocka_unit_test(what_the_linker_refuses),
		cmocka_unit_test(a_truncated_file_is_refused),
		cmocka_unit_test(whoever_may_write_it_is_asked),
		cmocka_unit_test(the_same_bytes_are_the_same_plugin),
		cmocka_unit_test(versions_live_side_by_side),
		cmocka_unit_test(one_that_stays_is_not_mistaken),
		cmocka_unit_test(nothing_is_left_open),
		cmocka_unit_test(the_built_ones_load),
	};

	return cmocka_run_group_tests_name("plugin", tests, make_dir, remove_dir);
}
