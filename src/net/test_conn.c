/* net/conn over simulated streams and over real socket pairs, without TLS. */
#include <malloc.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/num.h"
#include "base/rnd.h"
#include "base/unit.h"
#include "net/conn.h"
#include "net/sim.h"

/* A server that answers each line with "<line>", and does as the line says. */
struct server {
	struct clock clock;
	struct loop *l;
	struct conn *c;
	struct sim_end *peer;
	int peer_fd;
	int closed_n, timeouts_n, drained_n;
	enum conn_end why;
	bool is_streaming;	/* "stream": writes whenever drained */
	size_t stream_bytes, seen_high;
	struct loop_id resume;
	struct buf heard;	/* by the peer */
	bool peer_eof, peer_broken;
};

static void
server_resume(void *arg)
{
	struct server *s = arg;

	conn_resume(s->c);
}

static void
stream_on(struct server *s)
{
	static char block[10000];

	while (s->stream_bytes > 0 && !conn_out_is_high(s->c)) {
		size_t n = size_min(s->stream_bytes, sizeof(block));
		memset(block, 's', n);
		EXPECT(buf_put(conn_out(s->c), str_of(block, n)) == ST_OK);
		s->stream_bytes -= n;
		s->seen_high = size_max(s->seen_high, conn_out(s->c)->n);
	}
}

static void
server_line(struct server *s, struct str line)
{
	struct buf *out = conn_out(s->c);

	(void)buf_putf(out, "<%.*s>", STR_ARG(line));
	if (str_eq(line, STR("close")))
		conn_close(s->c);
	else if (str_eq(line, STR("abort")))
		conn_abort(s->c);
	else if (str_eq(line, STR("pause"))) {
		conn_pause(s->c);
		s->resume = loop_timer_add(s->l, 5000, server_resume, s);
	} else if (str_eq(line, STR("stream"))) {
		s->stream_bytes = 1000000;
		stream_on(s);
	} else if (str_eq(line, STR("flood"))) {
		while (buf_put(conn_out(s->c), STR("0123456789")) == ST_OK)
			continue;
	}
}

static void
server_input(void *arg, struct conn *c, struct cur *in)
{
	struct server *s = arg;
	struct str line;

	EXPECT(s->closed_n == 0 && c == s->c && cur_left(in) > 0);
	while (cur_take_line(in, &line)) {
		server_line(s, line);
		if (str_eq(line, STR("pause")) || str_eq(line, STR("close")))
			return;
		if (conn_out_is_high(c))
			return;
	}
}

static void
server_drained(void *arg, struct conn *c)
{
	struct server *s = arg;

	(void)c;
	s->drained_n++;
	stream_on(s);
}

static void
server_timeout(void *arg, struct conn *c)
{
	struct server *s = arg;

	s->timeouts_n++;
	(void)buf_put(conn_out(c), STR("<too slow>"));
	conn_close(c);
}

static void
server_closed(void *arg, struct conn *c, enum conn_end why)
{
	struct server *s = arg;

	(void)c;
	s->closed_n++;
	s->why = why;
	s->c = NULL;
	loop_timer_del(s->l, &s->resume);
}

static const struct conn_handler handler = {
    .input = server_input, .drained = server_drained, .timeout = server_timeout, .closed = server_closed};

static void
peer_reads(struct server *s)
{
	char b[3000];
	size_t got;
	enum status st;

	while ((st = sim_read(s->peer, b, sizeof(b), &got)) == ST_OK)
		(void)buf_put(&s->heard, str_of(b, got));
	s->peer_eof |= st == ST_EOF;
	s->peer_broken |= st == ST_IO;
}

static void
peer_ready(void *arg, unsigned events)
{
	if (events & LOOP_READ)
		peer_reads(arg);
}

static void
server_base(struct server *s)
{
	*s = (struct server){.peer_fd = -1};
	clock_init_fake(&s->clock, 1000);
	s->l = loop_new(&s->clock);
	buf_init(&s->heard, 4000000);
}

static void
server_init(struct server *s, const struct sim_opts *o)
{
	struct sim_end *end;

	server_base(s);
	sim_pair(s->l, o, &end, &s->peer);
	sim_watch(s->peer, peer_ready, s);
	s->c = conn_new_sim(s->l, end, &handler, s, 100);
}

static void
server_init_fd(struct server *s)
{
	int fds[2];

	server_base(s);
	CHECK(sock_pair(fds) == ST_OK);
	s->peer_fd = fds[1];
	s->c = conn_new_fd(s->l, fds[0], &handler, s, 100);
}

static void
server_fini(struct server *s)
{
	if (s->c != NULL)
		conn_abort(s->c);
	loop_turn(s->l, 0);
	EXPECT(s->closed_n == 1);
	sim_close(&s->peer);
	if (s->peer_fd >= 0)
		close(s->peer_fd);
	loop_free(&s->l);
	buf_fini(&s->heard);
}

static void
say(struct server *s, struct str text)
{
	size_t done = 0, n;

	while (done < text.n) {
		enum status st = sim_write(s->peer, text.p + done, text.n - done, &n);
		if (st == ST_OK)
			done += n;
		else if (st == ST_MORE)
			CHECK(loop_turn(s->l, -1));
		else
			return;
	}
}

static void
run_ms(struct server *s, uint64_t ms)
{
	uint64_t end = clock_mono_ms(&s->clock) + ms;

	while (clock_mono_ms(&s->clock) < end)
		loop_turn(s->l, (int)(end - clock_mono_ms(&s->clock)));
	while (loop_turn(s->l, 0))
		continue;
}

static void
lines_in_any_pieces(void)
{
	for (uint64_t seed = 0; seed < 200; seed++) {
		struct server s;
		server_init(&s, &(struct sim_opts){.seed = seed,
				    .capacity_bytes = 1 + (size_t)seed % 50,
				    .piece_bytes_max = 1 + (size_t)seed % 7,
				    .delay_ms_max = seed % 3});
		say(&s, STR("one\r\ntwo\r\n\r\nthree\r\nclose\r\nnever\r\n"));
		run_ms(&s, 5000);
		EXPECT_STR(buf_str(&s.heard), STR("<one><two><><three><close>"));
		EXPECT(s.peer_eof && s.closed_n == 1 && s.why == CONN_END_LOCAL);
		server_fini(&s);
	}
}

static void
half_close_gets_its_answers(void)
{
	struct server s;

	server_init(&s, &(struct sim_opts){.seed = 3, .piece_bytes_max = 4, .delay_ms_max = 10});
	say(&s, STR("one\r\npause\r\ntwo\r\npartial"));
	sim_shutdown(s.peer);
	run_ms(&s, 3000);
	EXPECT_STR(buf_str(&s.heard), STR("<one><pause>"));
	EXPECT(s.closed_n == 0);
	run_ms(&s, 5000);
	EXPECT_STR(buf_str(&s.heard), STR("<one><pause><two>"));
	EXPECT(s.closed_n == 1 && s.why == CONN_END_EOF && s.peer_eof);
	server_fini(&s);
}

static void
cut_at_every_byte(void)
{
	static const char text[] = "one\r\ntwo\r\nstream\r\nthree\r\n";

	for (size_t at = 1; at < sizeof(text) - 1; at++) {
		struct server s;
		server_init(&s, &(struct sim_opts){.seed = at, .piece_bytes_max = 3, .cut_ba_bytes = at});
		say(&s, STR("one\r\ntwo\r\nstream\r\nthree\r\n"));
		run_ms(&s, 1000);
		EXPECT(s.closed_n == 1 && s.why == CONN_END_ERROR && s.peer_broken);
		server_fini(&s);
	}
}

static void
answers_cut_at_some_bytes(void)
{
	for (size_t at = 1; at < 200000; at += 9973) {
		struct server s;
		server_init(&s, &(struct sim_opts){.seed = at, .piece_bytes_max = 9999, .cut_ab_bytes = at});
		say(&s, STR("stream\r\n"));
		run_ms(&s, 10000);
		EXPECT(s.closed_n == 1 && s.why == CONN_END_ERROR && s.heard.n == at);
		server_fini(&s);
	}
}

static void
input_limit_is_exact(void)
{
	static char line[101];

	memset(line, 'x', sizeof(line));
	for (size_t n = 100; n <= 101; n++) {
		struct server s;
		server_init(&s, NULL);
		say(&s, str_of(line, n));
		run_ms(&s, 10);
		EXPECT(s.closed_n == (n > 100));
		if (n > 100)
			EXPECT(s.why == CONN_END_LIMIT);
		server_fini(&s);
	}
}

static void
paused_keeps_what_was_read(void)
{
	struct server s;
	struct buf text;

	buf_init(&text, 200000);
	(void)buf_put(&text, STR("pause\r\n"));
	for (int i = 0; i < 12000; i++)
		(void)buf_put(&text, STR("line\r\n"));
	server_init(&s, NULL);
	say(&s, str_take(buf_str(&text), 60000));
	run_ms(&s, 100);
	EXPECT(s.closed_n == 0);
	EXPECT_STR(buf_str(&s.heard), STR("<pause>"));
	/* More waits with the stream, none of it is lost. */
	say(&s, str_from(buf_str(&text), 60000));
	run_ms(&s, 6000);
	EXPECT(s.heard.n == 7 + 12000 * 6);
	EXPECT(s.closed_n == 0);
	server_fini(&s);
	buf_fini(&text);
}

static void
peer_that_does_not_read_holds_us_at_high(void)
{
	struct server s;
	char b[8000];
	size_t got, all = 0;
	enum status st;

	server_init(&s, &(struct sim_opts){.capacity_bytes = 20000});
	sim_watch(s.peer, peer_ready, &s);
	s.heard.max = 1; /* the peer's own reading is done below */
	say(&s, STR("stream\r\nafter\r\n"));
	for (int i = 0; i < 100000 && (all < 1000000 + 15); i++) {
		loop_turn(s.l, 0);
		while ((st = sim_read(s.peer, b, 1 + (size_t)i % sizeof(b), &got)) == ST_OK)
			all += got;
	}
	EXPECT(s.closed_n == 0);
	EXPECT(s.seen_high <= CONN_OUT_HIGH + 10000);
	server_fini(&s);
}

static void
stream_arrives_whole(void)
{
	struct server s;

	server_init(&s, &(struct sim_opts){.capacity_bytes = 20000, .piece_bytes_max = 9000, .seed = 5});
	say(&s, STR("stream\r\nafter\r\n"));
	run_ms(&s, 10000);
	EXPECT(s.heard.n == 1000000 + 8 + 7);
	EXPECT(s.drained_n > 3 && s.seen_high <= CONN_OUT_HIGH + 10000);
	EXPECT(str_has_suffix_ci(buf_str(&s.heard), STR("ss<after>")));
	server_fini(&s);
}

static void
too_much_output_ends_it(void)
{
	struct server s;

	server_init(&s, NULL);
	say(&s, STR("flood\r\n"));
	run_ms(&s, 10);
	EXPECT(s.closed_n == 1 && s.why == CONN_END_LIMIT);
	server_fini(&s);
}

static void
abort_says_nothing(void)
{
	struct server s;

	server_init(&s, NULL);
	say(&s, STR("abort\r\n"));
	run_ms(&s, 10);
	EXPECT(s.heard.n == 0 && s.closed_n == 1 && s.why == CONN_END_LOCAL);
	server_fini(&s);
}

static void
deadline_fires_within_its_grain(void)
{
	static const uint64_t delays[] = {1, 255, 256, 1000, 5000, 131000, 131072, 300000, 3600000};

	for (size_t i = 0; i < COUNT_OF(delays); i++) {
		struct server s;
		server_init(&s, NULL);
		conn_deadline(s.c, delays[i]);
		run_ms(&s, delays[i] - 1);
		EXPECT(s.timeouts_n == 0);
		run_ms(&s, CONN_DEADLINE_LATE_MS + 1);
		EXPECT(s.timeouts_n == 1 && s.closed_n == 1 && s.why == CONN_END_TIMEOUT);
		EXPECT_STR(buf_str(&s.heard), STR("<too slow>"));
		server_fini(&s);
	}
}

static void
deadline_moves_both_ways_and_goes(void)
{
	struct server s;

	server_init(&s, NULL);
	conn_deadline(s.c, 1000);
	for (int i = 0; i < 100; i++) {
		run_ms(&s, 900);
		conn_deadline(s.c, 1000);
	}
	EXPECT(s.timeouts_n == 0);
	conn_deadline(s.c, 100000);
	conn_deadline(s.c, 500);
	run_ms(&s, 1100);
	EXPECT(s.timeouts_n == 1);
	server_fini(&s);
	server_init(&s, NULL);
	conn_deadline(s.c, 1000);
	conn_deadline(s.c, 0);
	run_ms(&s, 500000);
	EXPECT(s.timeouts_n == 0 && s.closed_n == 0);
	server_fini(&s);
}

struct crowd {
	struct clock *clock;
	int fired;
	uint64_t due_ms[5000];
	struct conn *c[5000];
	struct sim_end *peer[5000];
};

static void
crowd_input(void *arg, struct conn *c, struct cur *in)
{
	(void)arg;
	(void)c;
	cur_skip(in, cur_left(in));
}

static void
crowd_timeout(void *arg, struct conn *c)
{
	struct crowd *w = arg;
	uint64_t now = clock_mono_ms(w->clock);

	for (int i = 0; i < 5000; i++) {
		if (w->c[i] == c) {
			EXPECT(now >= w->due_ms[i] && now <= w->due_ms[i] + CONN_DEADLINE_LATE_MS);
			w->fired++;
		}
	}
	conn_abort(c);
}

static void
crowd_closed(void *arg, struct conn *c, enum conn_end why)
{
	(void)arg;
	(void)c;
	EXPECT(why == CONN_END_TIMEOUT);
}

static void
five_thousand_deadlines(void)
{
	static const struct conn_handler h = {
	    .input = crowd_input, .timeout = crowd_timeout, .closed = crowd_closed};
	static struct crowd w;
	struct clock clock;
	struct loop *l;
	struct prng r;

	clock_init_fake(&clock, 0);
	w.clock = &clock;
	l = loop_new(&clock);
	prng_init(&r, 1);
	for (int i = 0; i < 5000; i++) {
		struct sim_end *end;
		sim_pair(l, NULL, &end, &w.peer[i]);
		w.c[i] = conn_new_sim(l, end, &h, &w, 100);
	}
	/* Move them all some times; only the last one counts. */
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 5000; i++) {
			uint64_t ms = 10000 + prng_below(&r, 400000);
			conn_deadline(w.c[i], ms);
			w.due_ms[i] = clock_mono_ms(&clock) + ms;
		}
		uint64_t end = clock_mono_ms(&clock) + 2000;
		while (clock_mono_ms(&clock) < end)
			loop_turn(l, (int)(end - clock_mono_ms(&clock)));
	}
	loop_run(l);
	EXPECT(w.fired == 5000);
	for (int i = 0; i < 5000; i++)
		sim_close(&w.peer[i]);
	loop_free(&l);
}

static void
descriptor_conversation(void)
{
	struct server s;
	char b[200];
	ssize_t n;

	server_init_fd(&s);
	EXPECT(write(s.peer_fd, "one\r\ntw", 7) == 7);
	run_ms(&s, 10);
	EXPECT(write(s.peer_fd, "o\r\nclose\r\n", 10) == 10);
	run_ms(&s, 10);
	n = read(s.peer_fd, b, sizeof(b));
	EXPECT_STR(str_of(b, (size_t)n), STR("<one><two><close>"));
	EXPECT(read(s.peer_fd, b, sizeof(b)) == 0);
	EXPECT(s.closed_n == 1 && s.why == CONN_END_LOCAL);
	server_fini(&s);
}

static void
descriptor_peer_goes_away_while_paused(void)
{
	struct server s;

	server_init_fd(&s);
	EXPECT(write(s.peer_fd, "pause\r\n", 7) == 7);
	run_ms(&s, 10);
	close(s.peer_fd);
	s.peer_fd = -1;
	run_ms(&s, 10);
	EXPECT(s.closed_n == 1 && s.why == CONN_END_ERROR);
	server_fini(&s);
}

static void
descriptor_lingers_for_a_peer_still_sending(void)
{
	struct server s;
	char b[200];
	ssize_t n;

	server_init_fd(&s);
	EXPECT(write(s.peer_fd, "close\r\nmore", 11) == 11);
	run_ms(&s, 10);
	EXPECT(s.closed_n == 0);
	n = read(s.peer_fd, b, sizeof(b));
	EXPECT_STR(str_of(b, (size_t)n), STR("<close>"));
	EXPECT(read(s.peer_fd, b, sizeof(b)) == 0);
	EXPECT(write(s.peer_fd, "and more", 8) == 8);
	run_ms(&s, CONN_LINGER_MS + CONN_DEADLINE_LATE_MS);
	EXPECT(s.closed_n == 1 && s.why == CONN_END_LOCAL);
	server_fini(&s);
}

static void
descriptor_stream_is_held_and_goes_on(void)
{
	struct server s;
	char b[5000];
	size_t all = 0;
	ssize_t n;

	server_init_fd(&s);
	EXPECT(write(s.peer_fd, "stream\r\nafter\r\n", 15) == 15);
	for (int i = 0; i < 10000 && all < 1000015; i++) {
		loop_turn(s.l, 0);
		n = read(s.peer_fd, b, sizeof(b));
		if (n > 0)
			all += (size_t)n;
	}
	EXPECT(all == 1000015);
	EXPECT(s.seen_high <= CONN_OUT_HIGH + 10000);
	server_fini(&s);
}

/* An idle plain connection that has talked owns no buffer: below 400 bytes with its share of the loop. */
static void
idle_connection_is_small(void)
{
	enum { N = 500 };
	static struct server s[N];
	static int fds[N][2];
	struct mallinfo2 before, after;

	server_base(&s[0]);
	before = mallinfo2();
	for (int i = 0; i < N; i++) {
		s[i].l = s[0].l;
		CHECK(sock_pair(fds[i]) == ST_OK);
		s[i].c = conn_new_fd(s[0].l, fds[i][0], &handler, &s[i], 100);
		CHECK(write(fds[i][1], "hello\r\n", 7) == 7);
		loop_turn(s[0].l, 0);
		conn_deadline(s[i].c, 300000);
	}
	after = mallinfo2();
	/* With what is there once: the spare out buffers; without the loop's read buffer. */
	size_t each = (after.uordblks - before.uordblks - CONN_READ_BYTES) / N;
	if (before.uordblks != 0)
		printf("idle plain connection: %zu bytes\n", each);
	EXPECT(before.uordblks == 0 || each < 400); /* sanitizers have no mallinfo */
	for (int i = 0; i < N; i++)
		conn_abort(s[i].c);
	loop_turn(s[0].l, 0);
	for (int i = 0; i < N; i++) {
		EXPECT(s[i].closed_n == 1);
		close(fds[i][1]);
	}
	loop_free(&s[0].l);
	buf_fini(&s[0].heard);
}

int
main(void)
{
	UNIT(lines_in_any_pieces);
	UNIT(half_close_gets_its_answers);
	UNIT(cut_at_every_byte);
	UNIT(answers_cut_at_some_bytes);
	UNIT(input_limit_is_exact);
	UNIT(paused_keeps_what_was_read);
	UNIT(peer_that_does_not_read_holds_us_at_high);
	UNIT(stream_arrives_whole);
	UNIT(too_much_output_ends_it);
	UNIT(abort_says_nothing);
	UNIT(deadline_fires_within_its_grain);
	UNIT(deadline_moves_both_ways_and_goes);
	UNIT(five_thousand_deadlines);
	UNIT(descriptor_conversation);
	UNIT(descriptor_peer_goes_away_while_paused);
	UNIT(descriptor_lingers_for_a_peer_still_sending);
	UNIT(descriptor_stream_is_held_and_goes_on);
	UNIT(idle_connection_is_small);
	return unit_end();
}
