// SPDX-License-Identifier: BSD-2-Clause
/* Whatever bytes a config file has, it becomes a config or an error. */
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "config.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int nowhere = -1, saved = -1;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	/* No name that the fuzzer makes up is asked for anywhere: without a network the resolver gives up at once. */
	if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET))
		abort();
	nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
	saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	if (nowhere < 0 || saved < 0)
		abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *config = NULL;
	int err;

	dup2(nowhere, STDERR_FILENO); /* thousands of messages a second */
	err = rddr_config_parse("fuzz", (const char *)data, size, &config);
	dup2(saved, STDERR_FILENO);
	if (!err != (config != NULL))
		abort();
	rddr_config_put(&config);
	return 0;
}
