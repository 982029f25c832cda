/* Fuzz: any payload is either refused by its decoder or survives encoding and decoding again. */
#include "base/check.h"
#include "base/num.h"
#include "ipc/records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define R(NAME, name, from, to) \
	case REC_##NAME: { \
		struct rec_##name r; \
		struct cur c = cur_of(in); \
		if (rec_##name##_take(&c, &r)) { \
			CHECK(rec_##name##_put(&out, &r) == ST_OK); \
			CHECK(str_eq(str_from(buf_str(&out), RECORD_HEADER_BYTES), in)); \
		} \
		break; \
	}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_of(data + 1, size ? size - 1 : 0);
	struct buf out;

	if (size == 0)
		return 0;
	buf_init(&out, RECORD_BYTES_MAX);
	switch ((enum record_type)(data[0] % REC_TYPES)) {
		RECORD_TABLE(R)
	case REC_NONE:
	case REC_TYPES:
		break;
	}
	buf_fini(&out);
	return 0;
}
