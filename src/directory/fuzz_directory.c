/* Records of the directory: what a decoder takes, the encoder makes again, byte for byte. */
#include "base/check.h"
#include "directory/directory_internal.h"
#include "directory/dkim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
fuzz_entry(struct str record, struct buf *out)
{
	static struct directory_address targets[DIRECTORY_ALIAS_TARGETS_MAX];
	struct directory_entry e;
	struct cur c;
	struct str one;
	size_t n = 0;

	if (directory_entry_decode(record, &e, &c) != ST_OK)
		return;
	while (directory_target_next(&c, &one) == ST_OK) {
		size_t at = str_find_char_last(one, '@');

		CHECK(n < DIRECTORY_ALIAS_TARGETS_MAX);
		CHECK(directory_address_make(
			  str_take(one, at), str_from(one, at + 1), &targets[n++]) == ST_OK);
	}
	CHECK(n == e.targets_n);
	CHECK(
	    (e.kind == DIRECTORY_ALIAS ? directory_entry_encode_alias(targets, n, out)
				       : directory_entry_encode_account(e.account, out)) == ST_OK);
	CHECK(str_eq(buf_str(out), record));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str all = str_of(data, n), record = str_from(all, 1);
	struct credential credential;
	struct account account;
	struct domain domain;
	struct dkim_key_record dkim;
	struct buf out;

	if (!n)
		return 0;
	buf_init(&out, DIRECTORY_RECORD_BYTES_MAX);
	switch (data[0] % 5) {
	case 0:
		if (credential_decode(record, &credential) == ST_OK)
			CHECK(credential_encode(&credential, &out) == ST_OK &&
			      str_eq(buf_str(&out), record));
		break;
	case 1:
		if (directory_account_decode(record, &account) == ST_OK)
			CHECK(directory_account_encode(&account, &out) == ST_OK &&
			      str_eq(buf_str(&out), record));
		break;
	case 2:
		if (directory_domain_decode(record, &domain) == ST_OK)
			CHECK(directory_domain_encode(&domain, &out) == ST_OK &&
			      str_eq(buf_str(&out), record));
		break;
	case 3:
		fuzz_entry(record, &out);
		break;
	case 4:
		if (directory_dkim_decode(record, &dkim) == ST_OK)
			CHECK(directory_dkim_encode(&dkim, &out) == ST_OK && str_eq(buf_str(&out), record));
		break;
	}
	buf_fini(&out);
	return 0;
}
