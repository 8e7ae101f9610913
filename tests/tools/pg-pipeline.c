// SPDX-License-Identifier: BSD-2-Clause
/*
 * pg-pipeline: a client of PostgreSQL that does not wait for answers (libpq's pipeline mode), and says what came.
 *
 * Usage: pg-pipeline CONNINFO. Exit status 0, 1 (the connection failed, or an answer is not as it has to be).
 */
#include <postgresql/libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

#define STATEMENTS 500

static void need(int holds, PGconn *c, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "pg-pipeline: %s: %s\n", what, PQerrorMessage(c));
	exit(1);
}

/* The next result, or the end of a statement's results (NULL), as text. */
static void show(PGconn *c)
{
	PGresult *r;

	while ((r = PQgetResult(c))) {
		ExecStatusType status = PQresultStatus(r);

		printf("%s", PQresStatus(status));
		if (status == PGRES_TUPLES_OK || status == PGRES_SINGLE_TUPLE) {
			for (int i = 0; i < PQntuples(r); i++)
				printf(" %s", PQgetvalue(r, i, 0));
		} else if (status == PGRES_FATAL_ERROR) {
			printf(" %s", PQresultErrorField(r, PG_DIAG_SQLSTATE));
		}
		printf("\n");
		PQclear(r);
		if (status == PGRES_PIPELINE_SYNC)
			return;
	}
}

/* Many statements before the first answer is looked at; an error skips what is left up to the next Sync. */
static void many(PGconn *c)
{
	char text[80];

	for (int i = 0; i < STATEMENTS; i++) {
		snprintf(text, sizeof(text), "insert into piped values (%d) returning a", i);
		need(PQsendQueryParams(c, text, 0, NULL, NULL, NULL, NULL, 0), c, "send");
		if (i % 100 == 99) {
			need(PQsendQueryParams(c, "select 1/0", 0, NULL, NULL, NULL, NULL, 0), c, "send");
			need(PQsendQueryParams(c, "select 'skipped'", 0, NULL, NULL, NULL, NULL, 0), c, "send");
			need(PQpipelineSync(c), c, "sync");
		}
	}
	for (int i = 0; i < STATEMENTS; i++) {
		show(c);
		if (i % 100 == 99) {
			show(c);
			show(c);
			show(c);
		}
	}
}

/* A Flush asks for answers in the middle of a pipeline, without a Sync. */
static void flushed(PGconn *c)
{
	const char *value = "42";

	need(PQsendPrepare(c, "p", "select $1::int + 1", 0, NULL), c, "prepare");
	need(PQsendQueryPrepared(c, "p", 1, &value, NULL, NULL, 0), c, "execute");
	need(PQsendFlushRequest(c), c, "flush");
	need(PQflush(c) == 0, c, "send");
	show(c);
	show(c);
	need(PQsendDescribePrepared(c, "p"), c, "describe");
	need(PQsendFlushRequest(c), c, "flush");
	show(c);
	need(PQpipelineSync(c), c, "sync");
	show(c);
}

int main(int argc, char **argv)
{
	PGconn *c = PQconnectdb(argc > 1 ? argv[1] : "");

	need(PQstatus(c) == CONNECTION_OK, c, "connect");
	PQclear(PQexec(c, "create table piped (a int)"));
	need(PQenterPipelineMode(c), c, "pipeline");
	many(c);
	flushed(c);
	need(PQexitPipelineMode(c), c, "exit");
	PQfinish(c);
	return 0;
}
