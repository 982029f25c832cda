/* Limits and times of the relay. */
#ifndef POSTHORN_FLOW_RELAY_LIMITS_H
#define POSTHORN_FLOW_RELAY_LIMITS_H

/* Messages under way in one process. The queue sends no more (its running_max is for all
 * processes). */
#define RELAY_JOBS_MAX 2000
/* Connections of all kinds: one for each job, the idle ones, and as many again that have ended and
 * linger for a second. */
#define RELAY_SESSIONS_MAX 6000
/* Idle connections that are kept. */
#define RELAY_POOL_MAX 1000
/* Messages over one connection, then QUIT: some large sites count, 100 is below what they allow. */
#define RELAY_MESSAGES_MAX 100
/* Of one destination's MX set, what is looked at. RFC 5321 5.1 wants two at least. */
#define RELAY_MX_MAX 20
/* Addresses that one job tries, of all hosts together. */
#define RELAY_ADDRESSES_MAX 20
#define RELAY_HOST_BYTES_MAX 255 /* RFC 5321 4.5.3.1.2 */
/* [IPv6: and 45 characters and ] is shorter. */
#define RELAY_DESTINATION_BYTES_MAX 255
#define RELAY_ROUTES_MAX 1024
#define RELAY_ROUTES_BYTES_MAX (1u << 20)
/* Signatures of one message: RSA and Ed25519, each twice while keys are rolled over. */
#define RELAY_KEYS_MAX 4
/* Transactions for one job: a server that takes 100 recipients at a time gets 1,000 in 10. */
#define RELAY_ROUNDS_MAX 20
/* Addresses remembered as unreachable, and for how long. */
#define RELAY_BAD_MAX 1000
#define RELAY_BAD_MS (5 * 60 * 1000)
/* Of the reply that a result carries; what RELAY_DONE promises. */
#define RELAY_TEXT_MAX 512
/* 1,000 recipients with an index, verdict, code, enhanced code and text. */
#define RELAY_RESULTS_BYTES_MAX (1000u * (17 + RELAY_TEXT_MAX))
/* What is asked of the store at a time, beyond QUEUE_MESSAGE's first piece. */
#define RELAY_PIECE_BYTES (256u * 1024)
/* Content handed to the machine at a time: above CONN_OUT_HIGH, so that drained() comes for it, and
 * with every line a dot below CONN_OUT_MAX. */
#define RELAY_SLICE_BYTES (96u * 1024)

/*
 * Times. RFC 5321 4.5.3.2 gives minima for what a server may take; it says nothing about
 * connecting, where 30 s are ten retransmissions too few for any host that is alive.
 */
#define RELAY_CONNECT_MS (30 * 1000)
/* For all addresses together: after this no other one is tried, the queue has its own patience. */
#define RELAY_SEARCH_MS (5 * 60 * 1000)
#define RELAY_GREETING_MS (5 * 60 * 1000) /* 4.5.3.2.1 */
#define RELAY_HELLO_MS (5 * 60 * 1000)	  /* as for MAIL */
#define RELAY_AUTH_MS (3 * 60 * 1000)	  /* RFC 4954 has none */
#define RELAY_MAIL_MS (5 * 60 * 1000)	  /* 4.5.3.2.2 */
#define RELAY_RCPT_MS (5 * 60 * 1000)	  /* 4.5.3.2.3 */
#define RELAY_DATA_MS (2 * 60 * 1000)	  /* 4.5.3.2.4 */
#define RELAY_BLOCK_MS (3 * 60 * 1000)	  /* 4.5.3.2.5: for each piece to leave */
#define RELAY_END_MS (10 * 60 * 1000)	  /* 4.5.3.2.6 */
#define RELAY_QUIT_MS (5 * 1000)	  /* nobody is harmed when its answer is not awaited */
/* Our own roles. The resolver gives up after DNS_DEADLINE_MS and says so. */
#define RELAY_DNS_MS (20 * 1000)
#define RELAY_STORE_MS (60 * 1000)
#define RELAY_SIGN_MS (10 * 1000)
#define RELAY_STOP_MS (30 * 1000)

#endif
