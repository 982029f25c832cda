#include "base/unit.h"
#include "flow/report/notice.h"

static const struct queue_rcpt failed = {.path = STR_INIT("you@b.example"),
    .orcpt = STR_INIT("rfc822;you@b.example"),
    .code = 550,
    .enhanced = {5, 1, 1},
    .text = STR_INIT("no such user"),
    .host = STR_INIT("mx.b.example"),
    .tried_ms = 1700000000000u};

static struct rec_notice
notice_of(struct str rcpts)
{
	return (struct rec_notice){.ask = 1,
	    .from = STR("postmaster@a.example"),
	    .to = STR("me@a.example"),
	    .id = STR("1a2b.3c@a.example"),
	    .arrived_ms = 1700000000000u,
	    .now_ms = 1700000001000u,
	    .rcpts = rcpts,
	    .is_whole = 1,
	    .original = STR("Received: x\r\nFrom: me@a.example\r\nSubject: =?utf-8?q?Caf=C3=A9?=\r\n\r\nHello\r\n")};
}

static void
a_notice_is_written(void)
{
	struct arena a;
	struct buf rcpts, out;
	struct rec_notice r;
	uint8_t flags;

	arena_init(&a, QUEUE_ARENA_BYTES);
	buf_init(&rcpts, 4096);
	buf_init(&out, NOTICE_BYTES_MAX);
	EXPECT(notice_rcpt_put(&rcpts, DSN_FAILED, &failed, STR("192.0.2.1"), 0) == ST_OK);
	r = notice_of(buf_str(&rcpts));
	EXPECT(notice_write(&r, STR("mx.a.example"), &a, &out, &flags) == ST_OK);
	EXPECT(flags == (ENVELOPE_NOTICE | ENVELOPE_AUTO));
	EXPECT(str_find(buf_str(&out), STR("To: <me@a.example>\r\n")) < out.n || str_find(buf_str(&out), STR("To: me@a.example\r\n")) < out.n);
	EXPECT(str_find(buf_str(&out), STR("Action: failed\r\n")) < out.n);
	EXPECT(str_find(buf_str(&out), STR("Status: 5.1.1\r\n")) < out.n);
	EXPECT(str_find(buf_str(&out), STR("no such user")) < out.n);
	/* Nobody asked for headers only, and it is short: the message goes back whole. */
	EXPECT(str_find(buf_str(&out), STR("Hello\r\n")) < out.n);
	buf_reset(&out);
	r.ret = ENVELOPE_RET_HDRS;
	EXPECT(notice_write(&r, STR("mx.a.example"), &a, &out, &flags) == ST_OK);
	EXPECT(str_find(buf_str(&out), STR("Hello\r\n")) == out.n);
	buf_fini(&rcpts);
	buf_fini(&out);
	arena_fini(&a);
}

static void
malformed_recipients_are_refused(void)
{
	struct arena a;
	struct buf rcpts, out;
	struct rec_notice r;
	uint8_t flags;

	arena_init(&a, QUEUE_ARENA_BYTES);
	buf_init(&rcpts, 4096);
	buf_init(&out, NOTICE_BYTES_MAX);
	EXPECT(notice_rcpt_put(&rcpts, DSN_FAILED, &failed, STR_NULL, 0) == ST_OK);
	for (size_t n = 0; n < rcpts.n; n++) {
		r = notice_of(str_take(buf_str(&rcpts), n));
		EXPECT(notice_write(&r, STR("mx.a.example"), &a, &out, &flags) == ST_SYNTAX && out.n == 0);
		arena_reset(&a);
	}
	buf_fini(&rcpts);
	buf_fini(&out);
	arena_fini(&a);
}

int
main(void)
{
	UNIT(a_notice_is_written);
	UNIT(malformed_recipients_are_refused);
	return unit_end();
}
