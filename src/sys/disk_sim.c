#include "sys/disk_sim.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/num.h"

enum { SIM_PATH_MAX = 256 };

/* One unsynced change of a file: a write, or (p NULL) a new size. */
struct sim_change {
	uint64_t off;	/* the size when p is NULL */
	size_t n;
	char *p;
};

struct sim_image {
	char *p;
	uint64_t n;
	uint64_t cap;
};

struct sim_inode {
	unsigned refs;	/* names (live, durable, in unsynced name changes) and open files */
	bool is_dir;
	struct sim_image live, durable;
	struct sim_change *changes;
	size_t changes_n, changes_cap;
};

struct sim_name {
	char path[SIM_PATH_MAX];
	struct sim_inode *inode;
};

struct sim_names {
	struct sim_name *v;
	size_t n, cap;
};

/* An unsynced change of names: unlink (inode NULL), make (from empty) or move. */
struct sim_name_change {
	char from[SIM_PATH_MAX];
	char path[SIM_PATH_MAX];
	struct sim_inode *inode;
};

struct sim_fault {
	uint64_t nth;
	enum status st;
	size_t write_bytes;
};

struct sim_disk {
	struct disk base;
	struct sim_names live, durable;
	struct sim_name_change *changes;
	size_t changes_n, changes_cap;
	uint64_t life;	/* one more with each crash: files of an earlier life are dead */
	uint64_t bytes_max;
	struct sim_fault faults[DISK_SIM_OPS];
	uint64_t counts[DISK_SIM_OPS];
	uint64_t syncs;
	void (*on_sync)(void *arg, uint64_t nth);
	void *on_sync_arg;
};

struct sim_file {
	struct disk_file base;
	struct sim_inode *inode;
	uint64_t life;
	unsigned flags;
};

static struct sim_disk *
sim_of(struct disk *d)
{
	return (struct sim_disk *)d;
}

static struct sim_file *
file_of(struct disk_file *f)
{
	return (struct sim_file *)f;
}

/* Room for one more element in an array that doubles. */
static void *
grown(void *v, size_t n, size_t *cap, size_t element_bytes)
{
	if (n < *cap)
		return v;
	*cap = *cap ? *cap * 2 : 8;
	v = reallocarray(v, *cap, element_bytes);
	CHECK(v != NULL);
	return v;
}

/* ---- images ---- */

static void
image_resize(struct sim_image *m, uint64_t n)
{
	if (n > m->cap) {
		uint64_t cap = n > 2 * m->cap ? n : 2 * m->cap;
		m->p = realloc(m->p, cap);
		CHECK(m->p != NULL);
		m->cap = cap;
	}
	if (n > m->n)
		memset(m->p + m->n, 0, n - m->n);
	m->n = n;
}

static void
image_write(struct sim_image *m, const void *p, size_t n, uint64_t off)
{
	if (off + n > m->n)
		image_resize(m, off + n);
	if (n > 0)
		memcpy(m->p + off, p, n);
}

static void
image_copy(struct sim_image *to, const struct sim_image *from)
{
	to->n = 0;
	image_resize(to, from->n);
	if (from->n > 0)
		memcpy(to->p, from->p, from->n);
}

static void
changes_clear(struct sim_inode *i)
{
	for (size_t k = 0; k < i->changes_n; k++)
		free(i->changes[k].p);
	i->changes_n = 0;
}

static void
change_add(struct sim_inode *i, const void *p, size_t n, uint64_t off)
{
	struct sim_change *c;

	i->changes = grown(i->changes, i->changes_n, &i->changes_cap, sizeof(*i->changes));
	c = &i->changes[i->changes_n++];
	*c = (struct sim_change){.off = off, .n = n};
	if (p != NULL) {
		c->p = malloc(n ? n : 1);
		CHECK(c->p != NULL);
		memcpy(c->p, p, n);
	}
}

/* Applies a change to the durable image: whole, or with r only the sectors that r picks. */
static void
change_apply(struct sim_inode *i, const struct sim_change *c, struct prng *r)
{
	uint64_t at = c->off, end = c->off + c->n;

	if (c->p == NULL) {
		if (r == NULL || prng_below(r, 2))
			image_resize(&i->durable, c->off);
		return;
	}
	while (at < end) {
		uint64_t next = (at / DISK_SIM_SECTOR_BYTES + 1) * DISK_SIM_SECTOR_BYTES;
		if (next > end)
			next = end;
		if (r == NULL || prng_below(r, 2))
			image_write(&i->durable, c->p + (at - c->off), next - at, at);
		at = next;
	}
}

static void
inode_sync(struct sim_inode *i)
{
	for (size_t k = 0; k < i->changes_n; k++)
		change_apply(i, &i->changes[k], NULL);
	changes_clear(i);
}

static void
inode_crash(struct sim_inode *i, enum disk_sim_crash_mode mode, struct prng *r)
{
	for (size_t k = 0; mode == DISK_SIM_TEAR && k < i->changes_n; k++)
		change_apply(i, &i->changes[k], r);
	changes_clear(i);
	image_copy(&i->live, &i->durable);
}

static struct sim_inode *
inode_ref(struct sim_inode *i)
{
	if (i != NULL)
		i->refs++;
	return i;
}

static void
inode_unref(struct sim_inode *i)
{
	if (i == NULL || --i->refs > 0)
		return;
	changes_clear(i);
	free(i->changes);
	free(i->live.p);
	free(i->durable.p);
	free(i);
}

/* ---- names ---- */

static void
path_copy(char *to, const char *from)
{
	size_t n = strlen(from);

	CHECK(n < SIM_PATH_MAX);
	memcpy(to, from, n + 1);
}

static struct sim_name *
name_find(const struct sim_names *names, const char *path)
{
	for (size_t i = 0; i < names->n; i++)
		if (strcmp(names->v[i].path, path) == 0)
			return &names->v[i];
	return NULL;
}

static void
name_set(struct sim_names *names, const char *path, struct sim_inode *inode)
{
	struct sim_name *e = name_find(names, path);

	(void)inode_ref(inode);
	if (e == NULL) {
		names->v = grown(names->v, names->n, &names->cap, sizeof(*names->v));
		e = &names->v[names->n++];
		path_copy(e->path, path);
	} else {
		inode_unref(e->inode);
	}
	e->inode = inode;
}

static void
name_remove(struct sim_names *names, const char *path)
{
	struct sim_name *e = name_find(names, path);

	if (e == NULL)
		return;
	inode_unref(e->inode);
	*e = names->v[--names->n];
}

static void
names_clear(struct sim_names *names)
{
	while (names->n > 0)
		inode_unref(names->v[--names->n].inode);
}

static void
name_change_apply(struct sim_names *names, const struct sim_name_change *c)
{
	if (*c->from)
		name_remove(names, c->from);
	if (c->inode != NULL)
		name_set(names, c->path, c->inode);
	else
		name_remove(names, c->path);
}

static void
name_change_add(struct sim_disk *d, const char *from, const char *path, struct sim_inode *inode)
{
	struct sim_name_change *c;

	d->changes = grown(d->changes, d->changes_n, &d->changes_cap, sizeof(*d->changes));
	c = &d->changes[d->changes_n++];
	path_copy(c->from, from);
	path_copy(c->path, path);
	c->inode = inode_ref(inode);
	name_change_apply(&d->live, c);
}

/* The folder part of path equals folder. */
static bool
is_in(const char *path, const char *folder)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;

	return strlen(folder) == n && strncmp(path, folder, n) == 0;
}

static bool
is_folder(struct sim_disk *d, const char *path)
{
	struct sim_name *e = name_find(&d->live, path);

	return *path == '\0' || (e != NULL && e->inode->is_dir);
}

static bool
has_folder(struct sim_disk *d, const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[SIM_PATH_MAX];

	path_copy(folder, path);
	folder[slash ? slash - path : 0] = '\0';
	return is_folder(d, folder);
}

/* ---- operations ---- */

/* Counts the call, and says whether it is one that was to fail. */
static bool
is_fault(struct sim_disk *d, enum disk_sim_op op, enum status *st_out)
{
	struct sim_fault *f = &d->faults[op];

	d->counts[op]++;
	if (f->nth == 0 || --f->nth > 0)
		return false;
	*st_out = f->st;
	return true;
}

static uint64_t
bytes_used(const struct sim_disk *d)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < d->live.n; i++)
		sum += d->live.v[i].inode->live.n;
	return sum;
}

static void
sim_free(struct disk *base)
{
	struct sim_disk *d = sim_of(base);

	while (d->changes_n > 0)
		inode_unref(d->changes[--d->changes_n].inode);
	names_clear(&d->live);
	names_clear(&d->durable);
	free(d->changes);
	free(d->live.v);
	free(d->durable.v);
	free(d);
}

static struct sim_inode *
inode_new(bool is_dir)
{
	struct sim_inode *i = calloc(1, sizeof(*i));

	CHECK(i != NULL);
	i->is_dir = is_dir;
	return i;
}

static enum status
sim_open(struct disk *base, const char *path, unsigned flags, struct disk_file **out)
{
	struct sim_disk *d = sim_of(base);
	struct sim_name *e = name_find(&d->live, path);
	struct sim_file *f;
	enum status st;

	if (is_fault(d, DISK_SIM_OPEN, &st))
		return st;
	if (e != NULL && (flags & DISK_CREATE) && (flags & DISK_EXCLUSIVE))
		return ST_EXISTS;
	if (e == NULL && (!(flags & DISK_CREATE) || !has_folder(d, path)))
		return ST_NOTFOUND;
	if (e == NULL) {
		name_change_add(d, "", path, inode_new(false));
		e = name_find(&d->live, path);
	}
	CHECK(e != NULL);
	if (e->inode->is_dir)
		return ST_IO;
	f = malloc(sizeof(*f));
	CHECK(f != NULL);
	*f = (struct sim_file){
	    .base = {base}, .inode = inode_ref(e->inode), .life = d->life, .flags = flags};
	*out = &f->base;
	return ST_OK;
}

static void
sim_close(struct disk_file *base)
{
	inode_unref(file_of(base)->inode);
	free(base);
}

static bool
is_dead(const struct sim_file *f)
{
	return f->life != sim_of(f->base.disk)->life;
}

static void
check_aligned(const struct sim_file *f, const void *p, size_t n, uint64_t off)
{
	if (f->flags & DISK_DIRECT)
		CHECK((uintptr_t)p % DISK_ALIGN == 0 && n % DISK_ALIGN == 0 && off % DISK_ALIGN == 0);
}

static enum status
sim_pread(struct disk_file *base, void *p, size_t n, uint64_t off, size_t *got)
{
	struct sim_file *f = file_of(base);
	const struct sim_image *m = &f->inode->live;
	enum status st;

	*got = 0;
	check_aligned(f, p, n, off);
	if (is_fault(sim_of(base->disk), DISK_SIM_READ, &st))
		return st;
	if (is_dead(f))
		return ST_IO;
	if (off < m->n)
		*got = size_min(n, m->n - off);
	if (*got > 0)
		memcpy(p, m->p + off, *got);
	return ST_OK;
}

static void
write_part(struct sim_file *f, const void *p, size_t n, uint64_t off)
{
	image_write(&f->inode->live, p, n, off);
	change_add(f->inode, p, n, off);
}

static enum status
sim_pwrite(struct disk_file *base, const void *p, size_t n, uint64_t off)
{
	struct sim_file *f = file_of(base);
	struct sim_disk *d = sim_of(base->disk);
	uint64_t size = f->inode->live.n, room;
	enum status st;

	CHECK(f->flags & DISK_WRITE);
	check_aligned(f, p, n, off);
	if (is_dead(f))
		return ST_IO;
	if (is_fault(d, DISK_SIM_WRITE, &st)) {
		write_part(f, p, size_min(n, d->faults[DISK_SIM_WRITE].write_bytes), off);
		return st;
	}
	room = d->bytes_max - size_min(d->bytes_max, bytes_used(d));
	if (off + n > size && off + n - size > room) {
		if (size + room > off)
			write_part(f, p, size + room - off, off);
		return ST_LIMIT;
	}
	write_part(f, p, n, off);
	return ST_OK;
}

static void
tell_sync(struct sim_disk *d)
{
	d->syncs++;
	if (d->on_sync != NULL)
		d->on_sync(d->on_sync_arg, d->syncs);
}

static enum status
sim_sync(struct disk_file *base)
{
	struct sim_file *f = file_of(base);
	struct sim_disk *d = sim_of(base->disk);
	enum status st;

	if (is_dead(f))
		return ST_IO;
	if (is_fault(d, DISK_SIM_SYNC, &st))
		return st;
	tell_sync(d);
	if (is_dead(f))
		return ST_IO;
	inode_sync(f->inode);
	return ST_OK;
}

static enum status
sim_size(struct disk_file *base, uint64_t *out)
{
	if (is_dead(file_of(base)))
		return ST_IO;
	*out = file_of(base)->inode->live.n;
	return ST_OK;
}

static enum status
sim_truncate(struct disk_file *base, uint64_t size)
{
	struct sim_file *f = file_of(base);
	enum status st;

	if (is_dead(f))
		return ST_IO;
	if (is_fault(sim_of(base->disk), DISK_SIM_TRUNCATE, &st))
		return st;
	image_resize(&f->inode->live, size);
	change_add(f->inode, NULL, 0, size);
	return ST_OK;
}

static enum status
sim_unlink(struct disk *base, const char *path)
{
	struct sim_disk *d = sim_of(base);
	enum status st;

	if (is_fault(d, DISK_SIM_NAMES, &st))
		return st;
	if (name_find(&d->live, path) == NULL)
		return ST_NOTFOUND;
	name_change_add(d, "", path, NULL);
	return ST_OK;
}

static enum status
sim_rename(struct disk *base, const char *from, const char *to)
{
	struct sim_disk *d = sim_of(base);
	struct sim_name *e = name_find(&d->live, from);
	enum status st;

	if (is_fault(d, DISK_SIM_NAMES, &st))
		return st;
	if (e == NULL || !has_folder(d, to))
		return ST_NOTFOUND;
	CHECK(!e->inode->is_dir);
	name_change_add(d, from, to, e->inode);
	return ST_OK;
}

static enum status
sim_mkdir(struct disk *base, const char *path)
{
	struct sim_disk *d = sim_of(base);
	enum status st;

	if (is_fault(d, DISK_SIM_NAMES, &st))
		return st;
	if (is_folder(d, path))
		return ST_OK;
	if (name_find(&d->live, path) != NULL)
		return ST_EXISTS;
	if (!has_folder(d, path))
		return ST_NOTFOUND;
	name_change_add(d, "", path, inode_new(true));
	return ST_OK;
}

static enum status
sim_sync_dir(struct disk *base, const char *path)
{
	struct sim_disk *d = sim_of(base);
	uint64_t life = d->life;
	size_t kept = 0;
	enum status st;

	if (is_fault(d, DISK_SIM_NAMES, &st))
		return st;
	if (!is_folder(d, path))
		return ST_NOTFOUND;
	tell_sync(d);
	if (d->life != life)
		return ST_IO;
	for (size_t i = 0; i < d->changes_n; i++) {
		struct sim_name_change *c = &d->changes[i];
		if (!is_in(c->path, path) && !(*c->from && is_in(c->from, path))) {
			d->changes[kept++] = *c;
			continue;
		}
		name_change_apply(&d->durable, c);
		inode_unref(c->inode);
	}
	d->changes_n = kept;
	return ST_OK;
}

static int
path_cmp(const void *a, const void *b)
{
	return strcmp(a, b);
}

static enum status
sim_list(struct disk *base, const char *path, void (*fn)(void *arg, const char *name), void *arg)
{
	struct sim_disk *d = sim_of(base);
	char(*found)[SIM_PATH_MAX];
	size_t n = 0, skip = *path ? strlen(path) + 1 : 0;

	if (!is_folder(d, path))
		return ST_NOTFOUND;
	/* A copy: fn may make and remove names. */
	found = calloc(d->live.n + 1, sizeof(*found));
	CHECK(found != NULL);
	for (size_t i = 0; i < d->live.n; i++)
		if (is_in(d->live.v[i].path, path))
			path_copy(found[n++], d->live.v[i].path + skip);
	qsort(found, n, sizeof(*found), path_cmp);
	for (size_t i = 0; i < n; i++)
		fn(arg, found[i]);
	free(found);
	return ST_OK;
}

static enum status
sim_free_bytes(struct disk *base, uint64_t *free_out, uint64_t *total_out)
{
	struct sim_disk *d = sim_of(base);

	*total_out = d->bytes_max;
	*free_out = d->bytes_max - size_min(d->bytes_max, bytes_used(d));
	return ST_OK;
}

static const char *
sim_root(const struct disk *d)
{
	(void)d;
	return NULL;
}

static const struct disk_ops sim_ops = {
    .free = sim_free,
    .open = sim_open,
    .close = sim_close,
    .pread = sim_pread,
    .pwrite = sim_pwrite,
    .sync = sim_sync,
    .size = sim_size,
    .truncate = sim_truncate,
    .unlink = sim_unlink,
    .rename = sim_rename,
    .mkdir = sim_mkdir,
    .sync_dir = sim_sync_dir,
    .list = sim_list,
    .free_bytes = sim_free_bytes,
    .root = sim_root,
};

struct disk *
disk_sim_new(void)
{
	struct sim_disk *d = calloc(1, sizeof(*d));

	CHECK(d != NULL);
	d->base.ops = &sim_ops;
	d->bytes_max = UINT64_MAX / 4;
	return &d->base;
}

/* The unsynced names: none of them comes through, or the first few (file systems keep their order). */
static void
names_crash(struct sim_disk *d, enum disk_sim_crash_mode mode, struct prng *r)
{
	size_t keep = mode == DISK_SIM_TEAR ? prng_below(r, d->changes_n + 1) : 0;

	for (size_t i = 0; i < d->changes_n; i++) {
		if (i < keep)
			name_change_apply(&d->durable, &d->changes[i]);
		inode_unref(d->changes[i].inode);
	}
	d->changes_n = 0;
	names_clear(&d->live);
	for (size_t i = 0; i < d->durable.n; i++)
		name_set(&d->live, d->durable.v[i].path, d->durable.v[i].inode);
}

void
disk_sim_crash(struct disk *base, enum disk_sim_crash_mode mode, struct prng *r)
{
	struct sim_disk *d = sim_of(base);

	d->life++;
	if (mode == DISK_SIM_KEEP)
		return;
	names_crash(d, mode, r);
	for (size_t i = 0; i < d->live.n; i++)
		inode_crash(d->live.v[i].inode, mode, r);
}

void
disk_sim_fail(struct disk *d, enum disk_sim_op op, uint64_t nth, enum status st, size_t write_bytes)
{
	sim_of(d)->faults[op] = (struct sim_fault){nth, st, write_bytes};
}

void
disk_sim_set_bytes_max(struct disk *d, uint64_t bytes_max)
{
	sim_of(d)->bytes_max = bytes_max;
}

void
disk_sim_on_sync(struct disk *d, void (*fn)(void *arg, uint64_t nth), void *arg)
{
	sim_of(d)->on_sync = fn;
	sim_of(d)->on_sync_arg = arg;
}

uint64_t
disk_sim_count(const struct disk *d, enum disk_sim_op op)
{
	return ((const struct sim_disk *)d)->counts[op];
}
