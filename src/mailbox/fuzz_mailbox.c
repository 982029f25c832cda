/* Records of the mailbox: whatever the bytes, decoding ends; what it takes comes out again as it
 * was. */
#include "base/check.h"
#include "mailbox/mailbox_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
fuzz_message(struct str record)
{
	struct message_record r;
	struct buf out;

	if (mailbox_message_decode(record, &r) != ST_OK)
		return;
	buf_init(&out, MESSAGE_FIXED_BYTES + MAILBOX_HEAD_BYTES_MAX);
	CHECK(mailbox_message_encode(&r, &out) == ST_OK && str_eq(buf_str(&out), record));
	buf_fini(&out);
}

static void
fuzz_chunk(struct str chunk, uint32_t uid)
{
	size_t n;

	if (mailbox_chunk_count(chunk, &n) != ST_OK)
		return;
	CHECK(n * MAILBOX_RECORD_BYTES == chunk.n);
	CHECK(mailbox_chunk_search(chunk, n, uid) <= n);
	for (size_t i = 0; i < n; i++) {
		struct mailbox_entry e, again;
		char bytes[MAILBOX_RECORD_BYTES];

		mailbox_entry_decode(chunk, i, &e);
		mailbox_entry_encode(&e, bytes);
		mailbox_entry_decode(str_of(bytes, sizeof(bytes)), 0, &again);
		CHECK(e.uid == mailbox_entry_uid(chunk, i) && e.uid == again.uid &&
		      e.flags == again.flags);
		CHECK(e.modseq == again.modseq && e.message.v == again.message.v);
		CHECK(e.size_bytes == again.size_bytes && e.date_ms == again.date_ms);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str record = str_from(str_of(data, n), 1);
	struct mailbox_state state;
	struct mailbox_usage usage;
	char bytes[USAGE_BYTES];

	if (!n)
		return 0;
	switch (data[0] % 4) {
	case 0:
		fuzz_message(record);
		break;
	case 1:
		fuzz_chunk(record, data[0]);
		break;
	case 2:
		if (mailbox_state_decode(record, &state) == ST_OK)
			CHECK(
			    state.chunk_n <= MAILBOX_CHUNK_RECORDS && state.unseen <= state.count);
		break;
	case 3:
		if (mailbox_usage_decode(record, &usage) == ST_OK) {
			mailbox_usage_encode(&usage, bytes);
			CHECK(str_eq(str_of(bytes, sizeof(bytes)), record));
		}
		break;
	}
	return 0;
}
