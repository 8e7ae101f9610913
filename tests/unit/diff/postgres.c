// SPDX-License-Identifier: BSD-2-Clause
/*
 * What three instances answer, message by message: what agrees, what is let out of it, and how a difference is named.
 *
 * Longer than 1000 lines because it is a table.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fakepgplay.h"

#define TOKENS	  "{\"tokens\": [[\"15.1\", \"13.22\", \"v\"]]}"
#define UNORDERED "{\"unordered-rows\": true}"
#define RESULT	  "T a:23 b:25"
#define DONE	  "C SELECT 1 | Z I"
#define LONG_TEXT "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"

/* ---- messages ---- */

static const struct example compared[] = {
	{"the same from all", NULL, {RESULT " | D 1 x | D NULL y | " DONE}, .where = NULL},
	{"nothing at all", NULL, {""}, .where = NULL},
	{"the extended protocol", NULL, {"1 | 2 | t 23 | n | s | 3 | I | Z I"}, .where = NULL},
	{"all of COPY", NULL, {"H 0 | d 1 | d 2 | c | C COPY 2 | Z I | G 0 | C COPY 0 | Z I | W 0"}, .where = NULL},
	{"a function call", NULL, {"V 1234 | Z I"}, .where = NULL},
	{"a value",
	 NULL,
	 {RESULT " | D 1 x | D 2 xyz | " DONE, NULL, RESULT " | D 1 x | D 2 xyy | " DONE},
	 "statement 1 (select a), row 2, column 2 b",
	 "'xyy' (3 bytes), and not 'xyz' (3 bytes)",
	 RESULT " | D 1 x",
	 .alone = 2},
	{"two against two",
	 NULL,
	 {"D 1", "D 2", "D 3"},
	 "statement 1 (select a), row 1, column 1 ",
	 "'2' (1 bytes), and not '1'",
	 "",
	 .alone = ALL},
	{"the source is alone",
	 NULL,
	 {"D 1", "D 2", "D 2"},
	 "statement 1 (select a), row 1, column 1 ",
	 "'2' (1 bytes), and not '1'",
	 "",
	 .alone = 0},
	{"NULL",
	 NULL,
	 {RESULT " | D NULL x", RESULT " | D 0 x"},
	 "statement 1 (select a), row 1, column 1 a",
	 "'0' (1 bytes), and not NULL",
	 RESULT,
	 .alone = 1},
	{"the second statement",
	 NULL,
	 {"T a | D 1 | C SELECT 1 | Z I | T b | D 1", "T a | D 1 | C SELECT 1 | Z I | T b | D 2"},
	 "statement 2 (select b), row 1, column 1 b",
	 "'2'",
	 "T a | D 1 | C SELECT 1 | Z I | T b",
	 .alone = 1},
	{"a statement without a description",
	 NULL,
	 {"T a | D 1 | C SELECT 1 | Z I | D 1 | C SELECT 1", "T a | D 1 | C SELECT 1 | Z I | D 2 | C SELECT 1"},
	 "statement 2 (select b), row 1, column 1 ",
	 "'2'",
	 "T a | D 1 | C SELECT 1 | Z I",
	 .alone = 1},
	{"a portal that goes on",
	 NULL,
	 {"T a | D 1 | s | D 1 | C SELECT 1", "T a | D 1 | s | D 2 | C SELECT 1"},
	 "statement 1 (select a), row 2, column 1 a",
	 "'2'",
	 "T a | D 1 | s",
	 .alone = 1},
	{"columns of a row",
	 NULL,
	 {"D 1 2", "D 1"},
	 "statement 1 (select a), row 1",
	 "another number of columns",
	 "",
	 .alone = 1},
	{"a row that is cut",
	 NULL,
	 {"?D \1", "?D \1\1"},
	 "statement 1 (select a), row 1",
	 "another number of columns",
	 "",
	 .alone = 1},
	{"a tag",
	 NULL,
	 {"C DELETE 1", "C DELETE 2"},
	 "statement 1 (select a), CommandComplete",
	 "'DELETE 2.' (9 bytes), and not 'DELETE 1.'",
	 "",
	 .alone = 1},
	{"the state",
	 NULL,
	 {"Z I", NULL, "Z T"},
	 "statement 1 (select a), ReadyForQuery",
	 "another state of the transaction",
	 "",
	 .alone = 2},
	{"a row and its end",
	 NULL,
	 {"D 1 | D 2", "D 1 | C SELECT 1"},
	 "statement 1 (select a), CommandComplete",
	 "CommandComplete, and not DataRow",
	 "D 1",
	 .alone = 1},
	{"one fails",
	 NULL,
	 {RESULT, NULL, "E C42P01,Mno such"},
	 "statement 1 (select a), ErrorResponse",
	 "ErrorResponse 42P01, and not RowDescription",
	 "",
	 .alone = 2},
	{"data of a COPY",
	 NULL,
	 {"H 0 | d 1\t2 | c", "H 0 | d 1\t3 | c"},
	 "statement 1 (select a), row 1",
	 "'1.3' (3 bytes), and not '1.2'",
	 "H 0",
	 .alone = 1},
	{"a function's value",
	 NULL,
	 {"V 1234", "V 1235"},
	 "statement 1 (select a), FunctionCallResponse",
	 "'1235' (4 bytes), and not '1234'",
	 "",
	 .alone = 1},
	{"types of parameters",
	 NULL,
	 {"t 23 25", "t 23 1043"},
	 "statement 1 (select a), ParameterDescription, column 2 ",
	 "another type",
	 "",
	 .alone = 1},
	{"how many parameters",
	 NULL,
	 {"t 23", "t 23 23"},
	 "statement 1 (select a), ParameterDescription",
	 "another number of parameters",
	 "",
	 .alone = 1},
};

static void messages_are_compared(void **state)
{
	(void)state;
	PLAY_ALL(compared);
}

static const struct example columns[] = {
	{"tables",
	 NULL,
	 {"T a:23:16400:1 b:23:7:2", "T a:23:16500:1 b:23:7:2", "T a:23:9999:1 b:23:7:2"},
	 .where = NULL,
	 .heard = "T a:23:0:0 b:23:7:2"},
	{"tables of one", NULL, {"T a:23:16400:1", NULL, "T a:23:16401:1"}, .where = NULL, .heard = "T a:23:0:0"},
	{"a table or none",
	 NULL,
	 {"T a:23:16400:1", "T a:23:0:1"},
	 "statement 1 (select a), RowDescription, column 1 ",
	 "another table",
	 "",
	 .alone = 1},
	{"tables that are compared",
	 "{\"table-oids\": \"compare\"}",
	 {"T a:23:16400:1", NULL, "T a:23:16500:1"},
	 "statement 1 (select a), RowDescription, column 1 ",
	 "another table",
	 "",
	 .alone = 2},
	{"a column's number",
	 NULL,
	 {"T a:23:1:1", "T a:23:1:2"},
	 "statement 1 (select a), RowDescription, column 1 ",
	 "another number in its table",
	 "",
	 .alone = 1},
	{"a type",
	 NULL,
	 {"T x a:23", "T x a:20"},
	 "statement 1 (select a), RowDescription, column 2 ",
	 "another type",
	 "",
	 .alone = 1},
	{"types of one's own",
	 NULL,
	 {"T a:16390", "T a:16391"},
	 "statement 1 (select a), RowDescription, column 1 ",
	 "another type",
	 "",
	 .alone = 1},
	{"those are left out",
	 "{\"type-oids\": \"ignore\"}",
	 {"T a:16390 b:23 | t 20 16390", "T a:16391 b:23 | t 20 16391", "T a:16384 b:23 | t 20 16384"},
	 .where = NULL,
	 .heard = "T a:705 b:23 | t 20 705"},
	{"PostgreSQL's are not",
	 "{\"type-oids\": \"ignore\"}",
	 {"T a:16390", "T a:16383"},
	 "statement 1 (select a), RowDescription, column 1 ",
	 "another type",
	 "",
	 .alone = 1},
	{"a name",
	 NULL,
	 {"T a b", "T a c"},
	 "statement 1 (select a), RowDescription, column 2 ",
	 "'c' (1 bytes), and not 'b'",
	 "",
	 .alone = 1},
	{"how many",
	 NULL,
	 {"T a b", "T a"},
	 "statement 1 (select a), RowDescription",
	 "another number of columns",
	 "",
	 .alone = 1},
	{"cut",
	 NULL,
	 {"?T abc", "?T abd"},
	 "statement 1 (select a), RowDescription, column 1 ",
	 "it ends in the middle of a column",
	 "",
	 .alone = 1},
};

static void columns_are_compared(void **state)
{
	(void)state;
	PLAY_ALL(columns);
}

static const struct example errors[] = {
	{"file, line and routine",
	 NULL,
	 {"E SERROR,C1,Mx,Fa.c,L7,Rone", "E SERROR,C1,Mx,Fb.c,L8,Rtwo", "E SERROR,C1,Mx"},
	 .where = NULL,
	 .heard = "E SERROR,C1,Mx"},
	{"what all have of them",
	 NULL,
	 {"E SERROR,C1,Mx,Fa.c,L7,Rone | Z I", "E SERROR,C1,Mx,Fa.c,L8,Rone | Z I"},
	 .where = NULL,
	 .heard = "E SERROR,C1,Mx,Fa.c,Rone | Z I"},
	{"a way out",
	 NULL,
	 {"E C1,Mx,Fall,Lof,Rit,Fleaves,Fhere | N C2,My,Ftoo | Z I", "E C1,Mx | N C2,My | Z I"},
	 .where = NULL,
	 .heard = "E C1,Mx | N C2,My | Z I"},
	{"in another place, and twice",
	 NULL,
	 {"E Fa.c,C1,Fa.c,Mx,L7", "E L7,C1,Fa.c,Mx", "E C1,Mx,Fa.c,L7"},
	 .where = NULL,
	 .heard = "E C1,Mx,L7"},
	{"they are compared",
	 "{\"ignore-error-fields\": \"\"}",
	 {"E C1,Mx,L7", "E C1,Mx,L8"},
	 "statement 1 (select a), ErrorResponse, field L",
	 "'8' (1 bytes), and not '7'",
	 "",
	 .alone = 1},
	{"the code always",
	 "{\"ignore-error-fields\": \"FLRMDHPqWSV\"}",
	 {"E C42P01,Mx", "E C42P02,My"},
	 "statement 1 (select a), ErrorResponse, field C",
	 "'42P02' (5 bytes), and not '42P01'",
	 "",
	 .alone = 1},
	{"words are left out",
	 "{\"ignore-error-fields\": \"FLRM\"}",
	 {"E C42P01,Mx,Da", "E C42P01,My,Da"},
	 .where = NULL,
	 .heard = "E C42P01,Da,Mx"},
	{"words of another kind",
	 "{\"ignore-error-fields\": \"M\"}",
	 {"E C42P01,Mx", "E C42P01,M\x01"},
	 "statement 1 (select a), ErrorResponse, field M",
	 "a field that is not compared is too long, or no text",
	 "",
	 .alone = 1},
	{"none, and two",
	 "{\"ignore-error-fields\": \"SM\"}",
	 {"E SERROR,C1,Mx,Mtoo", "E SFEHLER,C1,Mx", "E SFEHLER,C1,Mx"},
	 "statement 1 (select a), ErrorResponse, field M",
	 "a field that is not compared is not there, or more than once",
	 "",
	 .alone = 0},
	{"a field that one has",
	 NULL,
	 {"E C1,Mx", NULL, "E C1,Mx,Hy"},
	 "statement 1 (select a), ErrorResponse, field H",
	 "a field that only one has",
	 "",
	 .alone = 2},
	{"words",
	 NULL,
	 {"E C1,Mx", "E C1,My"},
	 "statement 1 (select a), ErrorResponse, field M",
	 "'y' (1 bytes), and not 'x'",
	 "",
	 .alone = 1},
	{"not terminated",
	 NULL,
	 {"?E Cx", "?E Cy"},
	 "statement 1 (select a), ErrorResponse",
	 "it ends in the middle of a field",
	 "",
	 .alone = 1},
	{"behind its end",
	 NULL,
	 {"E C1 | Z I", "?E CC1", NULL},
	 "statement 1 (select a), ErrorResponse",
	 "it ends in the middle",
	 "",
	 .alone = 1},
};

static void errors_are_compared(void **state)
{
	(void)state;
	PLAY_ALL(errors);
}

static void tokens_are_each_instance_s_own(void **state)
{
	static const struct example examples[] = {
		{"a value", TOKENS, {"D 15.1 x15.1y", "D 13.22 x13.22y", "D v xvy"}, .where = NULL},
		{"the same in all", TOKENS, {"D x"}, .where = NULL},
		{"somebody else's", TOKENS, {"D 15.1", "D 13.22", "D 15.1"}, .where = NULL},
		{"a name, a tag, an error, a notice",
		 TOKENS,
		 {"T v15.1 | C DO 15.1 | E C1,Mis 15.1 | N C0,Mis 15.1 | Z I",
		  "T v13.22 | C DO 13.22 | E C1,Mis 13.22 | N C0,Mis 13.22 | Z I",
		  "T vv | C DO v | E C1,Mis v | N C0,Mis v | Z I"},
		 .where = NULL},
		{"one is missing",
		 TOKENS,
		 {"D 15.1", "D 13.22", "D w"},
		 "statement 1 (select a), row 1, column 1 ",
		 "'w' (1 bytes), and not '15.1'",
		 "",
		 .alone = 2},
		{"the rest of it",
		 TOKENS,
		 {"D 15.1a", "D 13.22a", "D vb"},
		 "statement 1 (select a), row 1, column 1 ",
		 "'vb'",
		 "",
		 .alone = 2},
	};
	struct rddr_session s;

	(void)state;
	PLAY_ALL(examples);
	/* One string for each instance. */
	assert_int_equal(pg_begin(&s, &rddr_diff_plugin, 2, false, TOKENS), -EINVAL);
	fake_end(&s);
}

static const struct example no_messages[] = {
	{"a length that cannot be",
	 NULL,
	 {"Z I", "!Z 3"},
	 "statement 1 (select a)",
	 "a message of type 0x5a says it is 3 bytes long",
	 "",
	 .alone = 1},
	{"a negative one",
	 NULL,
	 {"Z I", NULL, "!D -1"},
	 "statement 1 (select a)",
	 "a message of type 0x44 says it is -1 bytes long",
	 "",
	 .alone = 2},
	{"more than memory",
	 NULL,
	 {"!D 1073741824", "Z I", "Z I"},
	 "statement 1 (select a)",
	 "a message of type 0x44 says it is 1073741824 bytes long",
	 "",
	 .alone = 0},
	{"an unknown type",
	 NULL,
	 {"Z I | ?x y", "Z I | ?x y"},
	 "statement 1 (select b)",
	 "a message of type 0x78, which no server sends here",
	 "Z I",
	 .alone = ALL},
	{"an unknown type from one",
	 NULL,
	 {"Z I | Z I", "Z I | ?x y"},
	 "statement 1 (select b)",
	 "a message of type 0x78, which no server sends here",
	 "Z I",
	 .alone = 1},
	{"one that belongs to the login",
	 NULL,
	 {"?K 12345678"},
	 "statement 1 (select a)",
	 "a message of type 0x4b, which no server sends here",
	 "",
	 .alone = ALL},
	{"longer than can be held",
	 NULL,
	 {"!T 2000000", "!T 2000000", "!T 2000000"},
	 "statement 1 (select a)",
	 "RowDescription of 2000001 bytes, longer than limits.buffer, which is 1048576",
	 "",
	 .alone = ALL},
	{"an end in the middle",
	 NULL,
	 {"Z I | D 1", "Z I | !D 99$"},
	 "statement 1 (select b)",
	 "it ended in the middle of a message",
	 "Z I",
	 .alone = 1},
	{"an end where others go on",
	 NULL,
	 {"Z I | D 1", "Z I$"},
	 "statement 1 (select b)",
	 "it ended, and the other goes on",
	 "Z I",
	 .alone = 1},
	{"last words",
	 NULL,
	 {"", "", "E SFATAL,C57P01,Mgoing$"},
	 "statement 1 (select a)",
	 "it ended with an error (57P01), the others did not",
	 "",
	 .alone = 2},
	{"all time out, each by its own clock", NULL, {"E SFATAL,C57P05,Mgoing$"}, .where = NULL, .idle = true},
	{"one is waited for",
	 NULL,
	 {"E SFATAL,C25P03,Mgoing$", "", "E SFATAL,C25P03,Mgoing$"},
	 .where = NULL,
	 .heard = "",
	 .idle = true},
};

static void what_is_no_message_is_denied(void **state)
{
	(void)state;
	PLAY_ALL(no_messages);
}

/* ---- messages that may come anywhere ---- */

static const struct example apart[] = {
	{"at one place",
	 NULL,
	 {"N C0,Mx | S TimeZone=UTC | A 7,c,d | Z I"},
	 .where = NULL,
	 .heard = "N C0,Mx | S TimeZone=UTC | A 0,c,d | Z I"},
	{"at others",
	 NULL,
	 {"N C0,Mx | D 1 | D 2 | C SELECT 2 | Z I", "D 1 | N C0,Mx | D 2 | C SELECT 2 | Z I",
	  "D 1 | D 2 | C SELECT 2 | N C0,Mx | Z I"},
	 .where = NULL,
	 .heard = "D 1 | D 2 | C SELECT 2 | N C0,Mx | Z I"},
	{"behind the next statement",
	 NULL,
	 {"A 7,c,d | Z I | Z I", "Z I | A 8,c,d | Z I", "Z I | A 9,c,d | Z I"},
	 .where = NULL,
	 .heard = "Z I | A 0,c,d | Z I"},
	{"while others say nothing",
	 NULL,
	 {"Z I | A 7,c,d", "A 8,c,d | Z I", "A 9,c,d | Z I"},
	 .where = NULL,
	 .heard = "Z I | A 0,c,d"},
	{"kinds by themselves", NULL, {"N C0,Mx | S a=b | Z I", "S a=b | N C0,Mx | Z I"}, .where = NULL},
	{"never",
	 NULL,
	 {"Z I | Z I", "N C0,Mx | Z I | Z I"},
	 "statement 1 (select b)",
	 "NoticeResponse, which the other has not sent",
	 "Z I",
	 .alone = 1},
	{"never, at instance 0",
	 NULL,
	 {"Z I | Z I", "N C0,Mx | Z I | Z I", "N C0,Mx | Z I | Z I"},
	 "statement 1 (select b)",
	 "NoticeResponse, which the other has not sent",
	 "Z I",
	 .alone = 0},
	{"another",
	 NULL,
	 {"N C0,Mx | Z I", "N C0,My | Z I"},
	 "statement 1 (select a), NoticeResponse, field M",
	 "'y' (1 bytes), and not 'x'",
	 "",
	 .alone = 1},
	{"a setting",
	 NULL,
	 {"S TimeZone=UTC | Z I", "S TimeZone=CET | Z I"},
	 "statement 1 (select a), ParameterStatus",
	 "'CET' (3 bytes), and not 'UTC'",
	 "",
	 .alone = 1},
	{"another setting",
	 NULL,
	 {"S a=1 | Z I", "S b=1 | Z I"},
	 "statement 1 (select a), ParameterStatus",
	 "'b' (1 bytes), and not 'a'",
	 "",
	 .alone = 1},
	{"one that does not matter",
	 "{\"ignore-parameters\": [\"timezone\"]}",
	 {"S TimeZone=UTC | Z I", "S TimeZone=CET | Z I"},
	 .where = NULL},
	{"one that is too long",
	 "{\"ignore-parameters\": [\"TimeZone\"]}",
	 {"S TimeZone=" LONG_TEXT LONG_TEXT "1 | Z I", "S TimeZone=UTC | Z I", "S TimeZone=UTC | Z I"},
	 "statement 1 (select a), ParameterStatus",
	 "a value that is not compared is too long, or no text",
	 "",
	 .alone = 0},
	{"processes are each server's own",
	 NULL,
	 {"A 71,c,d | Z I", "A 72,c,d | Z I", "A 73,c,d | Z I"},
	 .where = NULL,
	 .heard = "A 0,c,d | Z I"},
	{"the client's own at one",
	 NULL,
	 {"A 1,c,d | Z I", "A 2,c,d | Z I", "A 7,c,d | Z I"},
	 "statement 1 (select a), NotificationResponse",
	 "a notification of the client's own at one, of another's at the other",
	 "",
	 .alone = 2},
	{"no process at all", NULL, {"?A  | Z I"}, .where = NULL},
	{"no process at one",
	 NULL,
	 {"A 7,c,d | Z I", NULL, "?A x | Z I"},
	 "statement 1 (select a), NotificationResponse",
	 "it is too short",
	 "",
	 .alone = 2},
	{"what is said",
	 NULL,
	 {"A 7,c,d | Z I", "A 7,c,e | Z I"},
	 "statement 1 (select a), NotificationResponse",
	 "'c.e.' (4 bytes), and not 'c.d.'",
	 "",
	 .alone = 1},
	{"too long",
	 NULL,
	 {"Z I | !N 70000", "Z I | !N 70000", "Z I | !N 70000"},
	 "statement 1 (select b)",
	 "NoticeResponse longer than 64 KiB",
	 "Z I",
	 .alone = ALL},
};

static void notices_settings_and_notifications_come_anywhere(void **state)
{
	(void)state;
	PLAY_ALL(apart);
}

/* One sends them without an end, the others none. */
static void what_one_alone_sends_is_held_within_its_bound(void **state)
{
	static const char notice[] = "N M" LONG_TEXT " | ";
	struct example e = {"many", NULL, {"Z I | Z I", "", "Z I | Z I"}, .where = NULL};
	struct fake_out text = {0};
	struct play p;

	(void)state;
	for (int i = 0; i < 700; i++)
		fake_append(&text, notice, strlen(notice));
	fake_append(&text, "Z I", 4);
	e.in[1] = (const char *)text.data;
	begin(&p, &e);
	assert_false(fake_diff_whole(&p.s));
	assert_string_equal(p.s.finding.why, "more of NoticeResponse than can be held that the others have not sent");
	assert_int_equal(p.s.finding.instance, 1);
	assert_int_equal(p.s.finding.alone, 2);
	end(&p);
	free(text.data);
}

/* ---- rows in any order ---- */

static void rows_in_any_order_are_the_same_rows(void **state)
{
	static const struct example examples[] = {
		{"the same order", UNORDERED, {"T a | D 1 | D 2 | D 3 | " DONE}, .where = NULL},
		{"others",
		 UNORDERED,
		 {"T a | D 1 | D 2 | D 3 | " DONE, "T a | D 3 | D 2 | D 1 | " DONE, "T a | D 2 | D 3 | D 1 | " DONE},
		 .where = NULL},
		{"twice the same",
		 UNORDERED,
		 {"D 1 | D 1 | D 2 | " DONE, "D 2 | D 1 | D 1 | " DONE, "D 1 | D 2 | D 1 | " DONE},
		 .where = NULL},
		{"two results",
		 UNORDERED,
		 {"D 1 | D 2 | " DONE " | D 3 | D 4 | " DONE, "D 2 | D 1 | " DONE " | D 4 | D 3 | " DONE},
		 .where = NULL},
		{"columns are not sorted",
		 UNORDERED,
		 {"D 1 2 | " DONE, NULL, "D 2 1 | " DONE},
		 "statement 1 (select a)",
		 "a result (in any order) has a row that the other's has not",
		 "",
		 .alone = ALL},
		{"twice, and once",
		 UNORDERED,
		 {"D 1 | D 1 | D 2 | " DONE, NULL, "D 1 | D 2 | D 2 | " DONE},
		 "statement 1 (select a)",
		 "a result (in any order) has a row",
		 "",
		 .alone = ALL},
		{"one too few",
		 UNORDERED,
		 {"D 1 | D 2 | " DONE, "D 2 | " DONE},
		 "statement 1 (select a)",
		 "a result (in any order) has a row",
		 "",
		 .alone = ALL},
		{"one result's rows in the other",
		 UNORDERED,
		 {"D 1 | " DONE " | D 2 | " DONE, "D 2 | " DONE " | D 1 | " DONE},
		 "statement 1 (select a)",
		 "a result (in any order) has a row",
		 "",
		 .alone = ALL},
	};
	struct play p;

	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		const struct example *e = &examples[i];
		char where[40];

		for (uint64_t seed = 0; seed < 30; seed++) {
			begin(&p, e);
			bool agrees = seed ? fake_diff_chunked(&p.s, seed, 1 + seed) : fake_diff_whole(&p.s);

			snprintf(where, sizeof(where), "seed %u", (unsigned)seed);
			/* How much is let out in front of a finding depends on who was first. */
			size_t heard = p.s.out[FAKE_LONE].len - PG_WELCOME;
			if (e->where) {
				fake_append(&p.heard, p.said[0].data + PG_WELCOME, heard);
				/* The end of the result is not among it. */
				assert_true(heard == 0 || !memmem(p.heard.data, heard, "SELECT", 6));
			}
			/* In instance 0's order. */
			check(e, &p, agrees, where);
			end(&p);
		}
	}
}

/* Rows of 1 KiB: those of one instance come in the other order, and there are more of them than limits.buffer. */
static void rows_in_any_order_are_held_within_a_bound(void **state)
{
	struct fake_out forth = {0}, back = {0};
	char row[1100], filler[1024];
	struct play p;

	(void)state;
	memset(filler, 'x', sizeof(filler) - 1);
	filler[sizeof(filler) - 1] = '\0';
	for (int i = 0; i < 3000; i++) {
		int len = snprintf(row, sizeof(row), "D %s%d | ", filler, i);

		fake_append(&forth, row, (size_t)len);
		len = snprintf(row, sizeof(row), "D %s%d | ", filler, 2999 - i);
		fake_append(&back, row, (size_t)len);
	}
	fake_append(&forth, DONE, sizeof(DONE));
	fake_append(&back, DONE, sizeof(DONE));
	const struct example e = {
		"too many", UNORDERED, {(char *)forth.data, (char *)back.data, (char *)forth.data}, .where = NULL};

	begin(&p, &e);
	assert_false(fake_diff_whole(&p.s));
	assert_string_equal(p.s.finding.why, "more rows in another order than can be held");
	end(&p);
	/* In one order nothing is held, however many there are. */
	const struct example same = {"as many", UNORDERED, {(char *)forth.data}, .where = NULL};

	begin(&p, &same);
	assert_true(fake_diff_whole(&p.s));
	assert_int_equal(p.s.out[FAKE_LONE].len - PG_WELCOME, p.heard.len);
	end(&p);
	free(forth.data);
	free(back.data);
}

/* ---- noise ---- */

static const struct example noisy[] = {
	{"nothing is", NULL, {"D a b"}, .where = NULL, .filter = true},
	{"one column", NULL, {"D 0.123 b", "D 0.456 b", "D 0.789 b"}, .where = NULL, .filter = true},
	{"the third has it longer", NULL, {"D 0.123", "D 0.456", "D 0.7891234"}, .where = NULL, .filter = true},
	{"of another kind",
	 NULL,
	 {"D 123 b", "D 456 b", "D abc b"},
	 "statement 1 (select a), row 1, column 1 ",
	 "'abc' (3 bytes), and not '123'",
	 "",
	 .alone = 2,
	 .filter = true},
	{"much longer",
	 NULL,
	 {"D 123", "D 456", "D 123456789"},
	 "statement 1 (select a), row 1, column 1 ",
	 "'123456789'",
	 "",
	 .alone = 2,
	 .filter = true},
	{"much shorter",
	 NULL,
	 {"D 123456789", "D 223456789", "D 1"},
	 "statement 1 (select a), row 1, column 1 ",
	 "'1'",
	 "",
	 .alone = 2,
	 .filter = true},
	{"in that column alone",
	 NULL,
	 {"D 1 x", "D 2 x", "D 3 y"},
	 "statement 1 (select a), row 1, column 2 ",
	 "'y'",
	 "",
	 .alone = 2,
	 .filter = true},
	{"in that row alone",
	 NULL,
	 {"D 1 | D 5", "D 2 | D 5", "D 3 | D 6"},
	 "statement 1 (select a), row 2, column 1 ",
	 "'6'",
	 "D 1",
	 .alone = 2,
	 .filter = true},
	{"NULL is none",
	 NULL,
	 {"D NULL", "D 2", "D 3"},
	 "statement 1 (select a), row 1, column 1 ",
	 "'2' (1 bytes), and not NULL",
	 "",
	 .alone = ALL,
	 .filter = true},
	{"the third has NULL",
	 NULL,
	 {"D 1", "D 2", "D NULL"},
	 "statement 1 (select a), row 1, column 1 ",
	 "NULL, and not '1'",
	 "",
	 .alone = 2,
	 .filter = true},
	{"COPY", NULL, {"H 0 | d a\t1\tb", "H 0 | d a\t2\tb", "H 0 | d a\t3\tb"}, .where = NULL, .filter = true},
	{"COPY, the column beside it",
	 NULL,
	 {"H 0 | d a\t1\tb", "H 0 | d a\t2\tb", "H 0 | d a\t3\tc"},
	 "statement 1 (select a), row 1, column 3 ",
	 "'c' (1 bytes), and not 'b'",
	 "H 0",
	 .alone = 2,
	 .filter = true},
	{"COPY, columns",
	 NULL,
	 {"H 0 | d a\t1", "H 0 | d a\t2", "H 0 | d a"},
	 "statement 1 (select a), row 1, column 1 ",
	 "it ends in the middle of a column, or has another number of them",
	 "H 0",
	 .alone = 2,
	 .filter = true},
	{"CSV",
	 NULL,
	 {"H 0 | d 0.1111,abc\n", "H 0 | d 0.2222,abc\n", "H 0 | d 0.3333,abc\n"},
	 .where = NULL,
	 .filter = true},
	{"CSV, the column beside it",
	 NULL,
	 {"H 0 | d 0.1111,abc\n", "H 0 | d 0.2222,abc\n", "H 0 | d 0.3333,xyz\n"},
	 "statement 1 (select a), row 1, column 2 ",
	 "'xyz.' (4 bytes), and not 'abc.'",
	 "H 0",
	 .alone = 2,
	 .filter = true},
	{"CSV, a number beside it",
	 NULL,
	 {"H 0 | d 0.1111,5,9\n", "H 0 | d 0.2222,5,9\n", "H 0 | d 0.3333,6,9\n"},
	 "statement 1 (select a), row 1, column 2 ",
	 "'6,' (2 bytes), and not '5,'",
	 "H 0",
	 .alone = 2,
	 .filter = true},
	{"CSV, columns",
	 NULL,
	 {"H 0 | d 0.1111,5\n", "H 0 | d 0.2222,5\n", "H 0 | d 0.3333;5\n"},
	 "statement 1 (select a), row 1, column 1 ",
	 "'0.3333;' (7 bytes), and not '0.1111,'",
	 "H 0",
	 .alone = 2,
	 .filter = true},
	{"another delimiter",
	 NULL,
	 {"H 0 | d abc#0.1111#xyz", "H 0 | d abc#0.2222#xyz", "H 0 | d abc#0.3333#xyz"},
	 .where = NULL,
	 .filter = true},
	{"another delimiter, the column beside it",
	 NULL,
	 {"H 0 | d abc#0.1111#xyz", "H 0 | d abc#0.2222#xyz", "H 0 | d abd#0.3333#xyz"},
	 "statement 1 (select a), row 1, column 1 ",
	 "'abd#0.3333#xyz' (14 bytes), and not 'abc#0.1111#xyz'",
	 "H 0",
	 .alone = 2,
	 .filter = true},
	{"COPY, a time",
	 NULL,
	 {"H 0 | d 7\t2026-11-26 13:46:10.123456+00\n", "H 0 | d 7\t2026-11-26 13:46:10.993456+00\n",
	  "H 0 | d 7\t2026-11-26 13:46:11.003456+00\n"},
	 .where = NULL,
	 .filter = true},
	{"COPY, hexadecimal digits",
	 NULL,
	 {"H 0 | d 5f0ace1b\tx\n", "H 0 | d 5f9cce1b\tx\n", "H 0 | d 00aace1c\tx\n"},
	 .where = NULL,
	 .filter = true},
	{"COPY, binary",
	 NULL,
	 {"H 1 | d a\t1\tb", "H 1 | d a\t2\tb", "H 1 | d a\t3\tb"},
	 "statement 1 (select a), row 1",
	 "'a.2.b' (5 bytes), and not 'a.1.b'",
	 "H 1",
	 .alone = ALL,
	 .filter = true},
	{"both ways",
	 NULL,
	 {"H 0 | c | W 0 | d a\t1", "H 0 | c | W 0 | d a\t2", "H 0 | c | W 0 | d a\t3"},
	 "statement 1 (select a), row 1",
	 "'a.2' (3 bytes), and not 'a.1'",
	 "H 0 | c | W 0",
	 .alone = ALL,
	 .filter = true},
	{"a function's value is none",
	 NULL,
	 {"V 1111", "V 2222", "V 3333"},
	 "statement 1 (select a), FunctionCallResponse",
	 "'2222' (4 bytes), and not '1111'",
	 "",
	 .alone = ALL,
	 .filter = true},
	{"names are none",
	 NULL,
	 {"T a1", "T a2", "T a3"},
	 "statement 1 (select a), RowDescription, column 1 ",
	 "'a2'",
	 "",
	 .alone = ALL,
	 .filter = true},
	{"errors are none",
	 NULL,
	 {"E C1,M1", "E C1,M2", "E C1,M3"},
	 "statement 1 (select a), ErrorResponse, field M",
	 "'2'",
	 "",
	 .alone = ALL,
	 .filter = true},
	{"a row that is cut",
	 NULL,
	 {"?D \1\1", "?D \1\1", "?D \1\1x"},
	 "statement 1 (select a), row 1, column 1 ",
	 "it ends in the middle of a column",
	 "",
	 .alone = 2,
	 .filter = true},
};

static void a_column_that_differs_in_the_pair_is_noise(void **state)
{
	(void)state;
	PLAY_ALL(noisy);
}

static void noise_is_charged(void **state)
{
	char text[3][400];
	struct example e = {"too much", NULL, {text[0], text[1], text[2]}, .where = NULL, .filter = true};
	struct play p;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		memset(text[i], '1' + (char)i, sizeof(text[i]) - 1);
		text[i][sizeof(text[i]) - 1] = '\0';
		memcpy(text[i], "D ", 2);
	}
	begin(&p, &e);
	assert_false(fake_diff_whole(&p.s));
	assert_string_equal(p.s.finding.why, "the pair differs past the noise budget");
	end(&p);
}

/* ---- long messages, redaction, counters ---- */

/* Nothing of it is out yet: the client can be told. */
static void a_denial_in_front_of_a_long_row_is_told(void)
{
	const struct rddr_denial denial = {
		.size = sizeof(denial), .reason = RDDR_DENIED_LATE, .reference = "20000101-0000000000"};
	static const struct example e = {"long", NULL, {"!D 300000", NULL, "!D 300000"}, .where = NULL};
	struct play p;

	begin(&p, &e);
	p.s.in[0].shown = p.s.in[1].shown = PG_WELCOME + 5;
	p.s.in[2].shown = PG_WELCOME;
	assert_true(fake_diff(&p.s));
	p.s.in[2].shown = PG_WELCOME + 5;
	p.said[2].data[PG_WELCOME + 4]++;
	assert_false(fake_diff(&p.s));
	rddr_diff_plugin.render_denial(p.s.state, &denial);
	assert_int_equal(p.s.out[FAKE_LONE].data[PG_WELCOME], 'E');
	end(&p);
}

/* 300 KB in one row, which is more than is held: let out as it comes, and cut where it differs. */
static void a_long_row_is_let_out_in_pieces(void **state)
{
	enum { LONG = 300000 };
	struct example e = {"long", NULL, {"", "", ""}, .where = NULL};
	uint8_t *body = malloc(LONG);
	struct play p;

	(void)state;
	assert_non_null(body);
	for (unsigned differs = 0; differs < 4; differs++) {
		const struct rddr_denial denial = {
			.size = sizeof(denial), .reason = RDDR_DENIED_DIVERGENCE, .reference = "20000101-0000000000"};

		begin(&p, &e);
		memset(body, 'x', LONG);
		for (unsigned i = 0; i < 3; i++) {
			body[LONG - 7] = differs && i == differs - 1 ? 'y' : 'x';
			pg_message(&p.said[i], 'd', body, LONG);
			pg_say(&p.said[i], DONE);
			p.s.in[i].data = p.said[i].data;
			p.s.in[i].len = p.said[i].len;
		}
		/* What all have of it is out before it is whole. */
		for (unsigned i = 0; i < 3; i++)
			p.s.in[i].shown = PG_WELCOME + 200000;
		assert_true(fake_diff(&p.s));
		assert_int_equal(p.s.out[FAKE_LONE].len, PG_WELCOME + 200000);
		assert_int_equal(fake_diff_whole(&p.s), !differs);
		if (differs) {
			assert_string_equal(p.s.finding.why, "row 1 differs in the middle of a long CopyData");
			assert_int_equal(p.s.finding.alone, differs);
			assert_int_equal(p.s.out[FAKE_LONE].len, PG_WELCOME + 200000);
			/* Nothing can be said in the middle of it. */
			rddr_diff_plugin.render_denial(p.s.state, &denial);
			assert_int_equal(p.s.out[FAKE_LONE].len, PG_WELCOME + 200000);
		} else {
			assert_int_equal(p.s.out[FAKE_LONE].len, p.said[0].len);
		}
		end(&p);
	}
	free(body);
	a_denial_in_front_of_a_long_row_is_told();
	/* Where it has to be seen whole, the bound is one. */
	static const struct example bounded[] = {
		{"lengths",
		 NULL,
		 {"!D 300000", NULL, "!D 300001"},
		 "statement 1 (select a)",
		 "row 1: a long DataRow of 300002 bytes, and not of 300001",
		 "",
		 .alone = 2},
		{"instance 0's",
		 NULL,
		 {"!D 300001", "!D 300000", "!D 300000"},
		 "statement 1 (select a)",
		 "row 1: a long DataRow of 300001 bytes, and not of 300002",
		 "",
		 .alone = 0},
		{"three of them",
		 NULL,
		 {"!D 300001", "!D 300000", "!D 300002"},
		 "statement 1 (select a)",
		 "row 1: a long DataRow of 300001 bytes, and not of 300002",
		 "",
		 .alone = ALL},
	};
	PLAY_ALL(bounded);
}

static void redacted_nothing_of_it_is_told(void **state)
{
	static const struct example examples[] = {
		{"a value",
		 "{\"redact\": \"values\"}",
		 {RESULT " | D 1 x", NULL, RESULT " | D 1 y"},
		 "statement 1, row 1, column 2 b",
		 "the values differ",
		 RESULT,
		 .alone = 2},
		{"an error",
		 "{\"redact\": \"values\"}",
		 {"E C1,Msecret", "E C1,Mother"},
		 "statement 1, ErrorResponse, field M",
		 "the values differ",
		 "",
		 .alone = 1},
	};
	struct play p;

	(void)state;
	PLAY_ALL(examples);
	begin(&p, &examples[0]);
	assert_int_equal(p.s.concealed[FAKE_LONE], SIZE_MAX);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(p.s.concealed[i], SIZE_MAX);
	end(&p);
	/* Otherwise all but the login can be seen. */
	begin(&p, &(struct example){"open", NULL, {"Z I"}, .where = NULL});
	assert_int_not_equal(p.s.concealed[FAKE_LONE], SIZE_MAX);
	assert_int_not_equal(p.s.concealed[0], SIZE_MAX);
	end(&p);
}

static void what_is_odd_is_counted(void **state)
{
	static const struct {
		struct example e;
		enum rddr_counted counter;
		unsigned n;
	} cases[] = {
		{{"a deadlock of one", NULL, {"C UPDATE 1", "E C40P01,Mx"}, .where = ""}, RDDR_COUNTED_CONFLICTS, 1},
		{{"not serializable", NULL, {"E C40001,Mx", "C UPDATE 1"}, .where = ""}, RDDR_COUNTED_CONFLICTS, 1},
		{{"of all", NULL, {"E C40P01,Mx"}, .where = NULL}, RDDR_COUNTED_CONFLICTS, 0},
		{{"another error", NULL, {"C UPDATE 1", "E C23505,Mx"}, .where = ""}, RDDR_COUNTED_CONFLICTS, 0},
		{{"of no known type", NULL, {"?x y"}, .where = ""}, RDDR_COUNTED_UNKNOWN, 1},
	};
	struct play p;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(&p, &cases[i].e);
		assert_int_equal(fake_diff_whole(&p.s), !cases[i].e.where);
		if (p.s.counted[cases[i].counter] != cases[i].n)
			fail_msg("%s: %u", cases[i].e.what, (unsigned)p.s.counted[cases[i].counter]);
		end(&p);
	}
}

static void a_denial_is_an_error_that_is_fatal(void **state)
{
	static const struct {
		enum rddr_denial_reason reason;
		const char *code;
	} cases[] = {
		{RDDR_DENIED_DIVERGENCE, "57000"}, {RDDR_DENIED_LATE, "57000"},	    {RDDR_DENIED_MISSING, "08001"},
		{RDDR_DENIED_EARLY_END, "08006"},  {RDDR_DENIED_REJECTED, "08P01"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct rddr_denial denial = {
			.size = sizeof(denial), .reason = cases[i].reason, .reference = "20000101-0000000000"};
		char expected[32];
		struct play p;

		begin(&p, &(struct example){"a denial", NULL, {""}, .where = NULL});
		rddr_diff_plugin.render_denial(p.s.state, &denial);
		const uint8_t *m = p.s.out[FAKE_LONE].data + PG_WELCOME;
		size_t len = p.s.out[FAKE_LONE].len - PG_WELCOME;

		snprintf(expected, sizeof(expected), "SFATAL%cVFATAL%cC%s", 0, 0, cases[i].code);
		assert_int_equal(m[0], 'E');
		assert_int_equal(((size_t)m[3] << 8 | m[4]) + 1, len);
		assert_memory_equal(m + 5, expected, 20);
		assert_non_null(memmem(m, len, "(reference 20000101-0000000000)", 31));
		/* The last field, and the list's end. */
		assert_memory_equal(m + len - 2, "\0\0", 2);
		end(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_are_compared),
		cmocka_unit_test(columns_are_compared),
		cmocka_unit_test(errors_are_compared),
		cmocka_unit_test(tokens_are_each_instance_s_own),
		cmocka_unit_test(what_is_no_message_is_denied),
		cmocka_unit_test(notices_settings_and_notifications_come_anywhere),
		cmocka_unit_test(what_one_alone_sends_is_held_within_its_bound),
		cmocka_unit_test(rows_in_any_order_are_the_same_rows),
		cmocka_unit_test(rows_in_any_order_are_held_within_a_bound),
		cmocka_unit_test(a_column_that_differs_in_the_pair_is_noise),
		cmocka_unit_test(noise_is_charged),
		cmocka_unit_test(a_long_row_is_let_out_in_pieces),
		cmocka_unit_test(redacted_nothing_of_it_is_told),
		cmocka_unit_test(what_is_odd_is_counted),
		cmocka_unit_test(a_denial_is_an_error_that_is_fatal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
