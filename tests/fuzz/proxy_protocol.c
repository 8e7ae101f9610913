// SPDX-License-Identifier: BSD-2-Clause
/* Whatever a balancer sends becomes a header, an error, or a wait for more; what was taken reads the same when it is
 * written again. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void written_again(unsigned version, const struct proxy_header *h)
{
	uint8_t again[PROXY_WRITTEN_MAX];
	struct proxy_header other;
	size_t len = rddr_proxy_protocol_write(version, &h->source, &h->destination, again);

	if (rddr_proxy_protocol_parse(again, len, &other) || other.local || other.len != len ||
	    !rddr_addr_equal(&other.source, &h->source) || !rddr_addr_equal(&other.destination, &h->destination))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header h, cut;
	int r = rddr_proxy_protocol_parse(data, size, &h);

	if (r == -EAGAIN && size > PROXY_HEADER_MAX)
		abort();
	if (r)
		return 0;
	/* What comes behind the header does not matter, and without its last byte it is not whole. */
	if (h.len > size || rddr_proxy_protocol_parse(data, h.len, &cut) ||
	    rddr_proxy_protocol_parse(data, h.len - 1, &cut) != -EAGAIN)
		abort();
	if (!h.local) {
		written_again(1, &h);
		written_again(2, &h);
	}
	return 0;
}
