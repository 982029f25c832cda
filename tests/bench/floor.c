/*
 * What the disk gives to one writer who waits: records written over a file that was written before.
 *
 *	floor FOLDER SECONDS
 *
 * Prints one line of JSON: records of 5 KB per second with an fdatasync after each (through the
 *page cache, and with O_DIRECT in whole blocks), with one after each 100, and records of 100 KB.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FILE_BYTES = 256 << 20, PIECE_BYTES = 1 << 20, ALIGN = 4096 };

static char *piece;
static const char *folder;
static double seconds;

static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static _Noreturn void
die(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int
file_make(const char *path)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);

	if (fd < 0)
		die(path);
	for (off_t at = 0; at < FILE_BYTES; at += PIECE_BYTES)
		if (pwrite(fd, piece, PIECE_BYTES, at) != PIECE_BYTES)
			die("write");
	if (fsync(fd) != 0)
		die("fsync");
	return fd;
}

static double
rate(size_t bytes, unsigned per_sync, int flags)
{
	char path[512];
	unsigned long n = 0;
	off_t at = 0;
	double began, took;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/floor.data", folder);
	close(file_make(path));
	fd = open(path, O_WRONLY | flags);
	if (fd < 0) {
		/* A file system without O_DIRECT (tmpfs). */
		unlink(path);
		return 0;
	}
	began = now_s();
	do {
		for (unsigned i = 0; i < per_sync; i++, n++, at += (off_t)bytes) {
			if (at + (off_t)bytes > FILE_BYTES)
				at = 0;
			if (pwrite(fd, piece, bytes, at) != (ssize_t)bytes)
				die("write");
		}
		if (fdatasync(fd) != 0)
			die("fdatasync");
		took = now_s() - began;
	} while (took < seconds);
	close(fd);
	unlink(path);
	return (double)n / took;
}

int
main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: floor FOLDER SECONDS\n");
		return 2;
	}
	folder = argv[1];
	seconds = strtod(argv[2], NULL);
	piece = aligned_alloc(ALIGN, PIECE_BYTES);
	if (piece == NULL)
		die("memory");
	memset(piece, 'x', PIECE_BYTES);
	printf("{\"one_5k\":%.1f,\"one_5k_direct\":%.1f,\"hundred_5k\":%.1f,\"one_100k\":%.1f}\n",
	    rate(5120, 1, 0), rate(8192, 1, O_DIRECT), rate(5120, 100, 0), rate(102400, 1, 0));
	return 0;
}
