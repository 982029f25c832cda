#include "roles/certificates.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "roles/master_key.h"
#include "roles/settings.h"

/* Says no instead of asking at the terminal. */
static int
no_password(char *buf, int n, int is_writing, void *arg)
{
	(void)buf;
	(void)n;
	(void)is_writing;
	(void)arg;
	return -1;
}

static FILE *
file_open(struct str path, struct buf *why)
{
	char name[4096];
	FILE *f;

	if (path.n >= sizeof(name)) {
		(void)buf_putf(why, "%.*s: the path is too long\n", STR_ARG(path));
		return NULL;
	}
	memcpy(name, path.p, path.n);
	name[path.n] = '\0';
	f = fopen(name, "re");
	if (f == NULL)
		(void)buf_putf(why, "%s: cannot be read: %s\n", name, strerror(errno));
	return f;
}

/* The first certificate of the file: the server's own. */
static X509 *
chain_read(struct str path, struct buf *why)
{
	FILE *f = file_open(path, why);
	X509 *cert;

	if (f == NULL)
		return NULL;
	cert = PEM_read_X509(f, NULL, no_password, NULL);
	fclose(f);
	if (cert == NULL)
		(void)buf_putf(why, "%.*s: holds no certificate in PEM form\n", STR_ARG(path));
	return cert;
}

static EVP_PKEY *
key_read(struct str path, struct buf *why)
{
	FILE *f = file_open(path, why);
	EVP_PKEY *key;

	if (f == NULL)
		return NULL;
	key = PEM_read_PrivateKey(f, NULL, no_password, NULL);
	fclose(f);
	if (key == NULL)
		(void)buf_putf(why, "%.*s: holds no private key in PEM form without a password\n", STR_ARG(path));
	return key;
}

static bool
certificate_check(const struct config_certificate *c, struct buf *why)
{
	X509 *cert = chain_read(c->chain_path, why);
	EVP_PKEY *key = key_read(c->key_path, why);
	bool ok = cert != NULL && key != NULL;

	if (ok && X509_check_private_key(cert, key) != 1) {
		(void)buf_putf(why, "%.*s: is not the key of %.*s\n", STR_ARG(c->key_path), STR_ARG(c->chain_path));
		ok = false;
	}
	X509_free(cert);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return ok;
}

/* How many certificates the file holds; 0 with a line in why: not one, or what is not one. */
static size_t
ca_count(FILE *f, struct str path, struct buf *why)
{
	X509 *cert;
	size_t n = 0;
	bool is_ca = true;

	ERR_clear_error();
	while (is_ca && (cert = PEM_read_X509(f, NULL, no_password, NULL)) != NULL) {
		/* RFC 5280 4.2.1.9 */
		is_ca = X509_check_ca(cert) != 0;
		X509_free(cert);
		n++;
	}
	if (!is_ca)
		(void)buf_putf(why, "%.*s: certificate %zu is not a CA's, it can sign no client's\n", STR_ARG(path), n);
	else if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		(void)buf_putf(why, "%.*s: what follows certificate %zu is damaged\n", STR_ARG(path), n);
	else if (n == 0)
		(void)buf_putf(why, "%.*s: holds no certificate in PEM form\n", STR_ARG(path));
	else
		return n;
	return 0;
}

static bool
client_ca_check(struct str path, struct buf *why)
{
	FILE *f = file_open(path, why);
	bool ok;

	if (f == NULL)
		return false;
	ok = ca_count(f, path, why) > 0;
	if (ok && ftell(f) > (long)SETTINGS_CLIENT_CA_BYTES_MAX) {
		(void)buf_putf(why, "%.*s: longer than %zu bytes\n", STR_ARG(path), SETTINGS_CLIENT_CA_BYTES_MAX);
		ok = false;
	}
	fclose(f);
	ERR_clear_error();
	return ok;
}

bool
certificates_check(const struct config *f, struct buf *why)
{
	bool ok = true;

	for (size_t i = 0; i < f->certificate_count; i++)
		ok &= certificate_check(&f->certificates[i], why);
	if (f->submission.client_ca_path.n > 0)
		ok &= client_ca_check(f->submission.client_ca_path, why);
	ok &= master_key_check(f->master_key_path, why) == ST_OK;
	return ok;
}

_Noreturn static void
apart_run(const struct config *f, int fd)
{
	struct buf why;
	struct str rest;
	bool ok;

	buf_init(&why, CONFIG_ERROR_BYTES_MAX);
	ok = certificates_check(f, &why);
	for (rest = buf_str(&why); rest.n > 0;) {
		ssize_t n = write(fd, rest.p, rest.n);
		if (n <= 0)
			break;
		rest = str_from(rest, (size_t)n);
	}
	_exit(ok ? 0 : 1);
}

bool
certificates_check_apart(const struct config *f, struct buf *why)
{
	int fds[2], wait_status = -1;
	char *room;
	ssize_t n;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) != 0 || (pid = fork()) < 0) {
		(void)buf_putf(why, "the certificates cannot be checked: %s\n", strerror(errno));
		return false;
	}
	if (pid == 0)
		apart_run(f, fds[1]);
	close(fds[1]);
	while ((room = buf_reserve(why, 4096)) != NULL && (n = read(fds[0], room, 4096)) > 0)
		buf_commit(why, (size_t)n);
	close(fds[0]);
	return waitpid(pid, &wait_status, 0) == pid && WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
}
