/** What a kernel may ask of the processor: the limits that `fusion bench` measures (bench/ceilings.h). */
#ifndef FUSION_KERNELS_CEILING_H
#define FUSION_KERNELS_CEILING_H

enum ceiling {
  CEILING_NONE,
  /* Arithmetic: loops of one instruction of the tier on registers. These share the processor's multipliers, so what a
   * kernel asks of several of them adds up. */
  CEILING_MULTIPLY_WIDE, /* 32 x 32 -> 64 bits */
  CEILING_MULTIPLY_LOW,  /* 32 x 32 -> 32 bits */
  CEILING_DOT,           /* 16 x 16 bits, multiplied and added in pairs */
  CEILING_MADD,          /* 52-bit (AVX-512) or 32-bit multiply-add to 64 bits */
  CEILING_FLOAT,         /* 32-bit float multiply-add */
  CEILING_AES,           /* AES-128 blocks under a fixed key */
  CEILING_CARRYLESS,     /* 64 x 64 -> 128 bits over F_2 */
  CEILING_LOGIC,         /* 64-bit words of and, or, xor */
  /* Memory, each by itself: bytes read and written, two to one; beyond the first level what is written is also read
   * (its line is fetched), and counts so. */
  CEILING_L1,        /* bytes read or written, from 16 KiB */
  CEILING_L2,        /* in 256 KiB */
  CEILING_L3,        /* in 8 MiB */
  CEILING_DRAM,      /* in 128 MiB */
  CEILING_GATHER_1M, /* 16-byte blocks from random places of 1 MiB */
  CEILING_GATHER_4M, /* of 4 MiB */
  CEILING_COUNT,
};

struct kernel_demand {
  enum ceiling ceiling;
  double amount; /* per unit of work */
};

#endif
