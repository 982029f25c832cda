/* Limits of the PROXY protocol header. */
#ifndef POSTHORN_PROTOCOLS_PROXY_LIMITS_H
#define POSTHORN_PROTOCOLS_PROXY_LIMITS_H

#define PROXY_V1_LINE_MAX                                                                          \
	107 /* with CRLF: the specification's 2.1, two longest IPv6 addresses and "UNKNOWN" before \
	       them */
#define PROXY_V2_FIXED 16 /* signature, version and command, family, length */
#define PROXY_V2_IP4 12	  /* two addresses and two ports */
#define PROXY_V2_IP6 36
#define PROXY_V2_UNIX 216 /* two paths; only LOCAL may come with them */
#define PROXY_V2_TLVS_MAX \
	512 /* bytes of all extensions: TLS details and a unique id of 128 take less */
/* The longest header that is taken. A reader that never takes more than this before proxy_take says
 * ST_OK misses none. */
#define PROXY_HEADER_MAX (PROXY_V2_FIXED + PROXY_V2_UNIX + PROXY_V2_TLVS_MAX)

#endif
