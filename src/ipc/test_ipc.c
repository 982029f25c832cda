/* Records and links: round trips, refusals, back-pressure, descriptors. */
#include "base/unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/link.h"
#include "sys/sock.h"

struct side {
	struct link *link;
	unsigned records, closed, drained;
	uint64_t last_session;
	size_t bytes;
	int fd;
	bool refuse;
};

static bool
side_record(void *arg, struct link *l, enum record_type t, struct cur *c)
{
	struct side *s = arg;
	struct rec_deliver d;
	struct rec_link k;

	s->records++;
	if (s->refuse)
		return false;
	if (t == REC_DELIVER && rec_deliver_take(c, &d)) {
		s->last_session = d.session;
		s->bytes += d.body.n;
		return true;
	}
	if (t == REC_ROUTE_ANSWER)
		return true;
	if (t == REC_LINK && rec_link_take(c, &k)) {
		s->fd = link_take_fd(l);
		return true;
	}
	return false;
}

static void
side_drained(void *arg, struct link *l)
{
	struct side *s = arg;

	(void)l;
	s->drained++;
}

static void
side_closed(void *arg, struct link *l)
{
	struct side *s = arg;

	s->closed++;
	s->link = NULL;
	link_free(&l);
}

static const struct link_handler handler = {side_record, side_drained, side_closed};

struct pair {
	struct clock clock;
	struct loop *loop;
	struct side a, b;
};

static void
pair_open(struct pair *p, enum role_kind a, enum role_kind b)
{
	int fds[2];

	*p = (struct pair){.a.fd = -1, .b.fd = -1};
	clock_init_fake(&p->clock, 0);
	p->loop = loop_new(&p->clock);
	CHECK(sock_pair(fds) == ST_OK);
	p->a.link = link_new(p->loop, fds[0], a, b, 0, true, &handler, &p->a);
	p->b.link = link_new(p->loop, fds[1], b, a, 0, true, &handler, &p->b);
}

static void
pair_run(struct pair *p)
{
	for (int i = 0; i < 200; i++)
		(void)loop_turn(p->loop, 0);
}

static void
pair_close(struct pair *p)
{
	link_free(&p->a.link);
	link_free(&p->b.link);
	loop_free(&p->loop);
}

static void
records_arrive_in_order(void)
{
	struct pair p;
	char body[100000] = {0};

	pair_open(&p, ROLE_SMTPIN, ROLE_STORE);
	for (uint64_t i = 1; i <= 50; i++)
		EXPECT(rec_deliver_put(link_out(p.a.link), &(struct rec_deliver){.session = i,
		    .body = str_of(body, sizeof(body))}) == ST_OK);
	pair_run(&p);
	EXPECT(p.b.records == 50);
	EXPECT(p.b.last_session == 50);
	EXPECT(p.b.bytes == 50 * sizeof(body));
	pair_close(&p);
}

static void
what_is_not_in_the_table_closes(void)
{
	struct pair p;

	/* auth may not deliver: the store closes that line and lives on. */
	pair_open(&p, ROLE_AUTH, ROLE_STORE);
	EXPECT(rec_deliver_put(link_out(p.a.link), &(struct rec_deliver){.session = 1}) == ST_OK);
	pair_run(&p);
	EXPECT(p.b.records == 0);
	EXPECT(p.b.closed == 1);
	EXPECT(p.a.closed == 1);
	pair_close(&p);
}

static void
malformed_closes(void)
{
	struct pair p;

	pair_open(&p, ROLE_SMTPIN, ROLE_STORE);
	p.b.refuse = true;
	EXPECT(rec_deliver_put(link_out(p.a.link), &(struct rec_deliver){.session = 1}) == ST_OK);
	EXPECT(rec_deliver_put(link_out(p.a.link), &(struct rec_deliver){.session = 2}) == ST_OK);
	pair_run(&p);
	EXPECT(p.b.records == 1);
	EXPECT(p.b.closed == 1);
	pair_close(&p);
}

static void
a_record_has_a_largest_size(void)
{
	static char body[RECORD_BYTES_MAX];
	struct rec_stage r = {.session = 1};
	struct buf out;

	buf_init(&out, RECORD_BYTES_MAX * 2);
	/* Payload: session (8) + length (4) + bytes. */
	r.bytes = str_of(body, RECORD_BYTES_MAX - 12);
	EXPECT(rec_stage_put(&out, &r) == ST_OK);
	buf_reset(&out);
	r.bytes.n++;
	EXPECT(rec_stage_put(&out, &r) == ST_LIMIT);
	EXPECT(out.n == 0);
	buf_fini(&out);
}

static void
a_slow_peer_is_noticed(void)
{
	static char body[1 << 20];
	struct pair p;

	pair_open(&p, ROLE_SMTPIN, ROLE_STORE);
	link_pause(p.b.link);
	for (int i = 0; i < 8; i++)
		EXPECT(rec_deliver_put(link_out(p.a.link), &(struct rec_deliver){.session = 1,
		    .body = str_of(body, sizeof(body))}) == ST_OK);
	pair_run(&p);
	EXPECT(link_is_high(p.a.link));
	link_resume(p.b.link);
	pair_run(&p);
	EXPECT(!link_is_high(p.a.link));
	EXPECT(p.a.drained == 1);
	EXPECT(p.b.records == 8);
	pair_close(&p);
}

static void
last_words_are_heard(void)
{
	struct pair p;

	/* b answers and dies while a still writes: a gets the answer before the end. */
	pair_open(&p, ROLE_SMTPIN, ROLE_STORE);
	EXPECT(rec_route_answer_put(link_out(p.b.link), &(struct rec_route_answer){.session = 7}) == ST_OK);
	link_flush(p.b.link);
	link_free(&p.b.link);
	EXPECT(rec_deliver_put(link_out(p.a.link), &(struct rec_deliver){.session = 1}) == ST_OK);
	pair_run(&p);
	EXPECT(p.a.records == 1);
	EXPECT(p.a.closed == 1);
	pair_close(&p);
}

static void
descriptors_travel(void)
{
	struct pair p;
	struct buf frame;
	int null = open("/dev/null", O_RDONLY);

	pair_open(&p, ROLE_PARENT, ROLE_STORE);
	buf_init(&frame, 4096);
	EXPECT(rec_link_put(&frame, &(struct rec_link){.role = ROLE_SMTPIN, .index = 3}) == ST_OK);
	EXPECT(link_send_fd(p.a.link, buf_str(&frame), null) == ST_OK);
	pair_run(&p);
	EXPECT(p.b.fd >= 0);
	close(p.b.fd);
	close(null);
	buf_fini(&frame);
	pair_close(&p);
}

int
main(void)
{
	UNIT(records_arrive_in_order);
	UNIT(what_is_not_in_the_table_closes);
	UNIT(malformed_closes);
	UNIT(a_record_has_a_largest_size);
	UNIT(a_slow_peer_is_noticed);
	UNIT(last_words_are_heard);
	UNIT(descriptors_travel);
	return unit_end();
}
