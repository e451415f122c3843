/** Which comparison tree the gates build (carry.h): an engine's choice, the same at both parties. */
#ifndef FUSION_GATES_CARRY_SHAPE_H
#define FUSION_GATES_CARRY_SHAPE_H

enum carry_shape {
  CARRY_CHEAPEST, /* searched for the number of elements that share the flights */
  CARRY_SHORTEST, /* the same where a correlation costs next to no traffic, and bytes and flights count for most */
  CARRY_FIXED,    /* CrypTFlow2's: digits of four bits, merged two by two; the server sends every table */
};

#endif
