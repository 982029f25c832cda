#include "store/embedded/embedded.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/num.h"
#include "base/rnd.h"
#include "base/unit.h"
#include "store/conformance.h"
#include "store/embedded/embedded_internal.h"
#include "sys/disk_sim.h"

/* ---- a store in a folder of its own ---- */

struct rig {
	char folder[64];
	struct disk *disk;
	struct clock clock;
	struct embedded_options o;
	bool threaded;
	bool is_simulated;
	struct index_sim_state sim;
	struct buf error;
};

static void
rig_options(struct rig *r)
{
	embedded_options_init(&r->o, r->disk, &r->clock);
	r->o.ring_segment_bytes = 16u << 20;
	r->o.ring_segments_first = 2;
	r->o.ring_segments_max = 8;
	r->o.group_bytes_max = 8u << 20;
	r->o.index_map_bytes = (uint64_t)1 << 30;
	r->o.free_floor_bytes = 0;
	r->o.free_floor_percent = 0;
	r->o.checkpoint_interval_ms = 20;
	r->o.archive_idle_ms = 60000;
	r->o.archive_age_ms = 3600000;
	r->o.threaded = r->threaded;
	r->o.simulated_index = r->is_simulated ? &r->sim : NULL;
}

static void
rig_init(struct rig *r, bool threaded)
{
	*r = (struct rig){.threaded = threaded};
	(void)snprintf(r->folder, sizeof(r->folder), "/tmp/posthorn-store-XXXXXX");
	if (!mkdtemp(r->folder) || disk_posix_new(r->folder, &r->disk) != ST_OK)
		abort();
	buf_init(&r->error, 4096);
	clock_init_system(&r->clock);
	rig_options(r);
}

static void
rig_init_simulated(struct rig *r)
{
	*r = (struct rig){.threaded = false, .is_simulated = true};
	r->disk = disk_sim_new();
	buf_init(&r->error, 4096);
	clock_init_fake(&r->clock, 1);
	rig_options(r);
	r->o.ring_segment_bytes = 1u << 20;
	r->o.group_bytes_max = 256u << 10;
	r->o.archive_segment_bytes = 64u << 10;
	r->o.manual_steps = true;
}

static void
remove_name(void *arg, const char *name)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s", (const char *)arg, name);
	if (unlink(path) == 0)
		return;
	(void)rmdir(path);
}

static void
remove_folder(const char *folder)
{
	static const char *const subs[] = {"ring", "archive", "big", "index"};
	struct disk *d;
	char path[256];

	for (size_t i = 0; i < COUNT_OF(subs); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", folder, subs[i]);
		if (access(path, F_OK) != 0 || disk_posix_new(path, &d) != ST_OK)
			continue;
		(void)d->ops->list(d, "", remove_name, path);
		disk_free(&d);
	}
	(void)snprintf(path, sizeof(path), "%s", folder);
	if (disk_posix_new(path, &d) != ST_OK)
		return;
	(void)d->ops->list(d, "", remove_name, path);
	disk_free(&d);
	(void)rmdir(folder);
}

static void
rig_fini(struct rig *r)
{
	disk_free(&r->disk);
	buf_fini(&r->error);
	if (r->is_simulated)
		index_sim_state_fini(&r->sim);
	else
		remove_folder(r->folder);
}

static struct store *
rig_open(struct rig *r)
{
	struct store *s;
	enum status st;

	buf_reset(&r->error);
	st = embedded_open(&r->o, &s, &r->error);
	if (st != ST_OK)
		fprintf(stderr, "open: %s: %.*s\n", status_word(st), STR_ARG(buf_str(&r->error)));
	return s;
}

/* ---- the suite that every backend runs ---- */

static enum status
suite_open(void *arg, struct store **out)
{
	struct rig *r = arg;

	rig_init(r, r->threaded);
	*out = rig_open(r);
	return *out ? ST_OK : ST_IO;
}

static enum status
suite_reopen(void *arg, struct store **s)
{
	struct rig *r = arg;

	store_close(s);
	*s = rig_open(r);
	return *s ? ST_OK : ST_IO;
}

static void
suite_close(void *arg, struct store **s)
{
	store_close(s);
	rig_fini(arg);
}

static void
conforms_stepped(void)
{
	struct rig r = {.threaded = false};
	struct conformance_backend b = {"embedded, stepped", &r, suite_open, suite_reopen, suite_close, 300};

	EXPECT(conformance_run(&b) == 0);
}

static void
conforms_threaded(void)
{
	struct rig r = {.threaded = true};
	struct conformance_backend b = {"embedded, threaded", &r, suite_open, suite_reopen, suite_close, 300};

	EXPECT(conformance_run(&b) == 0);
}

int
main(void)
{
	(void)rig_init_simulated;UNIT(conforms_stepped);
	UNIT(conforms_threaded);
	return unit_end();
}
