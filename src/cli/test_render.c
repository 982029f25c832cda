#include "base/num.h"
#include "base/unit.h"
#include "cli/render.h"

static void
documents_become_text(void)
{
	static const struct {
		const char *in;
		const char *out;
		const char *err;
		enum status st;
	} table[] = {
	    {"{\"message\":\"Account me@example.org is made.\"}",
		"Account me@example.org is made.\n", "", ST_OK},
	    {"{\"error\":\"there is no domain x.org\",\"mend\":\"posthorn domain add x.org\"}", "",
		"posthorn: there is no domain x.org\n  posthorn domain add x.org\n", ST_DENIED},
	    {"{\"error\":\"no\"}", "", "posthorn: no\n", ST_DENIED},
	    {"{\"fields\":{\"hostname\":\"a.b\",\"size_bytes\":1536,\"up\":true,\"last_login\":"
	     "null}}",
		"hostname:   a.b\nsize:       1.5k\nup:         yes\nlast login: -\n", "", ST_OK},
	    {"{\"rows\":[{\"address\":\"a@b.org\",\"size_bytes\":1023,\"x\":1},{\"address\":\"long@"
	     "b.org\","
	     "\"size_bytes\":20971520,\"x\":10}],\"columns\":[\"address\",\"size_bytes\"]}",
		"address     size\na@b.org     1023\nlong@b.org   20M\n", "", ST_OK},
	    {"{\"rows\":[{\"role\":\"smtpin\",\"sandbox\":[\"seccomp\",\"landlock\"]},{\"role\":"
	     "\"x\"}]}",
		"role    sandbox\nsmtpin  seccomp, landlock\nx       -\n", "", ST_OK},
	    {"{\"rows\":[{\"a\":\"\xc3\xbc\",\"b\":\"x\"},{\"a\":\"uu\",\"b\":\"y\"}]}",
		"a   b\n\xc3\xbc   x\nuu  y\n", "", ST_OK},
	    {"{\"rows\":[],\"columns\":[\"a\"]}", "none\n", "", ST_OK},
	    {"{\"message\":\"two\",\"rows\":[{\"n\":1}]}", "two\nn\n1\n", "", ST_OK},
	    {"{\"message\":\"a\\u001b[2Jb\\nc\\u202ed\\u0085\"}", "a?[2Jb?c?d?\n", "", ST_OK},
	    {"{\"message\":\"\"}", "-\n", "", ST_OK},
	    {"{\"rows\":[1,2]}", "", "", ST_OK},
	    {"{\"rows\":[{\"age_seconds\":119,\"next_seconds\":120},{\"age_seconds\":7200,\"next_seconds\":172800},"
	     "{\"age_seconds\":-1,\"next_seconds\":null}]}",
		"  age   next\n119 s  2 min\n  2 h    2 d\n   -1      -\n", "", ST_OK},
	    {"{\"sections\":[]}", "none\n", "", ST_OK},
	    {"{\"sections\":[{\"title\":\"one\",\"lines\":[\"a\",{\"text\":\"b\\u001b\",\"x\":1}]},{\"title\":\"two\"},5]}",
		"one\n  a\n  b?\n\ntwo\n\n-\n", "", ST_OK},
	    {"{\"lines\":[{\"text\":\"a\"},{\"x\":1},\"c\"]}", "a\n-\nc\n", "", ST_OK},
	    {"{\"records\":[{\"name\":\"a.org\",\"type\":\"MX\",\"value\":\"10 m.a.org.\",\"why\":\"mail\"},"
	     "{\"name\":\"a.org\",\"type\":\"TXT\",\"value\":\"say \\\"\\\\\",\"why\":\"because\"}],\"remarks\":[\"more\"]}",
		"; mail\na.org.  IN  MX  10 m.a.org.\n; because\na.org.  IN  TXT  \"say \\\"\\\\\"\n; more\n", "", ST_OK},
	    {"{\"records\":[5,{}]}", "; -\n-.  IN  -  -\n; -\n-.  IN  -  -\n", "", ST_OK},
	    {"{}", "", "", ST_OK},
	    {"", "", "posthorn: the server's answer was not understood\n", ST_SYNTAX},
	    {"[1]", "", "posthorn: the server's answer was not understood\n", ST_SYNTAX},
	    {"{\"message\":", "", "posthorn: the server's answer was not understood\n", ST_SYNTAX},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct buf out, err;

		buf_init(&out, 4096);
		buf_init(&err, 4096);
		EXPECT(render_text(str_of_c(table[i].in), &out, &err) == table[i].st);
		EXPECT_STR(buf_str(&out), str_of_c(table[i].out));
		EXPECT_STR(buf_str(&err), str_of_c(table[i].err));
		buf_fini(&out);
		buf_fini(&err);
	}
}

/* RFC 1035 3.3: at n and at n + 1. */
static void
long_texts_are_split(void)
{
	for (size_t n = 255; n <= 256; n++) {
		struct buf in, out, err;

		buf_init(&in, 4096);
		buf_init(&out, 4096);
		buf_init(&err, 4096);
		(void)buf_put(&in, STR("{\"records\":[{\"name\":\"a\",\"type\":\"TXT\",\"why\":\"w\",\"value\":\""));
		for (size_t i = 0; i < n; i++)
			(void)buf_put_c(&in, 'x');
		(void)buf_put(&in, STR("\"}]}"));
		EXPECT(render_text(buf_str(&in), &out, &err) == ST_OK);
		EXPECT((str_find(buf_str(&out), STR("x\" \"x\"\n")) < out.n) == (n > 255));
		buf_fini(&in);
		buf_fini(&out);
		buf_fini(&err);
	}
}

static void
bytes_are_short(void)
{
	static const struct {
		const char *in;
		const char *out;
	} table[] = {
	    {"0", "0"},
	    {"1023", "1023"},
	    {"1024", "1k"},
	    {"10239", "9.9k"},
	    {"10240", "10k"},
	    {"1048575", "1023k"},
	    {"1048576", "1M"},
	    {"1610612736", "1.5G"},
	    {"9223372036854775807", "7.9E"},
	    {"-5", "-5"},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct buf json, out, err;
		char want[64];

		buf_init(&json, 256);
		buf_init(&out, 256);
		buf_init(&err, 256);
		buf_putf(&json, "{\"fields\":{\"n_bytes\":%s}}", table[i].in);
		(void)snprintf(want, sizeof(want), "n: %s\n", table[i].out);
		EXPECT(render_text(buf_str(&json), &out, &err) == ST_OK);
		EXPECT_STR(buf_str(&out), str_of_c(want));
		buf_fini(&json);
		buf_fini(&out);
		buf_fini(&err);
	}
}

static void
json_stays_json(void)
{
	struct buf out, err;

	buf_init(&out, 256);
	buf_init(&err, 256);
	EXPECT(render_json(STR("{ \"b\": 1,\n \"a\": [true] }"), &out, &err) == ST_OK);
	EXPECT_STR(buf_str(&out), STR("{\"b\":1,\"a\":[true]}\n"));
	buf_reset(&out);
	EXPECT(render_json(STR("{\"error\":\"x\\ny\"}"), &out, &err) == ST_DENIED);
	EXPECT_STR(buf_str(&out), STR("{\"error\":\"x\\ny\"}\n"));
	EXPECT(err.n == 0);
	EXPECT(render_json(STR("nonsense"), &out, &err) == ST_SYNTAX);
	buf_fini(&out);
	buf_fini(&err);
}

static void
full_buffers_are_reported(void)
{
	struct buf out, err;

	buf_init(&err, 256);
	buf_init(&out, 6);
	EXPECT(render_text(STR("{\"message\":\"hello\"}"), &out, &err) == ST_OK);
	buf_fini(&out);
	buf_init(&out, 5);
	EXPECT(render_text(STR("{\"message\":\"hello\"}"), &out, &err) == ST_LIMIT);
	buf_fini(&out);
	buf_fini(&err);
}

int
main(void)
{
	UNIT(documents_become_text);
	UNIT(long_texts_are_split);
	UNIT(bytes_are_short);
	UNIT(json_stays_json);
	UNIT(full_buffers_are_reported);
	return unit_end();
}
