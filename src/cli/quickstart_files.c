#include "cli/quickstart_files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/num.h"
#include "base/rnd.h"
#include "config/config.h"
#include "roles/master_key.h"

/* X.520: a common name has at most 64 characters; longer names stand in the SAN only. */
#define COMMON_NAME_BYTES_MAX 64
#define RSA_BITS 2048

#define KEYS_FOLDER "keys"
/* Where keys.master points unless it is changed. */
#define MASTER_NAME "master.key"
#define STORE_FOLDER "store"
#define TEMPORARY ".posthorn.new"

enum key_kind { KEY_ECDSA, KEY_RSA, KEY_KINDS };

static const struct {
	const char *key;
	const char *chain;
} key_names[KEY_KINDS] = {
    [KEY_ECDSA] = {"ecdsa.key", "ecdsa.pem"},
    [KEY_RSA] = {"rsa.key", "rsa.pem"},
};

/* The work in progress, and what must be undone if it fails. */
struct make {
	const struct quickstart_files *q;
	struct buf *why;
	char dir[PATH_MAX];
	int dir_fd;
	int keys_fd;
	bool made_dir, made_keys, made_store, made_config;
	bool made_key[KEY_KINDS], made_chain[KEY_KINDS], made_master;
};

static enum status
fail(struct make *m, enum status st, const char *what, const char *name, const char *mend)
{
	int e = errno;

	buf_putf(m->why, "%s %s%s%s", what, m->dir, name[0] == 0 ? "" : "/", name);
	if (st == ST_IO)
		buf_putf(m->why, ": %s", strerror(e));
	buf_putf(m->why, "\n%s\n", mend);
	return st;
}

/* Sets *made when the folder is new; one that is there is fine. */
static enum status
folder_make(struct make *m, const char *name, bool *made)
{
	if (mkdirat(m->dir_fd, name, 0700) == 0) {
		*made = true;
		return ST_OK;
	}
	if (errno == EEXIST)
		return ST_OK;
	return fail(m, ST_IO, "cannot make the folder", name,
	    "Mend its permissions or name another --dir.");
}

static enum status
fd_write(int fd, struct str s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ST_IO;
		s = str_from(s, (size_t)n);
	}
	return fsync(fd) == 0 ? ST_OK : ST_IO;
}

/* The whole file or none, under its name in the folder fd. errno says why not. */
static enum status
file_write(int folder_fd, const char *name, struct str content)
{
	enum status st;
	int fd, e;

	/* Left by a call that was killed. */
	(void)unlinkat(folder_fd, TEMPORARY, 0);
	fd = openat(
	    folder_fd, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return ST_IO;
	st = fd_write(fd, content);
	if (close(fd) != 0)
		st = ST_IO;
	if (st == ST_OK && renameat(folder_fd, TEMPORARY, folder_fd, name) != 0)
		st = ST_IO;
	e = errno;
	if (st != ST_OK)
		(void)unlinkat(folder_fd, TEMPORARY, 0);
	errno = e;
	return st;
}

static EVP_PKEY *
key_generate(enum key_kind kind)
{
	switch (kind) {
	case KEY_ECDSA:
		return EVP_EC_gen("P-256");
	case KEY_RSA:
		return EVP_RSA_gen(RSA_BITS);
	case KEY_KINDS:
		break;
	}
	return NULL;
}

static bool
san_add(GENERAL_NAMES *names, struct str host)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();

	if (name == NULL || text == NULL || !ASN1_STRING_set(text, host.p, (int)host.n)) {
		GENERAL_NAME_free(name);
		ASN1_IA5STRING_free(text);
		return false;
	}
	GENERAL_NAME_set0_value(name, GEN_DNS, text);
	if (sk_GENERAL_NAME_push(names, name) > 0)
		return true;
	GENERAL_NAME_free(name);
	return false;
}

static bool
certificate_names(X509 *cert, const struct quickstart_files *q)
{
	X509_NAME *subject = X509_get_subject_name(cert);
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	struct str common = str_take(q->hostname, COMMON_NAME_BYTES_MAX);
	bool ok = names != NULL && san_add(names, q->hostname);

	if (ok && !str_eq_ci(q->hostname, q->mail_domain))
		ok = san_add(names, q->mail_domain);
	ok = ok &&
	     X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
		 (const unsigned char *)common.p, (int)common.n, -1, 0) &&
	     X509_set_issuer_name(cert, subject) &&
	     X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;
	GENERAL_NAMES_free(names);
	return ok;
}

static bool
certificate_extension(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	bool ok = ext != NULL && X509_add_ext(cert, ext, -1);

	X509_EXTENSION_free(ext);
	return ok;
}

/* RFC 5280 4.1.2.2: positive, unique, at most 20 octets. */
static bool
certificate_serial(X509 *cert)
{
	BIGNUM *n = BN_new();
	bool ok = n != NULL && BN_rand(n, 159, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) &&
		  BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert)) != NULL;

	BN_free(n);
	return ok;
}

static X509 *
certificate_make(const struct quickstart_files *q, EVP_PKEY *key, enum key_kind kind)
{
	X509 *cert = X509_new();
	/* An hour back, for clients whose clock is behind. Both ends count as valid: a second less.
	 */
	bool ok = cert != NULL && X509_set_version(cert, X509_VERSION_3) &&
		  certificate_serial(cert) &&
		  X509_time_adj_ex(X509_getm_notBefore(cert), 0, -3600, NULL) != NULL &&
		  X509_time_adj_ex(
		      X509_getm_notAfter(cert), QUICKSTART_CERTIFICATE_DAYS, -3601, NULL) != NULL &&
		  X509_set_pubkey(cert, key) && certificate_names(cert, q) &&
		  certificate_extension(cert, NID_basic_constraints, "critical,CA:FALSE") &&
		  certificate_extension(cert, NID_key_usage,
		      kind == KEY_RSA ? "critical,digitalSignature,keyEncipherment"
				      : "critical,digitalSignature") &&
		  certificate_extension(cert, NID_ext_key_usage, "serverAuth") &&
		  X509_sign(cert, key, EVP_sha256()) > 0;

	if (ok)
		return cert;
	X509_free(cert);
	return NULL;
}

static struct str
bio_str(BIO *b)
{
	char *p;
	long n = BIO_get_mem_data(b, &p);

	return n > 0 ? str_of(p, (size_t)n) : STR_NULL;
}

static enum status
key_file_write(struct make *m, const char *name, struct str content, bool *made)
{
	char shown[64];

	(void)snprintf(shown, sizeof(shown), KEYS_FOLDER "/%s", name);
	if (faccessat(m->keys_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return fail(m, ST_EXISTS, "there is already a file", shown,
		    "It belongs to no configuration: move it away, or name another --dir.");
	if (file_write(m->keys_fd, name, content) != ST_OK)
		return fail(m, ST_IO, "cannot write", shown,
		    "Make room or mend the permissions, and run this again.");
	*made = true;
	return ST_OK;
}

static enum status
key_make(struct make *m, enum key_kind kind)
{
	EVP_PKEY *key = key_generate(kind);
	X509 *cert = key == NULL ? NULL : certificate_make(m->q, key, kind);
	/* The private key's text is wiped when the BIO goes. */
	BIO *key_text = BIO_new(BIO_s_secmem()), *chain_text = BIO_new(BIO_s_mem());
	enum status st;

	if (cert == NULL || key_text == NULL || chain_text == NULL ||
	    !PEM_write_bio_PKCS8PrivateKey(key_text, key, NULL, NULL, 0, NULL, NULL) ||
	    !PEM_write_bio_X509(chain_text, cert)) {
		errno = ENOMEM;
		st = fail(m, ST_IO, "cannot make a key for", "",
		    "The cryptographic library refused; is it installed whole?");
	} else {
		st = key_file_write(m, key_names[kind].key, bio_str(key_text), &m->made_key[kind]);
		if (st == ST_OK)
			st = key_file_write(
			    m, key_names[kind].chain, bio_str(chain_text), &m->made_chain[kind]);
	}
	BIO_free(key_text);
	BIO_free(chain_text);
	X509_free(cert);
	EVP_PKEY_free(key);
	return st;
}

static enum status
master_make(struct make *m)
{
	char key[MASTER_KEY_BYTES];
	enum status st;

	rnd_bytes(key, sizeof(key));
	st = key_file_write(m, MASTER_NAME, str_of(key, sizeof(key)), &m->made_master);
	explicit_bzero(key, sizeof(key));
	return st;
}

static enum status
config_text_make(const struct quickstart_files *q, struct buf *out)
{
	static const struct str chains[] = {
	    STR_INIT(KEYS_FOLDER "/ecdsa.pem"), STR_INIT(KEYS_FOLDER "/rsa.pem")};
	static const struct str keys[] = {
	    STR_INIT(KEYS_FOLDER "/ecdsa.key"), STR_INIT(KEYS_FOLDER "/rsa.key")};
	struct config_quickstart c = {.hostname = q->hostname,
	    .listen = q->listen,
	    .port_offset = q->port_offset,
	    .resolver = q->resolver,
	    .chains = chains,
	    .keys = keys,
	    .key_count = KEY_KINDS};

	return config_default_write(out, &c);
}

/* ST_NOTFOUND: there is none. ST_OK: it is the same. ST_EXISTS: another one. */
static enum status
config_compare(struct make *m, struct str wanted)
{
	int fd = openat(m->dir_fd, QUICKSTART_CONFIG_NAME, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char chunk[4096];
	bool same = true;
	ssize_t n;

	if (fd < 0 && errno == ENOENT)
		return ST_NOTFOUND;
	while (fd >= 0 && same && (n = read(fd, chunk, sizeof(chunk))) > 0) {
		same = str_has_prefix(wanted, str_of(chunk, (size_t)n));
		wanted = str_from(wanted, (size_t)n);
	}
	if (fd >= 0)
		close(fd);
	if (fd >= 0 && same && wanted.n == 0)
		return ST_OK;
	return fail(m, ST_EXISTS, "there is already another server in", "",
	    "Use it with `posthorn serve`, change its " QUICKSTART_CONFIG_NAME
	    ", or name another --dir.");
}

static enum status
values_check(struct make *m)
{
	const struct quickstart_files *q = m->q;
	struct config_endpoint endpoint;
	struct config_ip ip;
	const char *what = NULL;

	if (!config_hostname_is_valid(q->hostname))
		what = "the host name";
	else if (!config_hostname_is_valid(q->mail_domain))
		what = "the domain of the address";
	else if (q->listen.n > 0 && config_ip_parse(q->listen, &ip) != ST_OK)
		what = "the address to listen on";
	else if (q->resolver.n > 0 && config_endpoint_parse(q->resolver, &endpoint) != ST_OK)
		what = "the resolver";
	else if (q->port_offset > CONFIG_PORT_OFFSET_MAX)
		what = "the port offset";
	else if (q->dir.n == 0 || q->dir.n >= sizeof(m->dir) ||
		 memchr(q->dir.p, 0, q->dir.n) != NULL)
		what = "the folder";
	if (what == NULL)
		return ST_OK;
	buf_putf(m->why, "%s is not valid\n`posthorn quickstart --help` shows what is expected.\n",
	    what);
	return ST_SYNTAX;
}

static enum status
dir_open(struct make *m)
{
	m->made_dir = mkdir(m->dir, 0700) == 0;
	if (!m->made_dir && errno != EEXIST)
		return fail(m, ST_IO, "cannot make the folder", "",
		    "Make the folder above it, or name another --dir.");
	m->dir_fd = open(m->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->dir_fd < 0)
		return fail(m, ST_IO, "cannot open", "", "Name a folder of your own with --dir.");
	return ST_OK;
}

static enum status
keys_make(struct make *m)
{
	enum status st = folder_make(m, KEYS_FOLDER, &m->made_keys);

	if (st != ST_OK)
		return st;
	m->keys_fd =
	    openat(m->dir_fd, KEYS_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (m->keys_fd < 0)
		return fail(
		    m, ST_IO, "cannot open", KEYS_FOLDER, "Move it away, or name another --dir.");
	for (int kind = 0; st == ST_OK && kind < KEY_KINDS; kind++)
		st = key_make(m, (enum key_kind)kind);
	if (st == ST_OK)
		st = master_make(m);
	if (st == ST_OK && fsync(m->keys_fd) != 0)
		st = fail(m, ST_IO, "cannot sync", KEYS_FOLDER, "Look at the disk.");
	return st;
}

/* Everything but the folder itself; the configuration last. */
static enum status
all_make(struct make *m, struct str config)
{
	enum status st = keys_make(m);

	if (st == ST_OK)
		st = folder_make(m, STORE_FOLDER, &m->made_store);
	if (st != ST_OK)
		return st;
	if (file_write(m->dir_fd, QUICKSTART_CONFIG_NAME, config) != ST_OK)
		return fail(m, ST_IO, "cannot write", QUICKSTART_CONFIG_NAME,
		    "Make room or mend the permissions, and run this again.");
	m->made_config = true;
	if (fsync(m->dir_fd) != 0)
		return fail(m, ST_IO, "cannot sync", "", "Look at the disk.");
	return ST_OK;
}

/* In the reverse order. A folder into which somebody else has put something stays. */
static void
undo(struct make *m)
{
	if (m->made_config)
		(void)unlinkat(m->dir_fd, QUICKSTART_CONFIG_NAME, 0);
	for (int kind = 0; kind < KEY_KINDS; kind++) {
		if (m->made_chain[kind])
			(void)unlinkat(m->keys_fd, key_names[kind].chain, 0);
		if (m->made_key[kind])
			(void)unlinkat(m->keys_fd, key_names[kind].key, 0);
	}
	if (m->made_master)
		(void)unlinkat(m->keys_fd, MASTER_NAME, 0);
	if (m->made_store)
		(void)unlinkat(m->dir_fd, STORE_FOLDER, AT_REMOVEDIR);
	if (m->made_keys)
		(void)unlinkat(m->dir_fd, KEYS_FOLDER, AT_REMOVEDIR);
	if (m->made_dir)
		(void)rmdir(m->dir);
}

static void
make_fini(struct make *m)
{
	if (m->keys_fd >= 0)
		close(m->keys_fd);
	if (m->dir_fd >= 0)
		close(m->dir_fd);
}

enum status
quickstart_files_make(const struct quickstart_files *q, bool *made_out, struct buf *why)
{
	struct make m = {.q = q, .why = why, .dir_fd = -1, .keys_fd = -1};
	struct buf config;
	enum status st = values_check(&m);

	*made_out = false;
	if (st != ST_OK)
		return st;
	memcpy(m.dir, q->dir.p, q->dir.n);
	buf_init(&config, CONFIG_TEXT_BYTES_MAX);
	/* The table of settings is far below the limit. */
	CHECK(config_text_make(q, &config) == ST_OK);
	st = dir_open(&m);
	if (st == ST_OK)
		st = config_compare(&m, buf_str(&config));
	if (st == ST_NOTFOUND) {
		st = all_make(&m, buf_str(&config));
		*made_out = st == ST_OK;
	}
	if (st != ST_OK)
		undo(&m);
	make_fini(&m);
	buf_fini(&config);
	return st;
}

void
quickstart_files_remove(const struct quickstart_files *q)
{
	struct make m = {.q = q,
	    .dir_fd = -1,
	    .keys_fd = -1,
	    .made_dir = true,
	    .made_keys = true,
	    .made_store = true,
	    .made_config = true,
	    .made_key = {true, true},
	    .made_chain = {true, true},
	    .made_master = true};

	CHECK(q->dir.n > 0 && q->dir.n < sizeof(m.dir));
	memcpy(m.dir, q->dir.p, q->dir.n);
	m.dir_fd = open(m.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m.dir_fd < 0)
		return;
	m.keys_fd = openat(m.dir_fd, KEYS_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	undo(&m);
	make_fini(&m);
}
