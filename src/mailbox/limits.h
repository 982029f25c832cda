/* Limits of mailboxes. */
#ifndef POSTHORN_MAILBOX_LIMITS_H
#define POSTHORN_MAILBOX_LIMITS_H

#include "store/store.h"

/* 256 records of 40 bytes: a chunk of 10 KB is read in one go and rewritten for one expunge without
 * much ado. */
#define MAILBOX_CHUNK_RECORDS 256
#define MAILBOX_RECORD_BYTES 40
/* Return-Path, Delivered-To, our Received and verdict lines. */
#define MAILBOX_HEAD_BYTES_MAX 16384
#define MAILBOX_DIGEST_BYTES_MAX 16384
/* uids are 32 bits (RFC 9051 2.3.1.1); the last one is never given. */
#define MAILBOX_UID_MAX (UINT32_MAX - 1)
/* Where a change of many messages stops and goes on in another transaction: a chunk's worst case
 * below the store's limits. */
#define MAILBOX_CHANGE_OPS_MAX (STORE_TXN_OPS_MAX / 2)
#define MAILBOX_CHANGE_BYTES_MAX (STORE_TXN_BYTES_MAX / 2)
/* Messages that one step of an account's removal takes: four operations each. */
#define MAILBOX_REMOVE_STEP 1000
/* Of one call. */
#define MAILBOX_PENDING_PAGE_MAX 1000

#endif
