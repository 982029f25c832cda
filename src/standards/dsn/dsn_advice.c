/* What a status means to the person who sent the mail, and what can be done about it. */
#include "base/num.h"
#include "standards/dsn/dsn_internal.h"

#define ANY 0xffff

struct status_row {
	uint16_t class, subject, detail; /* or ANY */
	struct dsn_advice advice;
};

#define SPELLING                                                                                 \
	"Check the address for a spelling mistake and send the message again. If it is spelled " \
	"right, ask the recipient in another way for an address that works."
#define ASK_OTHERS \
	"Tell the recipient in another way; only the administrators at their end can change this."
#define TELL_OUR_ADMIN                                                                             \
	"Give this notice to the administrator of your mail: the other side's reasons are in its " \
	"words, and what has to be changed is the set-up of your domain."
#define LATER "Send the message again later. If that fails too, reach the recipient in another way."
#define LATER_OR_TELL                                                                             \
	"Send the message again later. If that fails too, give this notice to the administrator " \
	"of your mail."

/* RFC 3463 3 and the registry of RFC 5248; the first row that fits counts. */
static const struct status_row by_status[] = {
    {ANY, 1, 1, {STR_INIT("There is no mailbox with this address."), STR_INIT(SPELLING)}},
    {ANY, 1, 2,
	{STR_INIT("The domain, the part of the address after the @, does not exist or takes no "
		  "mail."),
	    STR_INIT("Check the domain for a spelling mistake and send the message again.")}},
    {ANY, 1, 3, {STR_INIT("The address is not written as addresses are."), STR_INIT(SPELLING)}},
    {ANY, 1, 4,
	{STR_INIT("The address fits more than one mailbox."),
	    STR_INIT("Ask the recipient for their full address.")}},
    {ANY, 1, 6,
	{STR_INIT("The recipient has moved and left no new address with the server."),
	    STR_INIT("Ask the recipient in another way for the new address.")}},
    {ANY, 1, 7,
	{STR_INIT("The other server does not take your own address: it finds it badly written."),
	    STR_INIT("Check the sender's address in the settings of your mail program.")}},
    {ANY, 1, 8,
	{STR_INIT("The other server cannot find the domain of your own address."),
	    STR_INIT(TELL_OUR_ADMIN)}},
    {ANY, 1, 9,
	{STR_INIT("The message went to a system that may not report on it."),
	    STR_INIT(ASK_OTHERS)}},
    {ANY, 1, 10,
	{STR_INIT("The recipient's domain says that it takes no mail at all."),
	    STR_INIT("Check the domain for a spelling mistake; if it is right, the recipient needs "
		     "another address.")}},
    {ANY, 1, ANY, {STR_INIT("Something is wrong with the address."), STR_INIT(SPELLING)}},

    {ANY, 2, 1, {STR_INIT("The mailbox is closed and takes no mail."), STR_INIT(ASK_OTHERS)}},
    {ANY, 2, 2,
	{STR_INIT("The recipient's mailbox is full."),
	    STR_INIT("Send the message again in some days. The recipient has to make room; tell "
		     "them in another way if it is urgent.")}},
    {ANY, 2, 3,
	{STR_INIT("The message is larger than the recipient's mailbox accepts."),
	    STR_INIT("Send it without large attachments: put the files where the recipient can "
		     "fetch them and send a link.")}},
    {ANY, 2, 4,
	{STR_INIT("The address is a mailing list, and the list is broken."),
	    STR_INIT("Write to the owner of the list.")}},
    {ANY, 2, ANY,
	{STR_INIT("Something is wrong with the recipient's mailbox."), STR_INIT(ASK_OTHERS)}},

    {ANY, 3, 1, {STR_INIT("The recipient's mail system is out of space."), STR_INIT(LATER)}},
    {ANY, 3, 2, {STR_INIT("The recipient's mail system takes no mail now."), STR_INIT(LATER)}},
    {ANY, 3, 3,
	{STR_INIT("The recipient's mail system cannot handle this kind of message."),
	    STR_INIT("Send it in a simpler form: plain text, an ordinary attachment or a link.")}},
    {ANY, 3, 4,
	{STR_INIT("The message is too large for the recipient's mail system."),
	    STR_INIT("Send it without large attachments: put the files where the recipient can "
		     "fetch them and send a link.")}},
    {ANY, 3, 5, {STR_INIT("A mail system on the way is set up wrongly."), STR_INIT(LATER_OR_TELL)}},
    {ANY, 3, ANY, {STR_INIT("The recipient's mail system has a problem."), STR_INIT(LATER)}},

    {ANY, 4, 1, {STR_INIT("The recipient's mail server did not answer."), STR_INIT(LATER)}},
    {ANY, 4, 2,
	{STR_INIT("The connection to the recipient's mail server broke off."), STR_INIT(LATER)}},
    {ANY, 4, 3,
	{STR_INIT("The directory that knows where the mail goes did not answer."),
	    STR_INIT(LATER)}},
    {ANY, 4, 4,
	{STR_INIT("No way to the recipient's mail server was found."),
	    STR_INIT("Check the domain, the part of the address after the @. If it is right, send "
		     "the message again later.")}},
    {ANY, 4, 5, {STR_INIT("The recipient's mail system has too much to do."), STR_INIT(LATER)}},
    {ANY, 4, 6,
	{STR_INIT("The message went in circles between mail servers and was stopped."),
	    STR_INIT(
		"Sending it again will not help. Give this notice to the administrator of your "
		"mail, or tell the recipient that their forwarding leads back to itself.")}},
    {ANY, 4, 7,
	{STR_INIT("It was tried again and again, and the time for it has run out."),
	    STR_INIT("Send the message again later, and check the domain of the address. If it is "
		     "urgent, reach the recipient in another way.")}},
    {ANY, 4, ANY,
	{STR_INIT("The recipient's mail server could not be reached properly."), STR_INIT(LATER)}},

    {ANY, 5, 3,
	{STR_INIT("The message has too many recipients for the other server."),
	    STR_INIT("Send it to fewer recipients at a time.")}},
    {ANY, 5, ANY,
	{STR_INIT("The two mail servers did not understand each other."), STR_INIT(LATER_OR_TELL)}},

    {ANY, 6, 7,
	{STR_INIT("A server on the way knows only addresses in plain ASCII letters."),
	    STR_INIT("Ask the recipient for an address without accents and other scripts, and send "
		     "from such an address.")}},
    {ANY, 6, 9,
	{STR_INIT("A server on the way cannot carry accents and other scripts in the header."),
	    STR_INIT("Ask the recipient for an address without accents and other scripts, and send "
		     "from such an address.")}},
    {ANY, 6, ANY,
	{STR_INIT("The content of the message is of a kind that the other server does not take."),
	    STR_INIT("Send it in a simpler form: plain text, an ordinary attachment or a link.")}},

    {ANY, 7, 1,
	{STR_INIT("The recipient's mail system refuses this message by its rules."),
	    STR_INIT("The words of the other server say which rule. If they do not help, ask the "
		     "recipient in another way to let you through.")}},
    {ANY, 7, 2,
	{STR_INIT("You are not allowed to write to this mailing list."),
	    STR_INIT("Join the list or write to its owner.")}},
    {ANY, 7, 9,
	{STR_INIT("The other server could not make sure that the message is from your domain."),
	    STR_INIT(TELL_OUR_ADMIN)}},
    {ANY, 7, 10,
	{STR_INIT("An encrypted connection is required and could not be made."),
	    STR_INIT(TELL_OUR_ADMIN)}},
    {ANY, 7, 13, {STR_INIT("The recipient's account is disabled."), STR_INIT(ASK_OTHERS)}},
    {ANY, 7, 17,
	{STR_INIT("The mailbox now belongs to somebody else."),
	    STR_INIT("Ask the recipient in another way for the new address.")}},
    {ANY, 7, 18,
	{STR_INIT("The domain now belongs to somebody else."),
	    STR_INIT("Ask the recipient in another way for the new address.")}},
    {ANY, 7, 20,
	{STR_INIT("The message has no valid signature (DKIM), which the other server asks for."),
	    STR_INIT(TELL_OUR_ADMIN)}},
    {ANY, 7, 21,
	{STR_INIT("The message has no acceptable signature (DKIM)."), STR_INIT(TELL_OUR_ADMIN)}},
    {ANY, 7, 22,
	{STR_INIT("The message is not signed (DKIM) by the domain of its author."),
	    STR_INIT(TELL_OUR_ADMIN)}},
    {ANY, 7, 23,
	{STR_INIT("By the rules of your domain (SPF) our server may not send for it."),
	    STR_INIT(TELL_OUR_ADMIN)}},
    {ANY, 7, 24,
	{STR_INIT("The rules of your domain (SPF) could not be read."), STR_INIT(TELL_OUR_ADMIN)}},
    {ANY, 7, 25,
	{STR_INIT("The other server does not accept our server's address: its name does not "
		  "lead back to it (reverse DNS)."),
	    STR_INIT(TELL_OUR_ADMIN)}},
    {ANY, 7, 26,
	{STR_INIT("The other server could not make sure that the message is from your domain: "
		  "SPF, DKIM or DMARC failed."),
	    STR_INIT(TELL_OUR_ADMIN)}},
    {ANY, 7, 27,
	{STR_INIT("The domain of your own address says that it takes no mail, so nobody could "
		  "answer you."),
	    STR_INIT(TELL_OUR_ADMIN)}},
    {ANY, 7, 28,
	{STR_INIT("The recipient gets more mail now than their server allows."), STR_INIT(LATER)}},
    {ANY, 7, 30,
	{STR_INIT("The message asks for encryption all the way, which a server on it cannot do."),
	    STR_INIT("Send it without that demand, or give this notice to the administrator of "
		     "your mail.")}},
    /* In no registry, but what the largest receivers of consumers' mail say. */
    {ANY, 7, 515,
	{STR_INIT("The other server could not make sure that the message is from your domain: "
		  "SPF, DKIM or DMARC failed."),
	    STR_INIT(TELL_OUR_ADMIN)}},
    {ANY, 7, ANY,
	{STR_INIT("The recipient's mail system refuses this message for reasons of security or "
		  "policy."),
	    STR_INIT("The words of the other server may say why. If they do not help, give this "
		     "notice to the administrator of your mail.")}},
};

/* RFC 5321 4.2.3, for servers that give no enhanced status. */
static const struct {
	uint16_t code;
	struct dsn_advice advice;
} by_code[] = {
    {521, {STR_INIT("The recipient's server takes no mail at all."), STR_INIT(SPELLING)}},
    {530, {STR_INIT("The other server takes mail only from those it knows."),
	      STR_INIT(TELL_OUR_ADMIN)}},
    {550, {STR_INIT("The other server says that the mailbox does not exist, or that it does not "
		    "want this message."),
	      STR_INIT("Its words say which. " SPELLING)}},
    {551, {STR_INIT("The recipient is not at this server."),
	      STR_INIT("Ask the recipient in another way for the right address.")}},
    {552, {STR_INIT("The recipient's mailbox is full, or the message is too large for it."),
	      STR_INIT("Send it without large attachments, a link instead of files, or again in "
		       "some days.")}},
    {553, {STR_INIT("The other server finds the address badly written or not allowed."),
	      STR_INIT(SPELLING)}},
    {556, {STR_INIT("The recipient's domain says that it takes no mail at all."),
	      STR_INIT("Check the domain for a spelling mistake; if it is right, the recipient "
		       "needs another address.")}},
    {452, {STR_INIT("The recipient's mail system is short of space, or their mailbox is full."),
	      STR_INIT(LATER)}},
};

/* RFC 3463 2: what is left when only the class is known. */
static const struct status_row by_class[] = {
    {2, ANY, ANY, {STR_INIT("All went well."), STR_INIT("Nothing is to be done.")}},
    {4, ANY, ANY,
	{STR_INIT("The recipient's mail system could not take the message for the time being."),
	    STR_INIT(LATER)}},
    {ANY, ANY, ANY,
	{STR_INIT("The recipient's mail system refuses the message."),
	    STR_INIT("The words of the other server may say why. If they do not help, check the "
		     "address, or ask the recipient in another way.")}},
};

static bool
fits(const struct status_row *row, const uint16_t s[DSN_ENHANCED_PARTS])
{
	return (row->class == ANY || row->class == s[0]) &&
	       (row->subject == ANY || row->subject == s[1]) &&
	       (row->detail == ANY || row->detail == s[2]);
}

const struct dsn_advice *
dsn_advice_find(const uint16_t status[DSN_ENHANCED_PARTS], uint16_t code)
{
	if (status[0] != 2)
		for (size_t i = 0; i < COUNT_OF(by_status); i++)
			if (fits(&by_status[i], status))
				return &by_status[i].advice;
	for (size_t i = 0; i < COUNT_OF(by_code); i++)
		if (status[0] != 2 && by_code[i].code == code)
			return &by_code[i].advice;
	for (size_t i = 0; i + 1 < COUNT_OF(by_class); i++)
		if (fits(&by_class[i], status))
			return &by_class[i].advice;
	return &by_class[COUNT_OF(by_class) - 1].advice;
}
