/* Limits of mail addresses, in octets as sent (RFC 5321 4.5.3.1; RFC 6531 counts octets too, not
 * characters). */
#ifndef POSTHORN_STANDARDS_ADDRESS_LIMITS_H
#define POSTHORN_STANDARDS_ADDRESS_LIMITS_H

#define ADDRESS_LOCAL_MAX 64   /* RFC 5321 4.5.3.1.1, with the quotes when quoted */
#define ADDRESS_DOMAIN_MAX 255 /* RFC 5321 4.5.3.1.2 */
#define ADDRESS_MAX \
	254 /* RFC 5321 4.5.3.1.3: a path of 256 less its brackets (erratum 1690 of RFC 3696) */
#define ADDRESS_LABEL_MAX 63 /* RFC 1035 2.3.4, of labels in ASCII */
/* "[IPv6:" + 45 (INET6_ADDRSTRLEN less its NUL) + "]" */
#define ADDRESS_LITERAL_MAX 52

#endif
