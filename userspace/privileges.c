/* SPDX-License-Identifier: BSD-2-Clause */
#include <cap-ng.h>
#include <errno.h>
#include <sys/prctl.h>

#include "daemon.h"
#include "log.h"
#include "own.h"

int rddr_privileges_drop(void)
{
	/* Forged sources and the SOCKMAP; the tables of a reload; ports below 1024 of a reload. */
	static const unsigned keep[] = {CAP_NET_ADMIN, CAP_BPF, CAP_NET_BIND_SERVICE};
	bool have[ARRAY_LEN(keep)];

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_r(-errno, "privileges: new ones cannot be forbidden");
	if (capng_get_caps_process() < 0)
		return err_r(-EPERM, "privileges: the capabilities of the process cannot be read");
	for (size_t i = 0; i < ARRAY_LEN(keep); i++)
		have[i] = capng_have_capability(CAPNG_PERMITTED, keep[i]);
	bool bounding = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	capng_clear(CAPNG_SELECT_BOTH);
	for (size_t i = 0; i < ARRAY_LEN(keep); i++) {
		if (have[i])
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, keep[i]);
	}
	if (capng_apply(bounding ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS) < 0)
		return err_r(-EPERM, "privileges: capabilities cannot be dropped");
	return 0;
}
