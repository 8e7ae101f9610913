/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Says anything to the control socket, in one piece and in many. Each line that is not empty has one answer, which is
 * one line with a JSON object; the answers do not depend on the pieces, and a command is given what was asked. The
 * first byte is the size of the pieces; its highest bit puts blanks in front, so that the line may become too long.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"
#include "loop.h"

#define BLANKS	  65500
#define SAID_MAX  (BLANKS + 8192)
#define HEARD_MAX (4u << 20)

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop *loop;
static struct control *control;
static struct sockaddr_un at = {.sun_family = AF_UNIX};
static struct reply *kept; /* to be answered later */

static void need(bool holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "%s\n", what);
		abort();
	}
}

static void say_echo(void *ctx, struct reply *reply, json_object *request)
{
	need(ctx == &at && json_object_is_type(request, json_type_object), "a command is given no request");
	rddr_control_answer(reply, json_object_get(request));
}

static void say_no(void *ctx, struct reply *reply, json_object *request)
{
	json_object *text = NULL;

	(void)ctx;
	json_object_object_get_ex(request, "text", &text);
	rddr_control_refuse(reply, "no: %s", text ? json_object_to_json_string(text) : "\xff\n");
}

static void say_later(void *ctx, struct reply *reply, json_object *request)
{
	(void)ctx;
	(void)request;
	need(!kept, "a client has two requests under way");
	kept = reply;
}

static void say_pass(void *ctx, struct reply *reply, json_object *request)
{
	const int fd = STDERR_FILENO;

	(void)ctx;
	(void)request;
	rddr_control_answer_fds(reply, NULL, &fd, 1);
}

static const struct control_command commands[] = {
	{"echo", say_echo}, {"no", say_no}, {"later", say_later}, {"pass", say_pass}};

static void forget_folder(void)
{
	char *slash = strrchr(at.sun_path, '/');

	rddr_control_free(&control);
	rddr_loop_free(&loop);
	*slash = '\0';
	rmdir(at.sun_path);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char folder[] = "/tmp/fuzz-control.XXXXXX";

	(void)argc;
	(void)argv;
	need(mkdtemp(folder) && !rddr_loop_new(&loop), "begin");
	snprintf(at.sun_path, sizeof(at.sun_path), "%s/control.sock", folder);
	need(rddr_control_new(loop, at.sun_path, commands, sizeof(commands) / sizeof(commands[0]), &at, &control) == 0,
	     "listen");
	atexit(forget_folder);
	return 0;
}

static void step(void)
{
	need(rddr_loop_step(loop) == 0, "the loop failed");
	if (kept) {
		struct reply *reply = kept;

		kept = NULL;
		rddr_control_answer(reply, json_object_new_string("later"));
	}
}

/* Reads what is there. False: the end. */
static bool hear(int fd, char *heard, size_t *len)
{
	ssize_t n;

	while ((n = recv(fd, heard + *len, HEARD_MAX - *len, MSG_DONTWAIT)) > 0)
		*len += (size_t)n;
	need(n == 0 || errno == EAGAIN || errno == ECONNRESET, "recv");
	need(*len < HEARD_MAX, "it says too much");
	return n < 0 && errno == EAGAIN;
}

/* All of what is answered; its length. */
static size_t ask(const char *said, size_t size, size_t piece, char *heard)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t len = 0, sent = 0;
	bool open = true;

	need(fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0, "connect");
	step();
	while (open && sent < size) {
		size_t part = piece < size - sent ? piece : size - sent;
		ssize_t n = send(fd, said + sent, part, MSG_NOSIGNAL | MSG_DONTWAIT);

		/* It hung up, or has to read first. */
		if (n < 0 && errno != EAGAIN)
			break;
		sent += n > 0 ? (size_t)n : 0;
		step();
		open = hear(fd, heard, &len);
	}
	shutdown(fd, SHUT_WR);
	while (open) {
		step();
		open = hear(fd, heard, &len);
	}
	close(fd);
	return len;
}

/* Lines that are asked for something. */
static size_t count_lines(const char *said, size_t size)
{
	size_t n = 0, from = 0;

	for (size_t i = 0; i < size; i++) {
		if (said[i] != '\n')
			continue;
		n += i > from && !(i == from + 1 && said[from] == '\r');
		from = i + 1;
	}
	return n;
}

static void check_line(const char *line, size_t len)
{
	json_tokener *tokener = json_tokener_new_ex(32);
	json_object *answer, *ok = NULL, *value = NULL;

	need(tokener != NULL, "no memory");
	answer = json_tokener_parse_ex(tokener, line, (int)len);
	need(json_tokener_get_error(tokener) == json_tokener_success && json_tokener_get_parse_end(tokener) == len,
	     "an answer is no JSON");
	need(json_object_object_get_ex(answer, "ok", &ok) && json_object_is_type(ok, json_type_boolean),
	     "an answer does not say whether it is good");
	need(json_object_object_get_ex(answer, json_object_get_boolean(ok) ? "result" : "error", &value),
	     "an answer says nothing");
	json_object_put(answer);
	json_tokener_free(tokener);
}

static size_t check_lines(const char *heard, size_t len)
{
	size_t n = 0;

	while (len) {
		const char *end = memchr(heard, '\n', len);

		need(end != NULL, "an answer is not a whole line");
		check_line(heard, (size_t)(end - heard));
		len -= (size_t)(end - heard) + 1;
		heard = end + 1;
		n++;
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char said[SAID_MAX], whole[HEARD_MAX], pieces[HEARD_MAX];
	size_t n = 0, len, piece;
	bool blanks;

	if (size < 2 || size > 8000)
		return 0;
	blanks = data[0] & 128;
	piece = 1 + data[0] % 64 + (blanks ? 20000 : size / 64);
	if (blanks) {
		memset(said, ' ', BLANKS);
		n = BLANKS;
	}
	memcpy(said + n, data + 1, size - 1);
	n += size - 1;

	len = ask(said, n, n, whole);
	need(ask(said, n, piece, pieces) == len && memcmp(whole, pieces, len) == 0, "the pieces make a difference");
	size_t answers = check_lines(whole, len);
	need(blanks ? answers <= count_lines(said, n) + 1 : answers == count_lines(said, n),
	     "not one answer for each line");
	return 0;
}
