/* SPDX-License-Identifier: BSD-2-Clause */
/* session_names.c - words for how sessions stand and end. */
#include "own.h"
#include "session.h"

const char *rddr_session_end_name(enum session_end end)
{
	static const char *const names[] = {
		[SESSION_END_DONE] = "done",
		[SESSION_END_LONE_RESET] = "lone-reset",
		[SESSION_END_MANY_RESET] = "many-reset",
		[SESSION_END_DENIED] = "denied",
		[SESSION_END_IDLE] = "idle",
		[SESSION_END_DRAINED] = "drained",
		[SESSION_END_FAILED] = "failed",
		[SESSION_END_TLS] = "tls-failed",
	};
	_Static_assert(ARRAY_LEN(names) == SESSION_ENDS, "a name for each end");

	return names[end];
}

const char *rddr_session_state_name(const struct rddr_session *s)
{
	if (s->phase != SESSION_OPEN)
		return s->phase == SESSION_DENIED ? "denied" : "closed";
	if (!s->gate_open)
		return "dialling";
	if (s->neutral)
		return "neutral";
	return s->waiting ? "waiting" : "open";
}
