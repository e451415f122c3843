/** The key that a server signs receipts with, from its file. */
#ifndef FUSION_API_RECEIPT_API_H
#define FUSION_API_RECEIPT_API_H

#include "continuity/receipt.h"

/** Reads what fusion_receipt_keygen wrote. FUSION_E_IO; FUSION_E_INPUT: not a receipt key. */
fusion_status receipt_key_load(uint8_t secret[RECEIPT_SECRET_LEN], const char *path,
                               fusion_error *err) FUSION_MUST_CHECK;

#endif
