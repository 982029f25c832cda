/* Fuzz: what parses as an address or a network prints as something that parses to the same. */
#include "base/check.h"
#include "sys/sock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_of(data, size);
	struct sock_addr a, b;
	struct sock_net net;
	struct buf out;

	buf_init(&out, 64);
	if (sock_ip_parse(in, &a) == ST_OK) {
		CHECK(sock_ip_put(&out, &a) == ST_OK);
		CHECK(sock_ip_parse(buf_str(&out), &b) == ST_OK);
		CHECK(sock_ip_eq(&a, &b));
		CHECK(sock_net_parse(in, &net) == ST_OK);
		CHECK(sock_net_has(&net, &a));
	} else if (sock_net_parse(in, &net) == ST_OK) {
		CHECK(net.prefix_bits <= (net.base.is_v4 ? 32 : 128));
		CHECK(sock_net_has(&net, &net.base));
	}
	buf_fini(&out);
	return 0;
}
