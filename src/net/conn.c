#include "net/conn.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/num.h"
#include "net/layer.h"
#include "protocols/proxy/proxy.h"

/*
 * Deadlines are looked at in ticks of 256 ms; the wheel turns once in 512 ticks (131 s). A connection stands in the slot of its
 * deadline or, when that is further away, in the last slot, from where it is put again.
 */
enum { TICK_SHIFT = 8, WHEEL_SLOTS = 512 };
/* Out buffers are handed around between the connections of a loop: most answers fit one. */
enum { SPARE_BYTES = 4096, SPARES_MAX = 64 };
enum { LINGER_BYTES_MAX = 256 * 1024 };
/* Kept input gives back memory beyond its bytes only above this, so that a slow line does not cost two reallocs a packet. */
enum { KEPT_SLACK_BYTES = 4096 };

struct link {
	struct link *prev, *next;	/* NULL: on no list */
};

enum phase {
	PHASE_CONNECTING,	/* a simulated one: for the rest of the turn */
	PHASE_PROXY,		/* its header is awaited */
	PHASE_OPEN,
	PHASE_STARTTLS,		/* the last clear bytes go out */
	PHASE_HANDSHAKE,
	PHASE_CLOSING,		/* the last bytes go out */
	PHASE_LINGER,		/* waits for the peer to have read them */
	PHASE_DEAD,		/* closed() is due */
};

struct conn_loop;

/* TLS that was asked for and has not begun. */
struct tls_wish {
	struct tls_context *ctx;	/* borrowed */
	bool is_client;
	size_t name_n;
	char name[];			/* of the server */
};

struct conn {
	struct link work;	/* must be first */
	struct link wheel;
	struct conn_loop *cl;
	const struct conn_handler *h;
	void *arg;
	struct layer *top, *bottom;
	struct loop_id reg;
	struct tls_wish *wish;	/* NULL: none, or it is a layer now */
	const char *error;	/* static; of TLS or of the connect, where no layer can tell */
	struct buf kept;	/* input not consumed yet; no memory when empty */
	struct buf out;		/* no memory when empty */
	uint64_t deadline_ms;	/* the handler's; 0: none */
	uint64_t own_deadline_ms;	/* of the phase; 0: none */
	uint64_t check_tick;	/* the slot of the wheel it stands in */
	uint32_t lingered_bytes;
	uint8_t phase;
	uint8_t end;
	bool is_paused : 1, is_high : 1, is_eof : 1, is_hup : 1;
	bool is_again : 1;	/* input may go on without readiness */
	bool is_unread : 1;	/* closed with input in hand */
	bool is_in_input : 1, is_peer_known : 1, is_local_known : 1;
	struct sock_addr peer, local;
};

_Static_assert(sizeof(struct conn) <= 320, "an idle connection has a budget");

struct conn_loop {
	struct loop *loop;
	struct conn_loop *next;
	struct link work;	/* heads of rings */
	struct link wheel[WHEEL_SLOTS];
	uint64_t tick_done;	/* every slot up to here was looked at */
	uint64_t tick_timer;	/* the tick the timer is set for; 0: none */
	struct loop_id timer;
	size_t wheel_n;
	char *spares[SPARES_MAX];
	int spares_n;
	char read[CONN_READ_BYTES];
};

static struct conn_loop *conn_loops;

static void
link_init(struct link *head)
{
	head->prev = head->next = head;
}

static void
link_push(struct link *head, struct link *k)
{
	CHECK(k->next == NULL);
	k->prev = head->prev;
	k->next = head;
	k->prev->next = k;
	head->prev = k;
}

static void
link_remove(struct link *k)
{
	k->prev->next = k->next;
	k->next->prev = k->prev;
	k->prev = k->next = NULL;
}

/* Moves all of a ring to another head; false when there is nothing. */
static bool
ring_take(struct link *head, struct link *to)
{
	if (head->next == head)
		return false;
	*to = *head;
	to->next->prev = to->prev->next = to;
	link_init(head);
	return true;
}

static struct conn *
conn_of_wheel(struct link *k)
{
	return (struct conn *)(void *)((char *)k - offsetof(struct conn, wheel));
}

/* What all connections of a loop share. */

static void work_run(void *arg);
static void wheel_run(void *arg);

static void
conn_loop_free(void *arg)
{
	struct conn_loop *cl = arg;

	for (struct conn_loop **p = &conn_loops; *p != NULL; p = &(*p)->next) {
		if (*p == cl) {
			*p = cl->next;
			break;
		}
	}
	while (cl->spares_n > 0)
		free(cl->spares[--cl->spares_n]);
	free(cl);
}

static struct conn_loop *
conn_loop_of(struct loop *l)
{
	struct conn_loop *cl;

	for (cl = conn_loops; cl != NULL; cl = cl->next) {
		if (cl->loop == l)
			return cl;
	}
	cl = calloc(1, sizeof(*cl));
	CHECK(cl != NULL);
	cl->loop = l;
	link_init(&cl->work);
	for (int i = 0; i < WHEEL_SLOTS; i++)
		link_init(&cl->wheel[i]);
	cl->tick_done = clock_mono_ms(loop_clock(l)) >> TICK_SHIFT;
	cl->next = conn_loops;
	conn_loops = cl;
	loop_before_wait_add(l, work_run, cl);
	loop_at_free_add(l, conn_loop_free, cl);
	return cl;
}

static uint64_t
now_ms(const struct conn *c)
{
	return clock_mono_ms(loop_clock(c->cl->loop));
}

/* Work that is done at the end of the turn: writing, going on, ending. */
static void
conn_mark(struct conn *c)
{
	if (c->work.next == NULL)
		link_push(&c->cl->work, &c->work);
}

/* Deadlines. */

static uint64_t
conn_next_deadline_ms(const struct conn *c)
{
	uint64_t own = c->own_deadline_ms;
	bool is_mine = c->phase == PHASE_OPEN || c->phase == PHASE_CONNECTING;

	if (is_mine && c->deadline_ms != 0 && (own == 0 || c->deadline_ms < own))
		return c->deadline_ms;
	return own;
}

static void
wheel_timer_set(struct conn_loop *cl, uint64_t tick)
{
	uint64_t now = clock_mono_ms(loop_clock(cl->loop)), at = tick << TICK_SHIFT;

	if (cl->tick_timer != 0 && cl->tick_timer <= tick)
		return;
	cl->tick_timer = tick;
	at = at > now ? at - now : 0;
	if (!loop_timer_move(cl->loop, cl->timer, at))
		cl->timer = loop_timer_add(cl->loop, at, wheel_run, cl);
}

/* Puts c where its next deadline is looked at. A deadline that moved away leaves it where it stands. */
static void
wheel_put(struct conn *c)
{
	struct conn_loop *cl = c->cl;
	uint64_t due = conn_next_deadline_ms(c), tick;

	if (due == 0 || c->phase == PHASE_DEAD)
		return;
	tick = (due >> TICK_SHIFT) + 1;
	if (cl->wheel_n == 0)
		cl->tick_done = now_ms(c) >> TICK_SHIFT;
	if (tick <= cl->tick_done)
		tick = cl->tick_done + 1;
	if (tick > cl->tick_done + WHEEL_SLOTS)
		tick = cl->tick_done + WHEEL_SLOTS;
	if (c->wheel.next != NULL) {
		if (c->check_tick <= tick)
			return;
		link_remove(&c->wheel);
		cl->wheel_n--;
	}
	c->check_tick = tick;
	link_push(&cl->wheel[tick % WHEEL_SLOTS], &c->wheel);
	cl->wheel_n++;
	wheel_timer_set(cl, tick);
}

static void conn_timed_out(struct conn *c);

static void
wheel_slot_run(struct conn_loop *cl, uint64_t tick, uint64_t now)
{
	struct link now_ring;

	/* Off the wheel first: what is put again may land in the same slot. */
	if (!ring_take(&cl->wheel[tick % WHEEL_SLOTS], &now_ring))
		return;
	while (now_ring.next != &now_ring) {
		struct conn *c = conn_of_wheel(now_ring.next);
		uint64_t due = conn_next_deadline_ms(c);
		CHECK(c->check_tick <= tick);
		link_remove(&c->wheel);
		cl->wheel_n--;
		if (due != 0 && due <= now)
			conn_timed_out(c);
		else
			wheel_put(c);
	}
}

static void
wheel_run(void *arg)
{
	struct conn_loop *cl = arg;
	uint64_t now = clock_mono_ms(loop_clock(cl->loop)), tick_now = now >> TICK_SHIFT;

	cl->tick_timer = 0;
	while (cl->wheel_n > 0 && cl->tick_done < tick_now) {
		cl->tick_done++;
		wheel_slot_run(cl, cl->tick_done, now);
	}
	if (cl->wheel_n == 0)
		return;
	for (uint64_t tick = cl->tick_done + 1; tick <= cl->tick_done + WHEEL_SLOTS; tick++) {
		struct link *head = &cl->wheel[tick % WHEEL_SLOTS];
		if (head->next != head) {
			wheel_timer_set(cl, tick);
			return;
		}
	}
}

void
conn_deadline(struct conn *c, uint64_t ms)
{
	if (c->phase >= PHASE_CLOSING)
		return;
	c->deadline_ms = ms == 0 ? 0 : now_ms(c) + ms;
	wheel_put(c);
}

static void
own_deadline(struct conn *c, uint64_t ms)
{
	c->own_deadline_ms = now_ms(c) + ms;
	wheel_put(c);
}

/* Ending. */

/* Nothing more is read or written; closed() follows at the end of the turn. */
static void
conn_end(struct conn *c, enum conn_end why)
{
	if (c->phase == PHASE_DEAD)
		return;
	if (c->phase < PHASE_CLOSING)
		c->end = (uint8_t)why;
	c->phase = PHASE_DEAD;
	loop_fd_del(c->cl->loop, &c->reg);
	if (c->wheel.next != NULL) {
		link_remove(&c->wheel);
		c->cl->wheel_n--;
	}
	conn_mark(c);
}

static void
conn_close_for(struct conn *c, enum conn_end why)
{
	if (c->phase >= PHASE_CLOSING)
		return;
	if (c->phase != PHASE_OPEN && c->phase != PHASE_STARTTLS) {
		conn_end(c, why);
		return;
	}
	c->end = (uint8_t)why;
	c->phase = PHASE_CLOSING;
	c->deadline_ms = 0;
	own_deadline(c, CONN_CLOSE_MS);
	conn_mark(c);
}

void
conn_close(struct conn *c)
{
	conn_close_for(c, (enum conn_end)c->end);
}

void
conn_abort(struct conn *c)
{
	conn_end(c, (enum conn_end)c->end);
}

static void
conn_timed_out(struct conn *c)
{
	if (c->phase == PHASE_CONNECTING) {
		c->error = "timed out";
		conn_end(c, CONN_END_CONNECT);
		return;
	}
	if (c->phase != PHASE_OPEN) {
		conn_end(c, CONN_END_TIMEOUT);
		return;
	}
	c->deadline_ms = 0;
	if (c->h->timeout == NULL) {
		conn_close_for(c, CONN_END_TIMEOUT);
		return;
	}
	/* A close from inside is for this reason. */
	c->end = CONN_END_TIMEOUT;
	c->h->timeout(c->arg, c);
	if (c->phase < PHASE_CLOSING)
		c->end = CONN_END_LOCAL;
}

const char *
conn_tls_error(const struct conn *c)
{
	if (c->end == CONN_END_TLS && c->error != NULL)
		return c->error;
	return c->top == c->bottom ? "" : tls_layer_error(c->top);
}

const char *
conn_connect_error(const struct conn *c)
{
	return c->end == CONN_END_CONNECT ? c->error : "";
}

/* The buffers. */

static void
out_release(struct conn *c)
{
	struct conn_loop *cl = c->cl;

	CHECK(c->out.n == 0);
	if (c->out.cap == SPARE_BYTES && cl->spares_n < SPARES_MAX) {
		cl->spares[cl->spares_n++] = c->out.p;
		c->out.p = NULL;
		c->out.cap = 0;
	} else {
		buf_shrink(&c->out);
	}
}

struct buf *
conn_out(struct conn *c)
{
	struct conn_loop *cl = c->cl;

	if (c->out.p == NULL && cl->spares_n > 0) {
		c->out.p = cl->spares[--cl->spares_n];
		c->out.cap = SPARE_BYTES;
	} else if (c->out.p == NULL) {
		CHECK(buf_reserve(&c->out, SPARE_BYTES) != NULL);
	}
	conn_mark(c);
	return &c->out;
}

bool
conn_out_is_high(const struct conn *c)
{
	return c->is_high || c->out.n > CONN_OUT_HIGH;
}

static bool
can_input(const struct conn *c)
{
	return c->phase == PHASE_OPEN && !c->is_paused && !conn_out_is_high(c);
}

static unsigned
conn_wants(const struct conn *c)
{
	unsigned want = 0;

	switch ((enum phase)c->phase) {
	case PHASE_CONNECTING:
		return LOOP_WRITE;
	case PHASE_PROXY:
		return LOOP_READ;
	case PHASE_HANDSHAKE:
		return c->top->wants;
	case PHASE_OPEN:
		want = can_input(c) && !c->is_eof ? LOOP_READ : 0;
		break;
	case PHASE_STARTTLS:
		want = c->out.n == 0 ? LOOP_READ : 0;
		break;
	case PHASE_LINGER:
		want = LOOP_READ;
		break;
	case PHASE_CLOSING:
	case PHASE_DEAD:
		break;
	}
	/* A read under TLS may have to write first. */
	if (want != 0 && c->top != c->bottom)
		want |= c->top->wants & LOOP_WRITE;
	return c->out.n > 0 ? want | LOOP_WRITE : want;
}

static void
conn_want(struct conn *c)
{
	if (c->phase != PHASE_DEAD && layer_fd(c->bottom) >= 0)
		loop_fd_want(c->cl->loop, c->reg, conn_wants(c));
}

/* Input. */

static void
tls_injected(struct conn *c)
{
	c->error = "bytes behind the answer to STARTTLS";
	conn_end(c, CONN_END_TLS);
}

/* Shows in to the handler. What it leaves is in *in, unless the connection takes no more input of this kind. */
static bool
input_call(struct conn *c, struct cur *in)
{
	c->is_in_input = true;
	c->h->input(c->arg, c, in);
	c->is_in_input = false;
	if (c->phase == PHASE_OPEN)
		return true;
	c->is_unread = !cur_at_end(in);
	/* RFC 3207 4.2: nothing that came in clear survives into TLS. */
	buf_fini(&c->kept);
	if (c->phase == PHASE_STARTTLS && c->wish->is_client && c->is_unread)
		tls_injected(c);
	return false;
}

static void
kept_check(struct conn *c)
{
	if (c->phase != PHASE_OPEN)
		return;
	if (c->kept.n == 0)
		buf_shrink(&c->kept);
	else if (c->kept.cap - c->kept.n > KEPT_SLACK_BYTES)
		buf_shrink(&c->kept);
	/* Paused or high it may leave what was read; otherwise only an unfinished line. */
	if (can_input(c) && c->kept.n > c->kept.max - CONN_READ_BYTES)
		conn_end(c, CONN_END_LIMIT);
}

static void
kept_show(struct conn *c)
{
	struct cur in = cur_of(buf_str(&c->kept));

	if (c->kept.n == 0 || !can_input(c) || !input_call(c, &in))
		return;
	buf_consume(&c->kept, c->kept.n - cur_left(&in));
	kept_check(c);
}

static void
fresh_show(struct conn *c, size_t n)
{
	struct cur in = cur_of(str_of(c->cl->read, n));

	if (c->kept.n > 0) {
		/* There is room: kept input is never shown with more than its limit in it, and n is one read. */
		CHECK(buf_put(&c->kept, cur_rest(&in)) == ST_OK);
		kept_show(c);
		return;
	}
	if (!input_call(c, &in))
		return;
	CHECK(buf_put(&c->kept, cur_rest(&in)) == ST_OK);
	kept_check(c);
}

/* One turn's worth from the layers into the loop's buffer. */
static enum status
read_some(struct conn *c, size_t n_max, size_t *n_out)
{
	enum status st = ST_OK;
	size_t n = 0, got;

	while (n < n_max && st == ST_OK) {
		st = c->top->ops->read(c->top, c->cl->read + n, n_max - n, &got);
		if (st == ST_OK)
			n += got;
	}
	*n_out = n;
	return st;
}

static void
conn_eof(struct conn *c)
{
	/* What is kept was shown and is not a whole anything; or the handler still works on it. */
	if (c->is_eof && can_input(c) && !c->is_again)
		conn_close_for(c, CONN_END_EOF);
}

static void
conn_input(struct conn *c)
{
	size_t n;
	enum status st;

	if (!can_input(c))
		return;
	if (c->is_again) {
		/* What is kept comes before what is new, also when readiness comes before the work of the turn. */
		c->is_again = false;
		kept_show(c);
		if (!can_input(c))
			return;
	}
	if (c->is_eof) {
		conn_eof(c);
		return;
	}
	st = read_some(c, CONN_READ_BYTES, &n);
	if (n > 0)
		fresh_show(c, n);
	if (c->phase != PHASE_OPEN)
		return;
	if (st == ST_EOF) {
		c->is_eof = true;
		conn_eof(c);
	} else if (st != ST_OK && st != ST_MORE) {
		conn_end(c, conn_tls_error(c)[0] != 0 ? CONN_END_TLS : CONN_END_ERROR);
	} else if (st == ST_OK && (layer_fd(c->bottom) < 0 || c->top->ops->has_pending(c->top))) {
		/* The turn's share is used up, and nothing outside will say that there is more. */
		c->is_again = true;
		conn_mark(c);
	}
}

void
conn_pause(struct conn *c)
{
	c->is_paused = true;
}

void
conn_resume(struct conn *c)
{
	if (!c->is_paused)
		return;
	c->is_paused = false;
	c->is_again = true;
	conn_mark(c);
}

void
conn_hold(struct conn *c)
{
	c->is_high = true;
	conn_mark(c);
}

/* Output. */

/* True when all of it went. */
static bool
conn_flush(struct conn *c)
{
	enum status st = ST_OK;
	size_t off = 0, done;

	if (c->out.full) {
		conn_end(c, CONN_END_LIMIT);
		return false;
	}
	if (c->out.n > CONN_OUT_HIGH)
		c->is_high = true;
	while (off < c->out.n && st == ST_OK) {
		st = c->top->ops->write(c->top, c->out.p + off, c->out.n - off, &done);
		if (st == ST_OK)
			off += done;
	}
	buf_consume(&c->out, off);
	if (st != ST_OK && st != ST_MORE) {
		conn_end(c, CONN_END_ERROR);
		return false;
	}
	if (c->out.n > 0)
		return false;
	out_release(c);
	return true;
}

static void
conn_drained(struct conn *c)
{
	if (!c->is_high)
		return;
	c->is_high = false;
	c->is_again = true;
	if (c->phase == PHASE_OPEN && c->h->drained != NULL)
		c->h->drained(c->arg, c);
	conn_mark(c);
}

/* The phases. */

static void
conn_handshake(struct conn *c)
{
	enum status st = c->top->ops->handshake(c->top);

	if (st == ST_MORE)
		return;
	if (st != ST_OK) {
		conn_end(c, CONN_END_TLS);
		return;
	}
	c->phase = PHASE_OPEN;
	c->own_deadline_ms = 0;
	wheel_put(c);
	c->is_again = true;
	conn_mark(c);
	if (c->h->tls_done != NULL)
		c->h->tls_done(c->arg, c);
}

static void
tls_woken(void *arg)
{
	conn_mark(arg);
}

static struct layer *
client_layer_new(struct conn *c)
{
	struct tls_client_options o = {.server_name = str_of(c->wish->name, c->wish->name_n)};
	const struct sock_addr *peer = conn_peer(c);
	struct layer *y;
	struct buf address;

	buf_init(&address, 100);
	CHECK(sock_ip_put(&address, peer) == ST_OK);
	CHECK(buf_putf(&address, ":%u", (unsigned)peer->port) == ST_OK);
	y = tls_client_layer_new(c->wish->ctx, c->top, tls_woken, c, &o, buf_str(&address));
	buf_fini(&address);
	return y;
}

static void
conn_starttls_go(struct conn *c)
{
	if (!conn_flush(c))
		return;
	/* A handshake in progress costs 40 KB: not before the client has said something. */
	if (c->bottom->is_dry && !c->wish->is_client)
		return;
	c->is_high = false;
	if (c->wish->is_client)
		c->top = client_layer_new(c);
	else
		c->top = tls_layer_new(c->wish->ctx, c->top, tls_woken, c);
	free(c->wish);
	c->wish = NULL;
	c->phase = PHASE_HANDSHAKE;
	conn_handshake(c);
}

static void
starttls_begin(struct conn *c)
{
	c->phase = PHASE_STARTTLS;
	own_deadline(c, CONN_HANDSHAKE_MS);
	conn_mark(c);
}

/* When there is no connection yet, this waits for it. */
static struct tls_wish *
starttls_ask(struct conn *c, struct tls_context *ctx, struct str name)
{
	struct tls_wish *w = calloc(1, sizeof(*w) + name.n);

	CHECK(w != NULL && c->wish == NULL && c->top == c->bottom);
	w->ctx = ctx;
	w->name_n = name.n;
	if (name.n > 0)
		memcpy(w->name, name.p, name.n);
	c->wish = w;
	if (c->phase == PHASE_OPEN)
		starttls_begin(c);
	return w;
}

void
conn_start_tls(struct conn *c, struct tls_context *ctx)
{
	if (c->phase > PHASE_OPEN)
		return;
	/* Inside input the kept bytes are what the handler's cursor points into: input_call drops them. */
	if (!c->is_in_input && c->phase == PHASE_OPEN)
		buf_fini(&c->kept);
	starttls_ask(c, ctx, STR_NULL)->is_client = false;
}

void
conn_start_tls_client(struct conn *c, struct tls_context *ctx, const struct tls_client_options *o)
{
	if (c->phase > PHASE_OPEN)
		return;
	starttls_ask(c, ctx, o->server_name)->is_client = true;
	/* Inside input it is known only afterwards what the handler leaves. */
	if (!c->is_in_input && c->kept.n > 0)
		tls_injected(c);
}

/* There is a connection, and nothing stands before what it says. */
static void
conn_connected(struct conn *c)
{
	c->phase = PHASE_OPEN;
	c->own_deadline_ms = 0;
	c->is_again = true;
	if (c->wish != NULL)
		starttls_begin(c);
	wheel_put(c);
	conn_mark(c);
	if (c->h->connected != NULL)
		c->h->connected(c->arg, c);
}

static void
conn_connect_ended(struct conn *c)
{
	c->error = sock_connect_error(layer_fd(c->bottom));
	if (c->error[0] != 0) {
		conn_end(c, CONN_END_CONNECT);
		return;
	}
	c->error = NULL;
	conn_connected(c);
}

static struct sock_addr
addr_of_proxy(const struct proxy_addr *a)
{
	struct sock_addr out = {.port = a->port, .is_v4 = a->is_v4};

	memcpy(out.ip, a->ip, sizeof(out.ip));
	return out;
}

static void
conn_proxy(struct conn *c)
{
	struct proxy_info info;
	struct sock_addr a;
	struct cur in;
	size_t n;
	enum status st = read_some(c, PROXY_HEADER_MAX - c->kept.n, &n), taken;

	CHECK(buf_put(&c->kept, str_of(c->cl->read, n)) == ST_OK);
	in = cur_of(buf_str(&c->kept));
	taken = proxy_take(&in, &info);
	if (taken == ST_MORE) {
		if (st != ST_MORE)
			conn_end(c, st == ST_EOF ? CONN_END_EOF : CONN_END_ERROR);
		return;
	}
	if (taken != ST_OK) {
		conn_end(c, CONN_END_PROXY);
		return;
	}
	if (!info.is_local) {
		a = addr_of_proxy(&info.from);
		conn_set_peer(c, &a);
		a = addr_of_proxy(&info.to);
		conn_set_local(c, &a);
	}
	if (!cur_at_end(&in))
		layer_push(c->bottom, cur_rest(&in));
	buf_fini(&c->kept);
	conn_connected(c);
}

void
conn_expect_proxy(struct conn *c)
{
	CHECK(c->wish == NULL && c->top == c->bottom && c->phase <= PHASE_OPEN && c->kept.n == 0);
	c->phase = PHASE_PROXY;
	own_deadline(c, CONN_PROXY_MS);
}

/* A close with input unread, here or under way, would make the kernel send a reset that may overtake our last words. */
static void
conn_closing(struct conn *c)
{
	bool is_quiet;

	if (!conn_flush(c))
		return;
	if (c->top != c->bottom)
		c->top->ops->shutdown(c->top);
	is_quiet = c->is_eof || (c->kept.n == 0 && !c->is_unread && c->end == CONN_END_LOCAL &&
				    c->bottom->is_dry);
	if (is_quiet || c->is_hup || layer_fd(c->bottom) < 0) {
		conn_end(c, (enum conn_end)c->end);
		return;
	}
	buf_fini(&c->kept);
	c->bottom->ops->shutdown(c->bottom);
	c->phase = PHASE_LINGER;
	own_deadline(c, CONN_LINGER_MS);
}

static void
conn_linger(struct conn *c)
{
	size_t got;
	enum status st;

	st = c->bottom->ops->read(c->bottom, c->cl->read, CONN_READ_BYTES, &got);
	if (st == ST_OK)
		c->lingered_bytes += (uint32_t)got;
	if ((st != ST_OK && st != ST_MORE) || c->lingered_bytes > LINGER_BYTES_MAX)
		conn_end(c, (enum conn_end)c->end);
}

static void
conn_free(struct conn *c)
{
	c->h->closed(c->arg, c, (enum conn_end)c->end);
	CHECK(c->wheel.next == NULL);
	if (c->work.next != NULL)
		link_remove(&c->work);
	layer_free_all(&c->top);
	buf_fini(&c->kept);
	c->out.n = 0;
	out_release(c);
	free(c->wish);
	free(c);
}

/* At the end of the turn: answers leave, what was put off goes on. */
static void
conn_work(struct conn *c)
{
	switch ((enum phase)c->phase) {
	case PHASE_CONNECTING:
		if (layer_fd(c->bottom) < 0)
			conn_connected(c);
		break;
	case PHASE_PROXY:
		break;
	case PHASE_OPEN:
		if (c->out.n > 0 && conn_flush(c))
			conn_drained(c);
		if (c->is_again)
			conn_input(c);
		break;
	case PHASE_STARTTLS:
		conn_starttls_go(c);
		break;
	case PHASE_HANDSHAKE:
		conn_handshake(c);
		break;
	case PHASE_CLOSING:
		conn_closing(c);
		break;
	case PHASE_LINGER:
		break;
	case PHASE_DEAD:
		conn_free(c);
		return;
	}
	conn_want(c);
}

/* What the work itself marks waits for the next turn, but does not let the loop sleep. */
static void
nothing(void *arg)
{
	(void)arg;
}

static void
work_run(void *arg)
{
	struct conn_loop *cl = arg;
	struct link now;

	if (!ring_take(&cl->work, &now))
		return;
	while (now.next != &now) {
		struct conn *c = (struct conn *)(void *)now.next;
		link_remove(&c->work);
		conn_work(c);
	}
	if (cl->work.next != &cl->work)
		loop_post(cl->loop, nothing, NULL);
}

static void
conn_on_ready(void *arg, unsigned events)
{
	struct conn *c = arg;

	if (events & (LOOP_READ | LOOP_HUP))
		c->bottom->is_dry = false;
	c->is_hup |= (events & LOOP_HUP) != 0;
	switch ((enum phase)c->phase) {
	case PHASE_CONNECTING:
		if (layer_fd(c->bottom) >= 0 && (events & (LOOP_WRITE | LOOP_HUP)))
			conn_connect_ended(c);
		break;
	case PHASE_PROXY:
		conn_proxy(c);
		break;
	case PHASE_OPEN:
		if (events & LOOP_WRITE)
			conn_mark(c);
		conn_input(c);
		/* Broken while nobody reads: it would be reported again every turn. */
		if (c->is_hup && c->phase == PHASE_OPEN && (c->is_eof || !can_input(c)))
			conn_end(c, CONN_END_ERROR);
		break;
	case PHASE_HANDSHAKE:
		/* Waiting for a signature it has nothing to do, and would not read to hear of the end. */
		if (c->is_hup && c->top->wants == 0)
			conn_end(c, CONN_END_ERROR);
		else
			conn_handshake(c);
		break;
	case PHASE_STARTTLS:
	case PHASE_CLOSING:
		if (c->is_hup)
			conn_end(c, CONN_END_ERROR);
		else
			conn_mark(c);
		break;
	case PHASE_LINGER:
		conn_linger(c);
		break;
	case PHASE_DEAD:
		break;
	}
	conn_want(c);
}

static struct conn *
conn_new(struct loop *l, struct layer *bottom, const struct conn_handler *h, void *arg,
    size_t input_bytes_max)
{
	struct conn *c = calloc(1, sizeof(*c));

	CHECK(c != NULL && h->input != NULL && h->closed != NULL && input_bytes_max > 0);
	c->cl = conn_loop_of(l);
	c->h = h;
	c->arg = arg;
	c->top = c->bottom = bottom;
	c->phase = PHASE_OPEN;
	c->end = CONN_END_LOCAL;
	buf_init(&c->kept, input_bytes_max + CONN_READ_BYTES);
	buf_init(&c->out, CONN_OUT_MAX);
	return c;
}

struct conn *
conn_new_fd(struct loop *l, int fd, const struct conn_handler *h, void *arg, size_t input_bytes_max)
{
	struct conn *c = conn_new(l, layer_fd_new(fd), h, arg, input_bytes_max);

	c->reg = loop_fd_add(l, fd, LOOP_READ, conn_on_ready, c);
	return c;
}

struct conn *
conn_new_connect(struct loop *l, const struct sock_addr *to, const struct sock_addr *from,
    const struct conn_handler *h, void *arg, size_t input_bytes_max)
{
	const char *why = NULL;
	int fd = -1;
	enum status st = sock_connect(to, from, &fd, &why);
	struct conn *c = conn_new(l, layer_fd_new(fd), h, arg, input_bytes_max);

	c->phase = PHASE_CONNECTING;
	conn_set_peer(c, to);
	if (st == ST_OK) {
		c->reg = loop_fd_add(l, fd, LOOP_WRITE, conn_on_ready, c);
	} else {
		c->error = why;
		conn_end(c, CONN_END_CONNECT);
	}
	return c;
}

struct conn *
conn_new_sim(struct loop *l, struct sim_end *end, const struct conn_handler *h, void *arg,
    size_t input_bytes_max)
{
	struct conn *c = conn_new(l, layer_sim_new(end), h, arg, input_bytes_max);

	/* Simulated addresses are what the simulator sets. */
	c->is_peer_known = c->is_local_known = true;
	if (h->connected != NULL) {
		c->phase = PHASE_CONNECTING;
		conn_mark(c);
	}
	sim_watch(end, conn_on_ready, c);
	return c;
}

void *
conn_arg(const struct conn *c)
{
	return c->arg;
}

const struct tls_info *
conn_tls(const struct conn *c)
{
	const struct tls_info *info = c->top == c->bottom ? NULL : tls_layer_info(c->top);

	/* Without a version the handshake is not done, or has failed. */
	return info != NULL && info->version != NULL ? info : NULL;
}

bool
conn_tls_exporter(const struct conn *c, uint8_t out[32])
{
	return conn_tls(c) != NULL && tls_layer_exporter(c->top, out);
}

bool
conn_tls_server_end_point(const struct conn *c, uint8_t out[TLS_END_POINT_MAX], size_t *n_out)
{
	return conn_tls(c) != NULL && tls_layer_server_end_point(c->top, out, n_out);
}

enum status
conn_tls_client_name(const struct conn *c, struct buf *out)
{
	return conn_tls(c) == NULL ? ST_NOTFOUND : tls_layer_client_name(c->top, out);
}

const struct sock_addr *
conn_peer(struct conn *c)
{
	if (!c->is_peer_known)
		sock_peer(layer_fd(c->bottom), &c->peer);
	c->is_peer_known = true;
	return &c->peer;
}

const struct sock_addr *
conn_local(struct conn *c)
{
	if (!c->is_local_known)
		sock_local(layer_fd(c->bottom), &c->local);
	c->is_local_known = true;
	return &c->local;
}

void
conn_set_peer(struct conn *c, const struct sock_addr *peer)
{
	c->peer = *peer;
	c->is_peer_known = true;
}

void
conn_set_local(struct conn *c, const struct sock_addr *local)
{
	c->local = *local;
	c->is_local_known = true;
}
