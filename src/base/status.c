#include "base/status.h"

const char *
status_word(enum status st)
{
	switch (st) {
	case ST_OK:
		return "ok";
	case ST_MORE:
		return "more";
	case ST_EOF:
		return "end";
	case ST_SYNTAX:
		return "syntax";
	case ST_LIMIT:
		return "limit";
	case ST_NOTFOUND:
		return "not-found";
	case ST_EXISTS:
		return "exists";
	case ST_DENIED:
		return "denied";
	case ST_CONFLICT:
		return "conflict";
	case ST_TIMEOUT:
		return "timeout";
	case ST_IO:
		return "io";
	case ST_NOMEM:
		return "no-memory";
	case ST_UNSUPPORTED:
		return "unsupported";
	}
	return "unknown";
}
