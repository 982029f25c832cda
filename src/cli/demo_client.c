#include "cli/demo_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static bool
failed(const char *what, const char *why)
{
	fprintf(stderr, "posthorn: demo: %s: %s\n", what, why);
	return false;
}

bool
demo_client_open(struct demo_client *k, uint16_t port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval timeout = {.tv_sec = DEMO_TIMEOUT_S};
	int one = 1;

	*k = (struct demo_client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	buf_init(&k->line, 8192);
	if (k->fd < 0)
		return failed("cannot make a socket", strerror(errno));
	(void)setsockopt(k->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	(void)setsockopt(k->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	/* Else the final dot would wait for the message's ACK, 40 ms, and the demo would show that as our time. */
	(void)setsockopt(k->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(k->fd, (const struct sockaddr *)&sa, sizeof(sa)) != 0)
		return failed("cannot connect to the server", strerror(errno));
	return true;
}

bool
demo_client_tls(struct demo_client *k, const char *hostname, const char *pem_a, const char *pem_b)
{
	char why[256] = "no memory";

	k->ctx = SSL_CTX_new(TLS_client_method());
	if (k->ctx == NULL || SSL_CTX_load_verify_file(k->ctx, pem_a) != 1 || SSL_CTX_load_verify_file(k->ctx, pem_b) != 1)
		return failed("cannot read the server's certificates", pem_a);
	SSL_CTX_set_verify(k->ctx, SSL_VERIFY_PEER, NULL);
	/* The certificate itself is what we trust: it is nobody's authority. */
	(void)X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(k->ctx), X509_V_FLAG_PARTIAL_CHAIN);
	k->ssl = SSL_new(k->ctx);
	if (k->ssl == NULL || SSL_set1_host(k->ssl, hostname) != 1 ||
	    SSL_ctrl(k->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, (void *)(uintptr_t)hostname) != 1 ||
	    SSL_set_fd(k->ssl, k->fd) != 1)
		return failed("TLS", why);
	if (SSL_connect(k->ssl) != 1) {
		ERR_error_string_n(ERR_get_error(), why, sizeof(why));
		return failed("TLS with the server failed", why);
	}
	return true;
}

void
demo_client_close(struct demo_client *k)
{
	if (k->ssl != NULL)
		(void)SSL_shutdown(k->ssl);
	SSL_free(k->ssl);
	SSL_CTX_free(k->ctx);
	if (k->fd >= 0)
		close(k->fd);
	buf_fini(&k->line);
	*k = (struct demo_client){.fd = -1};
}

bool
demo_client_send(struct demo_client *k, struct str bytes)
{
	while (bytes.n > 0) {
		ssize_t n = k->ssl != NULL ? SSL_write(k->ssl, bytes.p, (int)bytes.n) : send(k->fd, bytes.p, bytes.n, MSG_NOSIGNAL);

		if (n <= 0)
			return failed("the server closed the connection", "while we were sending");
		bytes = str_from(bytes, (size_t)n);
	}
	return true;
}

bool
demo_client_say(struct demo_client *k, const char *line, const char *shown)
{
	struct buf out;
	bool ok;

	printf("    C: %s\n", shown != NULL ? shown : line);
	buf_init(&out, 2048);
	(void)buf_putf(&out, "%s\r\n", line);
	ok = !out.full && demo_client_send(k, buf_str(&out));
	if (out.p != NULL)
		explicit_bzero(out.p, out.cap);
	buf_fini(&out);
	return ok;
}

static bool
fill(struct demo_client *k)
{
	ssize_t n = k->ssl != NULL ? SSL_read(k->ssl, k->in, sizeof(k->in)) : recv(k->fd, k->in, sizeof(k->in), 0);

	k->in_at = 0;
	k->in_n = n > 0 ? (size_t)n : 0;
	return n > 0;
}

bool
demo_client_hear(struct demo_client *k)
{
	buf_reset(&k->line);
	for (;;) {
		if (k->in_at == k->in_n && !fill(k))
			return failed("the server did not answer", "the connection ended, or it took too long");
		char c = k->in[k->in_at++];
		if (c == '\n')
			break;
		(void)buf_put_c(&k->line, c);
	}
	if (k->line.n > 0 && k->line.p[k->line.n - 1] == '\r')
		k->line.n--;
	/* Our own server, our own message: nothing in it moves the cursor. */
	printf("    S: %.*s\n", STR_ARG(buf_str(&k->line)));
	return true;
}

bool
demo_client_expect_smtp(struct demo_client *k, const char *code)
{
	do {
		if (!demo_client_hear(k))
			return false;
	} while (k->line.n > 3 && k->line.p[3] == '-');
	if (str_has_prefix(buf_str(&k->line), str_of_c(code)))
		return true;
	return failed("the server's reply should begin with", code);
}

bool
demo_client_expect_pop3(struct demo_client *k)
{
	if (!demo_client_hear(k))
		return false;
	return str_has_prefix(buf_str(&k->line), STR("+OK")) || failed("the server's reply should begin with", "+OK");
}

bool
demo_client_hear_all(struct demo_client *k, struct buf *out)
{
	while (demo_client_hear(k)) {
		if (str_eq(buf_str(&k->line), STR(".")))
			return true;
		(void)buf_put(out, buf_str(&k->line));
		(void)buf_put_c(out, '\n');
	}
	return false;
}
