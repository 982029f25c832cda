/* Keys that sign mail, made by the command itself while no server runs: the same as role `keys` does, with the same master key. */
#include <fcntl.h>
#include <openssl/crypto.h>
#include <unistd.h>

#include "cli/cmd.h"
#include "directory/limits.h"
#include "directory/sealed.h"
#include "roles/master_key.h"
#include "standards/dkim/dkim_key.h"

_Static_assert(MASTER_KEY_BYTES == SEALED_KEY_BYTES, "one key");

void
direct_keys_open(struct cmd *c, struct direct *d)
{
	struct buf why;
	int fd = -1;

	buf_init(&why, 4096);
	/* Without it everything but a new domain works, and that one says what is missing. */
	if (master_key_open(c->config->master_key_path, &fd, &why) == ST_OK)
		d->has_master = read(fd, d->master, sizeof(d->master)) == (ssize_t)sizeof(d->master);
	if (fd >= 0)
		close(fd);
	buf_fini(&why);
}

static void
direct_key_make(void *arg, uint64_t ask, uint8_t algorithm, struct str context)
{
	struct direct *d = arg;
	struct buf private, public, sealed;
	bool ok;

	buf_init(&private, DIRECTORY_DKIM_SEALED_BYTES_MAX);
	buf_init(&public, DIRECTORY_DKIM_PUBLIC_BYTES_MAX);
	buf_init(&sealed, DIRECTORY_DKIM_SEALED_BYTES_MAX);
	ok = d->has_master && dkim_key_make((enum dkim_algorithm)algorithm, &private, &public) == ST_OK &&
	    sealed_seal(d->master, context, buf_str(&private), &sealed) == ST_OK;
	admin_key_made(d->admin, ask, ok, buf_str(&sealed), buf_str(&public));
	if (private.p != NULL)
		OPENSSL_cleanse(private.p, private.cap);
	buf_fini(&private);
	buf_fini(&public);
	buf_fini(&sealed);
}

static const struct admin_keys_ops ops = {.make = direct_key_make};

void
direct_keys_use(struct direct *d)
{
	admin_set_keys(d->admin, &ops, d);
}

void
direct_keys_close(struct direct *d)
{
	OPENSSL_cleanse(d->master, sizeof(d->master));
}
