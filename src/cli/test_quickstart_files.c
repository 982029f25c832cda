#include "cli/quickstart_files.h"

#include <dirent.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "base/unit.h"
#include "config/config.h"
#include "roles/master_key.h"

#define PATH_BYTES 512

static char base[] = "/tmp/posthorn-test-quickstart-XXXXXX";

/* One of four buffers in turn: good for one expression. */
static const char *
path_of(const char *dir, const char *name)
{
	static char path[4][PATH_BYTES];
	static unsigned next;
	char *p = path[next++ % COUNT_OF(path)];

	(void)snprintf(p, PATH_BYTES, "%s/%s", dir, name);
	return p;
}

static struct quickstart_files
files_in(const char *dir)
{
	return (struct quickstart_files){.dir = str_of_c(dir),
	    .hostname = STR("mail.example.org"),
	    .mail_domain = STR("example.org"),
	    .listen = STR("127.0.0.1"),
	    .port_offset = 10000};
}

static unsigned
mode_of(const char *path)
{
	struct stat info;

	return stat(path, &info) == 0 ? (unsigned)(info.st_mode & 07777) : 0;
}

static size_t
entries_of(const char *path)
{
	DIR *d = opendir(path);
	size_t n = 0;

	while (d != NULL && readdir(d) != NULL)
		n++;
	if (d != NULL)
		closedir(d);
	return n < 2 ? 0 : n - 2;
}

static void
check_certificate(const char *chain, const char *key_path, int type)
{
	FILE *c = fopen(chain, "r"), *k = fopen(key_path, "r");
	X509 *cert = c == NULL ? NULL : PEM_read_X509(c, NULL, NULL, NULL);
	EVP_PKEY *key = k == NULL ? NULL : PEM_read_PrivateKey(k, NULL, NULL, NULL);
	int days = 0, seconds = 0;

	EXPECT(cert != NULL && key != NULL);
	if (cert != NULL && key != NULL) {
		EXPECT(EVP_PKEY_get_base_id(key) == type);
		EXPECT(X509_check_private_key(cert, key) == 1);
		EXPECT(X509_verify(cert, key) == 1);
		EXPECT(X509_check_host(cert, "mail.example.org", 0, 0, NULL) == 1);
		EXPECT(X509_check_host(cert, "example.org", 0, 0, NULL) == 1);
		EXPECT(X509_check_host(cert, "www.example.org", 0, 0, NULL) == 0);
		EXPECT(ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(cert),
			   X509_get0_notAfter(cert)) == 1);
		EXPECT(days == QUICKSTART_CERTIFICATE_DAYS - 1 && seconds == 86399);
		EXPECT(X509_cmp_current_time(X509_get0_notBefore(cert)) < 0);
	}
	X509_free(cert);
	EVP_PKEY_free(key);
	if (c != NULL)
		fclose(c);
	if (k != NULL)
		fclose(k);
}

static void
a_server_is_made(void)
{
	char dir[PATH_BYTES];
	struct quickstart_files q;
	struct config *c;
	struct stat info;
	struct buf why;
	bool made;

	(void)snprintf(dir, sizeof(dir), "%s/one", base);
	q = files_in(dir);
	buf_init(&why, 4096);
	EXPECT(quickstart_files_make(&q, &made, &why) == ST_OK && made);
	EXPECT_STR(buf_str(&why), STR(""));
	EXPECT(mode_of(dir) == 0700 && mode_of(path_of(dir, "keys")) == 0700);
	EXPECT(mode_of(path_of(dir, "store")) == 0700);
	EXPECT(mode_of(path_of(dir, "posthorn.conf")) == 0600);
	EXPECT(mode_of(path_of(dir, "keys/rsa.key")) == 0600);
	EXPECT(mode_of(path_of(dir, "keys/master.key")) == 0600);
	EXPECT(entries_of(dir) == 3 && entries_of(path_of(dir, "keys")) == 5);
	check_certificate(
	    path_of(dir, "keys/ecdsa.pem"), path_of(dir, "keys/ecdsa.key"), EVP_PKEY_EC);
	check_certificate(path_of(dir, "keys/rsa.pem"), path_of(dir, "keys/rsa.key"), EVP_PKEY_RSA);

	EXPECT(config_load(path_of(dir, "posthorn.conf"), &c, &why) == ST_OK);
	if (c != NULL) {
		EXPECT_STR(c->certificates[0].key_path, str_of_c(path_of(dir, "keys/ecdsa.key")));
		EXPECT_STR(c->data, str_of_c(path_of(dir, "store")));
		EXPECT_STR(c->master_key_path, str_of_c(path_of(dir, "keys/master.key")));
		EXPECT(master_key_check(c->master_key_path, &why) == ST_OK);
		EXPECT(stat(path_of(dir, "keys/master.key"), &info) == 0 &&
		       info.st_size == MASTER_KEY_BYTES);
		EXPECT(c->listeners[0].port == 10025);
	}
	config_free(&c);

	/* Again is fine and changes nothing; other values are another server. */
	EXPECT(quickstart_files_make(&q, &made, &why) == ST_OK && !made);
	q.port_offset = 0;
	EXPECT(quickstart_files_make(&q, &made, &why) == ST_EXISTS && !made);
	EXPECT(str_has_prefix(buf_str(&why), STR("there is already another server in ")));
	EXPECT(entries_of(dir) == 3);

	quickstart_files_remove(&q);
	EXPECT(mode_of(dir) == 0);
	buf_fini(&why);
}

static void
long_names_fit(void)
{
	struct quickstart_files q = files_in(path_of(base, "long"));
	struct buf why;
	bool made;

	q.hostname = STR(
	    "a123456789012345678901234567890123456789.b123456789012345678901234567890.example.org");
	buf_init(&why, 4096);
	EXPECT(quickstart_files_make(&q, &made, &why) == ST_OK && made);
	quickstart_files_remove(&q);
	EXPECT(mode_of(path_of(base, "long")) == 0);
	buf_fini(&why);
}

/* Each obstacle makes another step fail; what was there before is all that is there afterwards. */
static void
failures_leave_nothing(void)
{
	static const struct {
		const char *obstacle;
		bool is_folder;
		enum status st;
		const char *says;
	} table[] = {
	    {"keys", false, ST_IO, "cannot open "},
	    {"keys/ecdsa.key", false, ST_EXISTS, "there is already a file "},
	    {"keys/rsa.pem", false, ST_EXISTS, "there is already a file "},
	    {"keys/master.key", false, ST_EXISTS, "there is already a file "},
	    {"keys/.posthorn.new", true, ST_IO, "cannot write "},
	    {".posthorn.new", true, ST_IO, "cannot write "},
	    {"posthorn.conf", true, ST_EXISTS, "there is already another server in "},
	};
	char dir[PATH_BYTES], keys[PATH_BYTES + 8];

	(void)snprintf(dir, sizeof(dir), "%s/two", base);
	(void)snprintf(keys, sizeof(keys), "%s/keys", dir);
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct quickstart_files q = files_in(dir);
		bool in_keys = str_has_prefix(str_of_c(table[i].obstacle), STR("keys/"));
		char obstacle[PATH_BYTES + 32];
		struct buf why;
		bool made;
		FILE *f;

		(void)snprintf(obstacle, sizeof(obstacle), "%s/%s", dir, table[i].obstacle);
		EXPECT(mkdir(dir, 0700) == 0);
		if (in_keys)
			EXPECT(mkdir(keys, 0700) == 0);
		if (table[i].is_folder) {
			EXPECT(mkdir(obstacle, 0700) == 0);
		} else {
			f = fopen(obstacle, "w");
			EXPECT(f != NULL);
			if (f != NULL)
				fclose(f);
		}
		buf_init(&why, 4096);
		EXPECT(quickstart_files_make(&q, &made, &why) == table[i].st && !made);
		EXPECT(str_has_prefix(buf_str(&why), str_of_c(table[i].says)));
		EXPECT(entries_of(dir) == 1);
		EXPECT(!in_keys || entries_of(keys) == 1);
		EXPECT((table[i].is_folder ? rmdir(obstacle) : unlink(obstacle)) == 0);
		EXPECT(!in_keys || rmdir(keys) == 0);
		EXPECT(rmdir(dir) == 0);
		buf_fini(&why);
	}
}

static void
wrong_values_touch_nothing(void)
{
	struct quickstart_files good = files_in(path_of(base, "three"));
	struct quickstart_files bad[6];
	struct buf why;
	bool made;

	for (size_t i = 0; i < COUNT_OF(bad); i++)
		bad[i] = good;
	bad[0].hostname = STR("a_b");
	bad[1].mail_domain = STR("");
	bad[2].listen = STR("localhost");
	bad[3].resolver = STR("::1");
	bad[4].port_offset = CONFIG_PORT_OFFSET_MAX + 1;
	bad[5].dir = STR("");
	buf_init(&why, 4096);
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		EXPECT(quickstart_files_make(&bad[i], &made, &why) == ST_SYNTAX && !made);
		EXPECT(mode_of(path_of(base, "three")) == 0);
	}
	buf_reset(&why);
	good.dir = str_of_c(path_of(base, "none/three"));
	EXPECT(quickstart_files_make(&good, &made, &why) == ST_IO);
	EXPECT(str_find(buf_str(&why), STR("No such file or directory\nMake the folder above it")) <
	       why.n);
	buf_fini(&why);
}

int
main(void)
{
	if (mkdtemp(base) == NULL)
		return 1;
	UNIT(a_server_is_made);
	UNIT(long_names_fit);
	UNIT(failures_leave_nothing);
	UNIT(wrong_values_touch_nothing);
	rmdir(base);
	return unit_end();
}
