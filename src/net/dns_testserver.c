#include "net/dns_testserver.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/check.h"
#include "base/enc.h"
#include "base/num.h"
#include "net/dns_packet.h"

enum {
	MESSAGE_BYTES_MAX = 8192,
	CONNECTIONS_MAX = 16,
	TYPE_RRSIG = 46,
	TYPE_DNSKEY = 48,
	KEY_BYTES = 32,
	SIG_BYTES = 64
};

static const struct row {
	struct str name;
	uint16_t type;
	struct str text;
} rows[] = {
    {STR_INIT("example.test"), DNS_MX, STR_INIT("10 mx1.example.test")},
    {STR_INIT("example.test"), DNS_MX, STR_INIT("20 mx2.example.test")},
    {STR_INIT("example.test"), DNS_TXT, STR_INIT("v=spf1 mx -all")},
    {STR_INIT("example.test"), DNS_NS, STR_INIT("ns.example.test")},
    {STR_INIT("nullmx.test"), DNS_MX, STR_INIT("0 .")},
    {STR_INIT("mx1.example.test"), DNS_A, STR_INIT("192.0.2.25")},
    {STR_INIT("mx1.example.test"), DNS_AAAA, STR_INIT("2001:db8::25")},
    {STR_INIT("_25._tcp.mx1.example.test"), DNS_TLSA, STR_INIT("\3\1\1abc")},
    {STR_INIT("www.test"), DNS_CNAME, STR_INIT("alias.test")},
    {STR_INIT("alias.test"), DNS_CNAME, STR_INIT("mx1.example.test")},
    {STR_INIT("localhost"), DNS_A, STR_INIT("192.0.2.1")},
    {STR_INIT("1.0.0.127.in-addr.arpa"), DNS_PTR, STR_INIT("four.forwarder.test")},
    {STR_INIT("1.2.0.10.in-addr.arpa"), DNS_PTR, STR_INIT("ten.forwarder.test")},
    {STR_INIT("5.1.168.192.in-addr.arpa"), DNS_PTR, STR_INIT("lan.forwarder.test")},
    {STR_INIT("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa"), DNS_PTR,
	STR_INIT("six.forwarder.test")},
    {STR_INIT("stale.test"), DNS_A, STR_INIT("192.0.2.77")},
    {STR_INIT("tampered.test"), DNS_A, STR_INIT("192.0.2.66")},
};

struct server {
	int udp, tcp;
	EVP_PKEY *key; /* NULL: not signed */
	unsigned stale_n;
};

static void
be16(struct buf *b, size_t v)
{
	(void)buf_put_c(b, (char)(v >> 8));
	(void)buf_put_c(b, (char)v);
}

static void
be32(struct buf *b, size_t v)
{
	be16(b, v >> 16 & 0xffff);
	be16(b, v & 0xffff);
}

static void
name_wire(struct buf *b, struct str text)
{
	struct dns_name name;

	CHECK(dns_name_parse(text, &name) == ST_OK);
	(void)buf_put(b, str_of(name.wire, name.n));
}

static void
key_public(const struct server *s, uint8_t out[KEY_BYTES])
{
	size_t n = KEY_BYTES;

	CHECK(EVP_PKEY_get_raw_public_key(s->key, out, &n) == 1 && n == KEY_BYTES);
}

/* RFC 4034 2.1, RFC 8080 3 */
static void
dnskey_rdata(const struct server *s, struct buf *b)
{
	uint8_t key[KEY_BYTES];

	key_public(s, key);
	be16(b, 257);
	(void)buf_put(b, STR("\3\x0f"));
	(void)buf_put(b, str_of(key, sizeof(key)));
}

static void
row_rdata(const struct row *r, struct buf *b)
{
	uint8_t ip[16];
	char z[64];
	struct str pref, name;
	uint64_t n;

	switch ((enum dns_rrtype)r->type) {
	case DNS_A:
	case DNS_AAAA:
		snprintf(z, sizeof(z), "%.*s", STR_ARG(r->text));
		CHECK(inet_pton(r->type == DNS_A ? AF_INET : AF_INET6, z, ip) == 1);
		(void)buf_put(b, str_of(ip, r->type == DNS_A ? 4 : 16));
		break;
	case DNS_MX:
		CHECK(str_split(r->text, ' ', &pref, &name) && str_to_u64(pref, &n) == ST_OK);
		be16(b, n);
		name_wire(b, name);
		break;
	case DNS_NS:
	case DNS_CNAME:
	case DNS_PTR:
		name_wire(b, r->text);
		break;
	case DNS_TXT:
		(void)buf_put_c(b, (char)r->text.n);
		(void)buf_put(b, r->text);
		break;
	case DNS_TLSA:
		(void)buf_put(b, r->text);
		break;
	}
}

static void
rr_put(struct buf *b, struct str owner_wire, uint16_t type, uint32_t ttl, struct str rdata)
{
	(void)buf_put(b, owner_wire);
	be16(b, type);
	be16(b, 1);
	be32(b, ttl);
	be16(b, rdata.n);
	(void)buf_put(b, rdata);
}

/* RFC 4034 appendix B */
static uint16_t
key_tag(struct str dnskey)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < dnskey.n; i++)
		sum += i & 1 ? (uint8_t)dnskey.p[i] : (uint32_t)(uint8_t)dnskey.p[i] << 8;
	return (uint16_t)(sum + (sum >> 16));
}

/* The signature over the one record in `rr` (RFC 4034 3.1.8.1). */
static void
rrsig_put(const struct server *s, struct buf *b, struct str owner_wire, uint16_t type, uint32_t ttl,
    struct str rr, bool is_broken)
{
	struct buf key, signed_data, rdata;
	uint8_t sig[SIG_BYTES];
	size_t sig_n = sizeof(sig), labels = 0, now = (size_t)time(NULL);
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	for (size_t at = 0; owner_wire.p[at] != 0; at += 1 + (size_t)owner_wire.p[at])
		labels++;
	buf_init(&key, 256);
	buf_init(&rdata, 256);
	buf_init(&signed_data, MESSAGE_BYTES_MAX);
	dnskey_rdata(s, &key);
	be16(&rdata, type);
	(void)buf_put_c(&rdata, 15);
	(void)buf_put_c(&rdata, (char)labels);
	be32(&rdata, ttl);
	be32(&rdata, now + 86400);
	be32(&rdata, now - 86400);
	be16(&rdata, key_tag(buf_str(&key)));
	(void)buf_put_c(&rdata, 0);
	(void)buf_put(&signed_data, buf_str(&rdata));
	(void)buf_put(&signed_data, rr);
	CHECK(md != NULL && EVP_DigestSignInit(md, NULL, NULL, NULL, s->key) == 1 &&
	      EVP_DigestSign(md, sig, &sig_n, (const uint8_t *)signed_data.p, signed_data.n) == 1);
	sig[7] ^= is_broken ? 1 : 0;
	(void)buf_put(&rdata, str_of(sig, sig_n));
	rr_put(b, owner_wire, TYPE_RRSIG, ttl, buf_str(&rdata));
	EVP_MD_CTX_free(md);
	buf_fini(&key);
	buf_fini(&rdata);
	buf_fini(&signed_data);
}

/* Returns how many records were written. */
static uint16_t
record_put(const struct server *s, struct buf *b, struct str owner, uint16_t type, struct str rdata)
{
	uint32_t ttl = str_eq(owner, STR("stale.test")) ? 1 : 60;
	struct buf wire, rr;

	buf_init(&wire, DNS_NAME_BYTES_MAX);
	buf_init(&rr, MESSAGE_BYTES_MAX);
	name_wire(&wire, owner);
	rr_put(&rr, buf_str(&wire), type, ttl, rdata);
	(void)buf_put(b, buf_str(&rr));
	if (s->key != NULL)
		rrsig_put(s, b, buf_str(&wire), type, ttl, buf_str(&rr),
		    str_eq(owner, STR("tampered.test")));
	buf_fini(&wire);
	buf_fini(&rr);
	return s->key != NULL ? 2 : 1;
}

static uint16_t
big_put(const struct server *s, struct buf *b)
{
	struct buf rdata;
	uint16_t n;

	buf_init(&rdata, MESSAGE_BYTES_MAX);
	for (int i = 0; i < DNS_TESTSERVER_BIG_BYTES / 200; i++) {
		(void)buf_put_c(&rdata, (char)200);
		for (int k = 0; k < 200; k++)
			(void)buf_put_c(&rdata, 'b');
	}
	n = record_put(s, b, STR("big.test"), DNS_TXT, buf_str(&rdata));
	buf_fini(&rdata);
	return n;
}

/* Appends the records for name and type, through CNAMEs; *found: the name exists. */
static uint16_t
zone_put(const struct server *s, struct buf *b, struct str name, uint16_t type, bool *found)
{
	struct buf rdata;
	uint16_t n = 0;

	buf_init(&rdata, MESSAGE_BYTES_MAX);
	if (s->key != NULL && type == TYPE_DNSKEY && str_eq(name, STR("."))) {
		dnskey_rdata(s, &rdata);
		n = record_put(s, b, name, type, buf_str(&rdata));
		*found = true;
	}
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (!str_eq_ci(rows[i].name, name))
			continue;
		*found = true;
		if (rows[i].type != type && rows[i].type != DNS_CNAME)
			continue;
		buf_reset(&rdata);
		row_rdata(&rows[i], &rdata);
		n = (uint16_t)(n + record_put(s, b, rows[i].name, rows[i].type, buf_str(&rdata)));
		if (rows[i].type == DNS_CNAME && type != DNS_CNAME)
			n = (uint16_t)(n + zone_put(s, b, rows[i].text, type, found));
	}
	buf_fini(&rdata);
	return n;
}

struct question {
	struct str id, wire;
	struct buf name; /* text */
	uint16_t type;
};

static bool
question_take(struct str message, struct question *q)
{
	struct cur c = cur_of(message);
	struct str skip, label, type;
	uint8_t n;
	const char *start;

	if (!cur_take(&c, 2, &q->id) || !cur_take(&c, 10, &skip))
		return false;
	start = c.p;
	while (cur_u8(&c, &n) && n > 0 && cur_take(&c, n, &label)) {
		if (q->name.n > 0)
			(void)buf_put_c(&q->name, '.');
		(void)buf_put(&q->name, label);
	}
	if (q->name.n == 0)
		(void)buf_put_c(&q->name, '.');
	if (!cur_take(&c, 2, &type) || !cur_take(&c, 2, &skip))
		return false;
	q->type = (uint16_t)((uint8_t)type.p[0] << 8 | (uint8_t)type.p[1]);
	q->wire = str_of(start, (size_t)(c.p - start));
	return true;
}

/* Writes the reply; false: none. */
static bool
reply(struct server *s, const struct question *q, bool is_tcp, struct buf *out)
{
	struct str name = buf_str(&q->name);
	struct buf answers;
	uint16_t n = 0, flags = 0x8580;
	bool found = false;

	if (str_eq(name, STR("silent.test")) ||
	    (str_eq(name, STR("stale.test")) && s->stale_n++ > 0))
		return false;
	if (str_eq(name, STR("garbage.test"))) {
		(void)buf_put(out, q->id);
		(void)buf_put(out, STR("\x81\x80\0\1\0\x09\0\0\0\0\xff\xff\xc0\xc0"));
		return true;
	}
	buf_init(&answers, MESSAGE_BYTES_MAX);
	if (str_eq(name, STR("big.test")) && !is_tcp)
		flags |= 0x0200;
	else if (str_eq(name, STR("big.test")) && q->type == DNS_TXT)
		n = big_put(s, &answers);
	else if (str_eq(name, STR("lying.test")))
		n = record_put(s, &answers, name, DNS_A, STR("abc"));
	else if (str_eq(name, STR("servfail.test")))
		flags |= DNS_SERVFAIL;
	else if ((n = zone_put(s, &answers, name, q->type, &found)) == 0 && !found)
		flags |= DNS_NXDOMAIN;
	(void)buf_put(out, q->id);
	be16(out, flags);
	be16(out, 1);
	be16(out, n);
	be16(out, 0);
	be16(out, 1);
	(void)buf_put(out, q->wire);
	(void)buf_put(out, buf_str(&answers));
	/* EDNS, with DO (RFC 6891, RFC 3225) */
	(void)buf_put(out, STR("\0\0\x29\x10\0\0\0\x80\0\0\0"));
	buf_fini(&answers);
	return true;
}

static bool
serve(struct server *s, struct str message, bool is_tcp, struct buf *out)
{
	struct question q = {0};
	bool ok;

	buf_init(&q.name, 1024);
	ok = question_take(message, &q) && reply(s, &q, is_tcp, out);
	buf_fini(&q.name);
	return ok;
}

static void
udp_serve(struct server *s)
{
	char in[MESSAGE_BYTES_MAX];
	struct sockaddr_in from;
	socklen_t from_n = sizeof(from);
	ssize_t n = recvfrom(s->udp, in, sizeof(in), 0, (struct sockaddr *)&from, &from_n);
	struct buf out;

	buf_init(&out, MESSAGE_BYTES_MAX);
	if (n > 0 && serve(s, str_of(in, (size_t)n), false, &out))
		(void)sendto(s->udp, out.p, out.n, 0, (struct sockaddr *)&from, from_n);
	buf_fini(&out);
}

/* One query comes in one piece on loopback. False: the connection ended. */
static bool
tcp_serve(struct server *s, int fd)
{
	char in[MESSAGE_BYTES_MAX];
	ssize_t n = recv(fd, in, sizeof(in), 0);
	struct buf out, head;

	if (n <= 2)
		return false;
	buf_init(&out, MESSAGE_BYTES_MAX);
	buf_init(&head, MESSAGE_BYTES_MAX + 2);
	if (serve(s, str_of(in + 2, (size_t)n - 2), true, &out)) {
		be16(&head, out.n);
		(void)buf_put(&head, buf_str(&out));
		(void)send(fd, head.p, head.n, MSG_NOSIGNAL);
	}
	buf_fini(&out);
	buf_fini(&head);
	return true;
}

_Noreturn static void
serve_all(struct server *s)
{
	struct pollfd p[2 + CONNECTIONS_MAX] = {
	    {.fd = s->udp, .events = POLLIN}, {.fd = s->tcp, .events = POLLIN}};

	for (size_t i = 2; i < COUNT_OF(p); i++)
		p[i] = (struct pollfd){.fd = -1, .events = POLLIN};
	for (;;) {
		(void)poll(p, COUNT_OF(p), -1);
		if (p[0].revents)
			udp_serve(s);
		for (size_t i = 2; i < COUNT_OF(p); i++) {
			if (p[i].fd >= 0 && p[i].revents && !tcp_serve(s, p[i].fd)) {
				close(p[i].fd);
				p[i].fd = -1;
			} else if (p[i].fd < 0 && p[1].revents) {
				p[i].fd = accept(s->tcp, NULL, NULL);
				p[1].revents = 0;
			}
		}
	}
}

/* The same port for both: UDP takes what TCP was given; tried again when somebody else has it. */
static uint16_t
sockets_bind(struct server *s)
{
	struct sockaddr_in a;
	socklen_t n = sizeof(a);

	for (int tries = 0; tries < 20; tries++) {
		a = (struct sockaddr_in){
		    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		s->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		s->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		CHECK(s->tcp >= 0 && s->udp >= 0 &&
		      bind(s->tcp, (struct sockaddr *)&a, sizeof(a)) == 0 &&
		      getsockname(s->tcp, (struct sockaddr *)&a, &n) == 0 &&
		      listen(s->tcp, CONNECTIONS_MAX) == 0);
		if (bind(s->udp, (struct sockaddr *)&a, sizeof(a)) == 0)
			return ntohs(a.sin_port);
		close(s->tcp);
		close(s->udp);
	}
	return 0;
}

static void
key_make(struct server *s, struct dns_testserver *t)
{
	uint8_t key[KEY_BYTES];
	struct buf line;
	int fd;

	s->key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	CHECK(s->key != NULL);
	key_public(s, key);
	buf_init(&line, 256);
	(void)buf_put(&line, STR(". 3600 IN DNSKEY 257 3 15 "));
	(void)base64_encode(str_of(key, sizeof(key)), &line);
	(void)buf_put_c(&line, '\n');
	snprintf(t->trust_anchor, sizeof(t->trust_anchor), "/tmp/posthorn-anchor-XXXXXX");
	fd = mkstemp(t->trust_anchor);
	CHECK(fd >= 0 && write(fd, line.p, line.n) == (ssize_t)line.n);
	close(fd);
	buf_fini(&line);
}

void
dns_testserver_start(struct dns_testserver *t, bool is_signed)
{
	struct server s = {0};
	uint16_t port = sockets_bind(&s);

	CHECK(port != 0);
	*t = (struct dns_testserver){0};
	snprintf(t->forward, sizeof(t->forward), "127.0.0.1@%u", port);
	if (is_signed)
		key_make(&s, t);
	t->pid = fork();
	CHECK(t->pid >= 0);
	if (t->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve_all(&s);
	}
	close(s.udp);
	close(s.tcp);
	EVP_PKEY_free(s.key);
}

void
dns_testserver_stop(struct dns_testserver *t)
{
	(void)kill(t->pid, SIGKILL);
	(void)waitpid(t->pid, NULL, 0);
	if (t->trust_anchor[0] != '\0')
		(void)unlink(t->trust_anchor);
}
