/*
 * A simulated stream: two ends on one loop, bytes arriving in random pieces after random delays, both drawn from a seed.
 * The same seed and the same calls give the same run. On a fake clock a whole conversation takes no time.
 */
#ifndef POSTHORN_NET_SIM_H
#define POSTHORN_NET_SIM_H

#include "base/str.h"
#include "sys/loop.h"

struct sim_end;

struct sim_opts {
	uint64_t seed;
	size_t capacity_bytes;		/* written and not yet read, per direction; 0: 64 KB */
	size_t piece_bytes_max;		/* arrive at once; 0: all there is */
	uint64_t delay_ms_max;		/* before each piece: 0..this */
	/* The connection is reset when this many bytes of a -> b (b -> a) have arrived. 0: never. */
	uint64_t cut_ab_bytes, cut_ba_bytes;
};

/* opts NULL: all 0. Each end is closed by its owner. */
void sim_pair(struct loop *l, const struct sim_opts *opts, struct sim_end **a_out, struct sim_end **b_out);
/* fn hears LOOP_READ, LOOP_WRITE, LOOP_HUP once for each change (not again every turn). */
void sim_watch(struct sim_end *e, loop_fd_fn *fn, void *arg);
/* ST_OK (got > 0), ST_MORE, ST_EOF, ST_IO (reset). n > 0. */
enum status sim_read(struct sim_end *e, void *p, size_t n, size_t *got_out);
enum status sim_write(struct sim_end *e, const void *p, size_t n, size_t *done_out);
/* No more will be written from here: the other end reads ST_EOF behind the last byte. */
void sim_shutdown(struct sim_end *e);
/* As close(2): the other end reads what is under way and then ST_EOF, and can no longer write. *e becomes NULL. */
void sim_close(struct sim_end **e);
/* Both ends break now, bytes under way are lost. */
void sim_reset(struct sim_end *e);

#endif
