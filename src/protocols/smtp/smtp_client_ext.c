#include "base/num.h"
#include "protocols/smtp/smtp_client_internal.h"

/* The reply to EHLO, keyword by keyword (RFC 5321 4.1.1.1): ehlo-keyword *( SP ehlo-param ). */

struct keyword {
	struct str name;
	enum smtp_client_ext_bit bit;
	/* What is to be learnt from its parameters, or NULL. */
	void (*params)(struct smtp_client_ext *ext, struct str params);
};

static bool
is_mech_char(char ch)
{
	return char_is_alnum(ch) || ch == '-' || ch == '_';
}

static bool
has_mech(struct str mechs, struct str name)
{
	struct str word;

	while (mechs.n > 0) {
		(void)str_split(mechs, ' ', &word, &mechs);
		if (str_eq_ci(word, name))
			return true;
	}
	return false;
}

/* A name that does not fit, or is none (RFC 4422 3.1), is left out: what the peer has too many of
 * we do not know. */
static void
mech_add(struct smtp_client_ext *ext, struct str name)
{
	size_t n = ext->mechs_n;

	if (name.n == 0 || name.n > SMTP_CLIENT_MECH_MAX || n + 1 + name.n > sizeof(ext->mechs) ||
	    has_mech(str_of(ext->mechs, n), name))
		return;
	for (size_t i = 0; i < name.n; i++)
		if (!is_mech_char(name.p[i]))
			return;
	if (n > 0)
		ext->mechs[n++] = ' ';
	for (size_t i = 0; i < name.n; i++)
		ext->mechs[n++] = char_upper(name.p[i]);
	ext->mechs_n = (uint16_t)n;
}

/* RFC 4954 3 */
static void
auth_params(struct smtp_client_ext *ext, struct str params)
{
	struct str word;

	while (params.n > 0) {
		(void)str_split(params, ' ', &word, &params);
		mech_add(ext, word);
	}
}

/* RFC 1870 4: none, or 0: no limit. */
static void
size_params(struct smtp_client_ext *ext, struct str params)
{
	if (str_to_u64(str_trim(params), &ext->size_max) != ST_OK)
		ext->size_max = 0;
}

/* RFC 2852 2 */
static void
deliverby_params(struct smtp_client_ext *ext, struct str params)
{
	if (str_to_u64(str_trim(params), &ext->by_min_s) != ST_OK)
		ext->by_min_s = 0;
}

static void
limit_add(struct smtp_client_ext *ext, struct str name, struct str value)
{
	uint64_t v;

	/* RFC 9422 4: six digits, not zero; what is unknown or ill-formed is passed over. */
	if (value.n > 6 || str_to_u64(value, &v) != ST_OK || v == 0)
		return;
	if (str_eq_ci(name, STR("RCPTMAX")))
		ext->rcpt_max = (uint32_t)v;
	else if (str_eq_ci(name, STR("MAILMAX")))
		ext->mail_max = (uint32_t)v;
	else if (str_eq_ci(name, STR("RCPTDOMAINMAX")))
		ext->rcpt_domain_max = (uint32_t)v;
}

static void
limits_params(struct smtp_client_ext *ext, struct str params)
{
	struct str word, name, value;

	while (params.n > 0) {
		(void)str_split(params, ' ', &word, &params);
		if (str_split(word, '=', &name, &value))
			limit_add(ext, name, value);
	}
}

static const struct keyword keywords[] = {
    {STR_INIT("SIZE"), SMTP_EXT_SIZE, size_params},			   /* RFC 1870 */
    {STR_INIT("8BITMIME"), SMTP_EXT_8BITMIME, NULL},			   /* RFC 6152 */
    {STR_INIT("PIPELINING"), SMTP_EXT_PIPELINING, NULL},		   /* RFC 2920 */
    {STR_INIT("CHUNKING"), SMTP_EXT_CHUNKING, NULL},			   /* RFC 3030 */
    {STR_INIT("BINARYMIME"), SMTP_EXT_BINARYMIME, NULL},		   /* RFC 3030 */
    {STR_INIT("SMTPUTF8"), SMTP_EXT_SMTPUTF8, NULL},			   /* RFC 6531 */
    {STR_INIT("DSN"), SMTP_EXT_DSN, NULL},				   /* RFC 3461 */
    {STR_INIT("STARTTLS"), SMTP_EXT_STARTTLS, NULL},			   /* RFC 3207 */
    {STR_INIT("AUTH"), SMTP_EXT_AUTH, auth_params},			   /* RFC 4954 */
    {STR_INIT("LIMITS"), SMTP_EXT_LIMITS, limits_params},		   /* RFC 9422 */
    {STR_INIT("ENHANCEDSTATUSCODES"), SMTP_EXT_ENHANCEDSTATUSCODES, NULL}, /* RFC 2034 */
    {STR_INIT("DELIVERBY"), SMTP_EXT_DELIVERBY, deliverby_params},	   /* RFC 2852 */
    {STR_INIT("MT-PRIORITY"), SMTP_EXT_MT_PRIORITY, NULL},		   /* RFC 6710 */
    {STR_INIT("REQUIRETLS"), SMTP_EXT_REQUIRETLS, NULL},		   /* RFC 8689 */
};

void
smtp_client_ext_line(struct smtp_client_ext *ext, struct str line)
{
	struct str name, params;

	(void)str_split(line, ' ', &name, &params);
	/* "AUTH=PLAIN LOGIN": what servers said before it was a standard. */
	if (str_has_prefix_ci(name, STR("AUTH="))) {
		params = str_from(line, 5);
		name = STR("AUTH");
	}
	for (size_t i = 0; i < COUNT_OF(keywords); i++) {
		if (!str_eq_ci(name, keywords[i].name))
			continue;
		ext->bits |= (uint32_t)keywords[i].bit;
		if (keywords[i].params != NULL)
			keywords[i].params(ext, params);
		return;
	}
}

struct str
smtp_client_mechs(const struct smtp_client *c)
{
	return str_of(c->ext.mechs, c->ext.mechs_n);
}

bool
smtp_client_has_mech(const struct smtp_client *c, struct str name)
{
	return has_mech(smtp_client_mechs(c), name);
}
