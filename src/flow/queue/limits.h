/* Limits of the queue's schedule. */
#ifndef POSTHORN_FLOW_QUEUE_LIMITS_H
#define POSTHORN_FLOW_QUEUE_LIMITS_H

/* 64 bytes each: 1.3 GB. A day of 230 messages a second to hosts that are all away. */
#define SCHEDULE_ENTRIES_MAX 20000000u
/* A domain is at most 253 octets; a smart host's route has a port and a mark besides. */
#define SCHEDULE_DESTINATION_BYTES_MAX 320
/* Destinations without an entry that are still remembered (their concurrency, their failures): 3
 * MB. */
#define SCHEDULE_IDLE_MAX 10000u
/* Destinations with a concurrency limit of their own: they come from the configuration. */
#define SCHEDULE_DESTINATION_LIMITS_MAX 10000u
/* Of one destination and of all together: file descriptors of the relays end earlier. */
#define SCHEDULE_CONCURRENCY_MAX 100000u
/* RFC 6710 2: -9 to 9. */
#define SCHEDULE_PRIORITY_MAX 9
/* What is due later is due then: keeps sums of times from overflowing. */
#define SCHEDULE_DUE_MS_MAX (UINT64_C(1) << 60)
#define SCHEDULE_PRIORITY_STEP_MS_MAX (UINT64_C(24) * 3600 * 1000)
/* Destinations whose time has come that one schedule_next takes notice of, so that 100,000 of them
 * at one moment are not one long call. */
#define SCHEDULE_WAKES_PER_NEXT 16

#endif
