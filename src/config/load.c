/* Configuration files from the disk. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config_internal.h"

static enum status
fd_read(int fd, struct buf *out)
{
	struct stat info;

	/* A pipe or a device would make the reader wait, perhaps for ever. */
	if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
		return ST_IO;
	for (;;) {
		char *room = buf_reserve(out, 4096);
		ssize_t n;

		if (room == NULL)
			return ST_LIMIT;
		n = read(fd, room, 4096);
		if (n == 0)
			return ST_OK;
		if (n > 0)
			buf_commit(out, (size_t)n);
		else if (errno != EINTR)
			return ST_IO;
	}
}

static enum status
file_read(void *arg, struct str path, struct buf *out)
{
	char name[CONFIG_PATH_BYTES_MAX + 1];
	enum status st;
	int fd;

	(void)arg;
	if (path.n >= sizeof(name) || memchr(path.p, 0, path.n) != NULL)
		return ST_IO;
	memcpy(name, path.p, path.n);
	name[path.n] = 0;
	fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return errno == ENOENT ? ST_NOTFOUND : errno == EACCES ? ST_DENIED : ST_IO;
	st = fd_read(fd, out);
	close(fd);
	return st;
}

enum status
config_load(const char *path, struct config **out, struct buf *error_out)
{
	struct buf text;
	enum status st;

	*out = NULL;
	/* Room for the read beyond the last byte; the joined text has the same limit and reports
	 * it. */
	buf_init(&text, CONFIG_TEXT_BYTES_MAX + 8192);
	st = file_read(NULL, str_of_c(path), &text);
	if (st == ST_OK)
		st = config_parse(buf_str(&text), str_of_c(path), file_read, NULL, out, error_out);
	else if (st == ST_NOTFOUND)
		buf_putf(error_out, "%s: there is no such file; `posthorn quickstart` makes one\n",
		    path);
	else if (st == ST_DENIED)
		buf_putf(error_out, "%s: no permission to read it\n", path);
	else if (st == ST_LIMIT)
		buf_putf(error_out, "%s: longer than a configuration may be\n", path);
	else
		buf_putf(error_out, "%s: cannot be read\n", path);
	buf_fini(&text);
	return st;
}
