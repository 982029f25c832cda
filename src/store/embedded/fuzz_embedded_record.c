/* Arbitrary bytes into the parser of log records; what it accepts is well-formed and within the
 * limits. */
#include "base/check.h"
#include "store/embedded/limits.h"
#include "store/embedded/record.h"
#include "store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_op(const struct record_op *op, struct str record)
{
	CHECK(op->key.n <= STORE_KEY_BYTES_MAX && op->value.n <= STORE_VALUE_BYTES_MAX);
	CHECK(op->key.n == 0 ||
	      (op->key.p >= record.p && op->key.p + op->key.n <= record.p + record.n));
	CHECK(op->value.n == 0 ||
	      (op->value.p >= record.p && op->value.p + op->value.n <= record.p + record.n));
	CHECK(op->kind != RECORD_SPLICE || op->off + op->value.n <= STORE_VALUE_BYTES_MAX);
	CHECK(op->kind != RECORD_BLOB || (op->id > 0 && op->off >= RECORD_HEADER_BYTES &&
					     (size_t)op->off + op->size <= record.n));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str bytes = str_of(data, size);
	struct record r;
	struct record_op op;
	const char *what;
	uint32_t n = 0;
	enum status st = record_open(bytes, &r, &what);

	if (st != ST_OK) {
		CHECK((st == ST_SYNTAX || st == ST_UNSUPPORTED) && what[0] != '\0');
		return 0;
	}
	while ((st = record_next(&r, &op)) == ST_OK) {
		check_op(&op, bytes);
		n++;
	}
	/* What was verified once is not refused when it is handed out. */
	CHECK(st == ST_EOF && n <= STORE_TXN_OPS_MAX);
	return 0;
}
