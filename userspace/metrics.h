/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * metrics.h - counters with names.
 *
 * A set of counters belongs to a service, by name, and lives as long as the process: it survives reloads. Each thread
 * writes a part of its own, without locks; whoever reads adds the parts up. Part 0 is the main thread's, part 1 + w
 * worker w's.
 */
#ifndef RDDR_METRICS_H
#define RDDR_METRICS_H

#include <stdint.h>

#define METRICS_PARTS 65 /* 64 workers and the main thread */

/* name, what it counts */
#define METRICS_COUNTERS(X)                                                                                            \
	X(sessions, "sessions begun")                                                                                  \
	X(sessions_ended, "sessions ended")                                                                            \
	X(accept_failed, "accept() failed")                                                                            \
	X(accept_paused, "accepting paused for want of descriptors")                                                   \
	X(no_service, "connections that matched no service (closed)")                                                  \
	X(bytes_in, "bytes from lone ends")                                                                            \
	X(bytes_out, "bytes to lone ends")                                                                             \
	X(bytes_compared, "bytes of the source stream that were compared")                                             \
	X(divergences, "divergences found")                                                                            \
	X(denied, "sessions denied")                                                                                   \
	X(reported, "divergences that were let pass (enforcing: false)")                                               \
	X(detached, "instances detached from a session (enforcing: false)")                                            \
	X(denied_divergence, "denied: the answers differ")                                                             \
	X(denied_missing, "denied: an instance could not be reached")                                                  \
	X(denied_late, "denied: an instance was late")                                                                 \
	X(denied_early_end, "denied: an instance ended before the others")                                             \
	X(denied_rejected, "denied: the plugin rejected the request")                                                  \
	X(denied_limit, "denied: a bound was reached")                                                                 \
	X(denied_failed, "denied: the plugin failed")                                                                  \
	X(idle_timeouts, "sessions ended by the idle deadline")                                                        \
	X(lone_resets, "sessions ended by a reset of the lone end")                                                    \
	X(redials, "ends dialled again at a neutral point")                                                            \
	X(replays, "reused connections that ended before their answer: dialled anew and sent everything again")        \
	X(replays_refused, "such connections whose request may not be sent again")                                     \
	X(refreshed, "idle connections dialled anew in front of a request that may not be sent again")                 \
	X(uploads_cut, "instances that had answered and took nothing more of the request")                             \
	X(dials, "dials begun")                                                                                        \
	X(dial_refused, "dials refused")                                                                               \
	X(dial_unreachable, "dials: unreachable")                                                                      \
	X(dial_timed_out, "dials timed out")                                                                           \
	X(dial_no_port, "dials: no free port")                                                                         \
	X(dial_not_permitted, "dials: not permitted to forge")                                                         \
	X(dial_loop, "dials: the target was the daemon itself")                                                        \
	X(dial_unresolved, "dials to a name without an address")                                                       \
	X(dial_denied, "dials that access control denied")                                                             \
	X(dial_failed, "dials failed otherwise")                                                                       \
	X(forge_exact, "forged with the client's own port")                                                            \
	X(forge_group, "forged with a port of the client port's group")                                                \
	X(forge_any, "forged with a port of the kernel's choice")                                                      \
	X(forge_random, "forged with a port by chance")                                                                \
	X(forge_fallback, "dialled unforged because forge-fallback allows it")                                         \
	X(noise_bytes, "bytes taken for noise of the filter pair")                                                     \
	X(noise_over_budget, "spans of noise past the budget")                                                         \
	X(plugin_rejected, "requests that the plugin refused for their form")                                          \
	X(plugin_tokens_learnt, "values learnt that each instance has its own of")                                     \
	X(plugin_tokens_replaced, "such values translated in requests")                                                \
	X(plugin_tokens_kept, "such values in places where they could not be translated")                              \
	X(plugin_tokens_refused, "values not learnt, too long for that or made of too many pieces")                    \
	X(plugin_noise_fields, "fields in which the filter pair showed noise")                                         \
	X(plugin_noise_recalled, "differences let pass because the field was noise lately")                            \
	X(plugin_rules_applied, "fields taken out of comparison by a rule")                                            \
	X(plugin_headers_dropped, "headers left out of what is passed on, because not every instance has them")        \
	X(plugin_logins, "logins that the plugin let in")                                                              \
	X(plugin_logins_refused, "logins that the plugin refused")                                                     \
	X(offloaded, "computations done off the workers")                                                              \
	X(offload_refused, "computations refused because too many waited")                                             \
	X(proxy_accepted, "connections that began with a PROXY header")                                                \
	X(proxy_refused, "connections of balancers refused for want of a PROXY header")                                \
	X(admission_held, "SYNs held until the instances had answered")                                                \
	X(admission_released, "SYNs let go on because the instances had answered")                                     \
	X(admission_refused, "SYNs answered with a reset, as an instance did")                                         \
	X(admission_denied, "SYNs answered with a reset because access control denied an instance")                    \
	X(admission_dropped, "SYNs dropped because an instance gave no answer")                                        \
	X(admission_passed, "SYNs let go on although this host itself could not dial an instance")                     \
	X(admission_retransmitted, "SYNs sent again while they were held, or after they were released")                \
	X(admission_overflow, "SYNs past a bound of admission (passed on, or dropped, as configured)")                 \
	X(admission_abandoned, "SYNs held no longer because the daemon ends, or no more holds any")                    \
	X(admission_adopted, "sessions that began with the connections of their admission")                            \
	X(admission_unused, "admissions whose client never finished the handshake: their connections were closed")     \
	X(admission_missed, "sessions of a service with admission whose SYN was not held")                             \
	X(hosts_failed, "failover: hosts that failed and were marked as down")                                         \
	X(hosts_skipped, "failover: hosts passed over because they were down")                                         \
	X(hosts_cleared, "failover: dials that found every host down and tried them anew")                             \
	X(plugin_unknown_messages, "messages of a kind that the plugin does not know")                                 \
	X(plugin_conflicts, "divergences in which one instance alone told of a conflict between transactions")         \
	X(plugin_cancels, "requests to cancel that were passed on")                                                    \
	X(plugin_correlated, "requests given a correlation; outgoing: groups that had one")                            \
	X(plugin_correlations_removed, "headers of a client's that passed for a correlation, removed")                 \
	X(plugin_correlations_missing, "outgoing: requests of one instance without a correlation")                     \
	X(plugin_unsent, "requests cancelled before the others were sent them, and answered without them")             \
	X(leaders_outwaited, "times that the others were asked before instance 0 had answered")                        \
	X(groups, "outgoing: groups of one connection, or exchange, of each instance")                                 \
	X(regroupings, "outgoing: groups of connections that were in different ones before")                           \
	X(partners_missing, "outgoing: connections refused because the other instances' did not come")                 \
	X(strangers, "outgoing: connections of nobody's instance (refused)")                                           \
	X(gather_full, "outgoing: connections refused because too many wait")                                          \
	X(gather_alone, "outgoing: connections that needed no partner yet: logins")                                    \
	X(backend_reused, "outgoing: groups that took a connection to the backend that was there")                     \
	X(evidence_recorded, "records of evidence written")                                                            \
	X(evidence_dropped, "records of evidence dropped (queue full, or the file failed)")                            \
	X(tls_handshakes, "TLS handshakes done")                                                                       \
	X(tls_resumed, "TLS handshakes that resumed a session")                                                        \
	X(tls_failed, "TLS handshakes failed")                                                                         \
	X(tls_failed_timed_out, "TLS failed: the deadline passed")                                                     \
	X(tls_failed_closed, "TLS failed: the other side closed")                                                      \
	X(tls_failed_garbage, "TLS failed: what came was not TLS")                                                     \
	X(tls_failed_version, "TLS failed: no shared version")                                                         \
	X(tls_failed_cipher, "TLS failed: no shared cipher or group")                                                  \
	X(tls_failed_alpn, "TLS failed: no shared protocol (ALPN)")                                                    \
	X(tls_failed_alert, "TLS failed: the other side refused")                                                      \
	X(tls_failed_other, "TLS failed otherwise")                                                                    \
	X(tls_verify_expired, "certificates refused: expired")                                                         \
	X(tls_verify_not_yet_valid, "certificates refused: not yet valid")                                             \
	X(tls_verify_wrong_name, "certificates refused: wrong name")                                                   \
	X(tls_verify_unknown_ca, "certificates refused: of no CA that is known")                                       \
	X(tls_verify_missing, "certificates missing where they are required")                                          \
	X(tls_verify_other, "certificates refused otherwise")                                                          \
	X(tls_truncated, "TLS streams that ended without close_notify")                                                \
	X(tls_broken, "TLS connections broken after the handshake")

enum metric {
#define X(name, help) METRIC_##name,
	METRICS_COUNTERS(X)
#undef X
		METRICS
};

struct metrics_set;

/* The set of that name, made when it is new. Main thread. NULL: out of memory. NULL as name: the daemon's own. */
struct metrics_set *rddr_metrics_set(const char *name);

/* Which part the calling thread writes. Once per thread, before it counts. */
void rddr_metrics_thread(unsigned part);

void rddr_metrics_add(struct metrics_set *set, enum metric metric, uint64_t n);
static inline void rddr_metrics_count(struct metrics_set *set, enum metric metric)
{
	rddr_metrics_add(set, metric, 1);
}

uint64_t rddr_metrics_read(const struct metrics_set *set, enum metric metric);
const char *rddr_metrics_name(enum metric metric);
const char *rddr_metrics_help(enum metric metric);
const char *rddr_metrics_set_name(const struct metrics_set *set); /* NULL for the daemon's own */
/* Calls each for every set, the daemon's own first. Main thread. */
void rddr_metrics_each(void (*each)(void *ctx, const struct metrics_set *set), void *ctx);

#endif
