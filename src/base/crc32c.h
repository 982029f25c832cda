/* CRC32C (Castagnoli), hardware where the CPU has it. crc32c(0, ...) starts; chain by passing the
 * last result. */
#ifndef POSTHORN_BASE_CRC32C_H
#define POSTHORN_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *p, size_t n);
/* The same without the hardware, for tests to compare. */
uint32_t crc32c_portable(uint32_t crc, const void *p, size_t n);

#endif
