#include "garble/garbled.h"

#include "base/bits.h"
#include "base/secret.h"
#include "garble/garble_messages.h"
#include "garble/half_gates.h"

enum {
  CHUNK_TABLES = 8 << 20, /* bytes of tables that a message holds, about */
  CHUNK_BATCHES_MAX = 1 << 10,
  DOMAIN_GARBLED = 2, /* the hash domain's bit, beside those of cot_domain() */
};

size_t garbled_chunk(const struct circuit *c) {
  const size_t batch = size_max(1, garble_blocks(c, GARBLE_BATCH) * sizeof(block) + garble_rows_len(c, GARBLE_BATCH));
  return size_max(1, size_min(CHUNK_TABLES / batch, CHUNK_BATCHES_MAX)) * GARBLE_BATCH;
}

static size_t choices_len(const struct circuit *c, size_t count) {
  return div_up(count * c->input_bits, 8);
}

/* A message of tables: the blocks of all batches, then the rows of all. */
static size_t blocks_len(const struct circuit *c, size_t count) {
  return garble_blocks(c, count) * sizeof(block);
}
static size_t tables_len(const struct circuit *c, size_t count) {
  const size_t whole = count / GARBLE_BATCH, rest = count % GARBLE_BATCH;
  return blocks_len(c, count) + whole * garble_rows_len(c, GARBLE_BATCH) + (rest ? garble_rows_len(c, rest) : 0);
}

/* What a party holds while it works. Labels are [batch][input bit][instance]; those of two chunks. */
struct work {
  struct garble *g;
  const struct circuit *c;
  enum garbling phase;
  const struct garbled_words *words;
  size_t chunk;
  block *labels[2]; /* secret */
  block *answers;   /* online, at the server: the client's */
  uint8_t *choices, *tables;
  uint64_t *wide; /* [output words][chunk]: sums of terms, secret */
  struct garble_workspace ws;
  size_t labels_len, answers_len, choices_len, tables_len, wide_len, ws_len;
};

static void work_size(struct work *w, size_t count) {
  const struct circuit *c = w->c;
  w->chunk = size_min(count, garbled_chunk(c));
  w->labels_len = w->chunk * c->input_bits * sizeof(block);
  w->answers_len = w->phase == GARBLED_ONLINE ? w->labels_len : sizeof *w->answers;
  w->choices_len = choices_len(c, w->chunk);
  w->tables_len = tables_len(c, w->chunk) + BITS_SLACK;
  w->wide_len = w->chunk * c->outputs.count * sizeof(uint64_t);
  w->ws_len = garble_workspace_len(c);
}

static fusion_status work_open(struct work *w, size_t count) {
  struct heap *heap = w->g->heap;
  work_size(w, count);
  for (unsigned i = 0; i < 2; i++) w->labels[i] = heap_take(heap, w->labels_len, 1);
  w->answers = heap_take(heap, w->answers_len, 1);
  w->choices = heap_take(heap, w->choices_len, 1);
  w->tables = heap_take(heap, w->tables_len, 1);
  w->wide = heap_take(heap, w->wide_len, 1);
  void *memory = heap_take(heap, w->ws_len, 1);
  garble_workspace_place(&w->ws, w->c, memory);
  return w->labels[0] && w->labels[1] && w->answers && w->choices && w->tables && w->wide && memory ? FUSION_OK
                                                                                                    : FUSION_E_MEMORY;
}

static void work_close(struct work *w) {
  struct heap *heap = w->g->heap;
  for (unsigned i = 0; i < 2; i++) heap_give(heap, w->labels[i], w->labels_len);
  heap_give(heap, w->answers, w->answers_len);
  heap_give(heap, w->choices, w->choices_len);
  heap_give(heap, w->tables, w->tables_len);
  heap_give(heap, w->wide, w->wide_len);
  heap_give(heap, w->ws.memory, w->ws_len);
}

/* A chunk: instances first .. first + count - 1 of the run. */
struct chunk {
  size_t first, count, number;
};

static struct chunk chunk_at(const struct work *w, size_t first, size_t all) {
  return (struct chunk){first, size_min(w->chunk, all - first), first / w->chunk};
}

static block *labels_of(const struct work *w, struct chunk k) {
  return w->labels[k.number % 2];
}

/* out ^= the client's E, the next ones. `out` has the labels' layout. */
static void add_masks(struct work *w, block *out, size_t count) {
  enum { AT_ONCE = 256 };
  block masks[AT_ONCE];
  for (size_t done = 0; done < count; done += AT_ONCE) {
    const size_t n = size_min(AT_ONCE, count - done);
    prg_bytes(w->g->masks, masks, n * sizeof *masks);
    for (size_t i = 0; i < n; i++) out[done + i] = block_xor(out[done + i], masks[i]);
  }
  mem_wipe(masks, sizeof masks);
}

/* The client's labels for 0, but for the choices; the server's macs, which are stored ahead and read online. */
static fusion_status take_labels(struct work *w, struct chunk k) {
  block *labels = labels_of(w, k);
  const size_t count = k.count * w->c->input_bits, len = count * sizeof *labels;
  fusion_status status;
  if (w->g->role == ROLE_CLIENT) {
    TRY(cot_take_sender(w->g->cot, labels, count, NULL));
    if (w->phase == GARBLED_AHEAD) add_masks(w, labels, count);
    return FUSION_OK;
  }
  if (w->phase == GARBLED_ONLINE) return stream_read(w->g->store, labels, len);
  TRY(cot_take_receiver(w->g->cot, labels, count, NULL));
  if (w->phase == GARBLED_AHEAD) return stream_write(w->g->store, labels, len);
cleanup:
  return status;
}

/* The server's bits of a batch, each against the lowest bit of its label, as bits `at`, at + 1, ... of the message. */
static void put_choices(const struct work *w, const block *labels, size_t first, size_t count, size_t at) {
  for (unsigned word = 0; word < w->c->inputs.count; word++) {
    const uint64_t *values = w->words->inputs[word] + first;
    for (unsigned bit = 0; bit < w->c->inputs.bits[word]; bit++, labels += count) {
      for (size_t e = 0; e < count; e++, at++) {
        const uint64_t d = (values[e] >> bit ^ labels[e].lo) & 1;
        w->choices[at / 8] |= (uint8_t)(d << at % 8);
      }
    }
  }
}

static fusion_status send_choices(struct work *w, struct chunk k) {
  if (w->phase == GARBLED_AHEAD) return FUSION_OK;
  const size_t len = choices_len(w->c, k.count);
  memset(w->choices, 0, len);
  for (size_t done = 0; done < k.count; done += GARBLE_BATCH) {
    const size_t n = size_min(GARBLE_BATCH, k.count - done), at = done * w->c->input_bits;
    put_choices(w, labels_of(w, k) + at, k.first + done, n, at);
  }
  secret_declassify(w->choices, len, "input bits masked by the correlations' random choices");
  return channel_send(w->g->channel, MSG_GARBLED_CHOICE, w->choices, len);
}

static block delta_of(const struct garble *g) {
  return g->cot ? g->cot->delta : g->delta;
}

/* labels ^= d * Delta: in one go the client's keys become labels for 0. */
static fusion_status receive_choices(struct work *w, struct chunk k) {
  block *labels = labels_of(w, k);
  const block delta = delta_of(w->g);
  const size_t count = k.count * w->c->input_bits;
  if (w->phase == GARBLED_AHEAD) return FUSION_OK;
  const fusion_status status = channel_recv(w->g->channel, MSG_GARBLED_CHOICE, w->choices, choices_len(w->c, k.count));
  if (status != FUSION_OK) return status;
  for (size_t i = 0; i < count; i++) {
    const uint64_t d = (uint64_t)0 - (uint64_t)(w->choices[i / 8] >> i % 8 & 1);
    labels[i] = block_xor(labels[i], block_and_mask(delta, d));
  }
  return FUSION_OK;
}

/* Garbles or evaluates a chunk's batches, and stores the shares. */
static void run_batches(struct work *w, struct chunk k) {
  const struct circuit *c = w->c;
  const bool garbler = w->g->role == ROLE_CLIENT;
  const uint64_t *known[CIRCUIT_WORDS_MAX] = {NULL}, *factors[CIRCUIT_WORDS_MAX] = {NULL};
  const uint64_t *inputs[CIRCUIT_WORDS_MAX] = {NULL};
  uint64_t *out[CIRCUIT_WORDS_MAX] = {NULL};
  block *table = (block *)(void *)w->tables; /* the heap's blocks are aligned */
  uint8_t *rows = w->tables + blocks_len(c, k.count);
  mem_wipe(w->wide, w->wide_len);
  for (size_t done = 0; done < k.count; done += GARBLE_BATCH) {
    const size_t n = size_min(GARBLE_BATCH, k.count - done);
    for (unsigned i = 0; garbler && i < c->known.count; i++) known[i] = w->words->known[i] + k.first + done;
    for (unsigned i = 0; garbler && i < c->factors; i++) factors[i] = w->words->factors[i] + k.first + done;
    for (unsigned i = 0; !garbler && i < c->inputs.count; i++) inputs[i] = w->words->inputs[i] + k.first + done;
    for (unsigned i = 0; i < c->outputs.count; i++) out[i] = w->wide + i * w->chunk + done;
    const struct garble_batch batch = {.ws = &w->ws,
                                       .count = n,
                                       .labels = labels_of(w, k) + done * c->input_bits,
                                       .table = table,
                                       .rows = rows,
                                       .delta = delta_of(w->g),
                                       .domain = garbled_domain(w->g),
                                       .first = w->g->tweaks,
                                       .known = known,
                                       .factors = factors,
                                       .inputs = inputs,
                                       .out = out};
    if (garbler)
      garble_batch(&batch);
    else
      evaluate_batch(&batch);
    w->g->tweaks += n * circuit_tweaks(c);
    table += garble_blocks(c, n);
    rows += garble_rows_len(c, n);
  }
  for (unsigned i = 0; i < c->outputs.count; i++) {
    const uint64_t *sums = w->wide + i * w->chunk;
    uint64_t *to = w->words->outputs[i] + k.first;
    for (size_t e = 0; e < k.count; e++) to[e] = sums[e] & low_mask(c->outputs.bits[i]);
  }
}

/* A party that has nothing yet, or had it ahead. */
static void store_zeros(const struct work *w, size_t count) {
  for (unsigned i = 0; i < w->c->outputs.count; i++) mem_wipe(w->words->outputs[i], count * sizeof(uint64_t));
}

static fusion_status send_tables(struct work *w, struct chunk k) {
  const size_t len = tables_len(w->c, k.count);
  secret_declassify(w->tables, len, "garbled tables: all but one row of each is random to the server");
  const fusion_status status = channel_send(w->g->channel, MSG_GARBLED_TABLE, w->tables, len);
  return status == FUSION_OK ? channel_flush(w->g->channel) : status;
}

/* In one go and online the chunk is evaluated, ahead its tables are stored. */
static fusion_status receive_tables(struct work *w, struct chunk k) {
  fusion_status status;
  const size_t len = tables_len(w->c, k.count), count = k.count * w->c->input_bits;
  block *labels = labels_of(w, k);
  if (w->phase == GARBLED_ONLINE) {
    TRY(channel_recv(w->g->channel, MSG_GARBLED_LABEL, w->answers, count * sizeof *labels));
    for (size_t i = 0; i < count; i++) labels[i] = block_xor(labels[i], w->answers[i]);
    TRY(stream_read(w->g->store, w->tables, len));
  } else {
    TRY(channel_recv(w->g->channel, MSG_GARBLED_TABLE, w->tables, len));
  }
  if (w->phase == GARBLED_AHEAD) return stream_write(w->g->store, w->tables, len);
  run_batches(w, k);
cleanup:
  return status;
}

static fusion_status run_server(struct work *w, size_t count) {
  fusion_status status;
  struct chunk k = chunk_at(w, 0, count);
  TRY(take_labels(w, k));
  TRY(send_choices(w, k));
  for (;;) {
    const size_t end = k.first + k.count;
    const bool more = end < count;
    const struct chunk next = more ? chunk_at(w, end, count) : k;
    if (more) TRY(take_labels(w, next));
    if (more) TRY(send_choices(w, next));
    TRY(receive_tables(w, k));
    if (!more) break;
    k = next;
  }
cleanup:
  return status;
}

static fusion_status run_client(struct work *w, size_t count) {
  fusion_status status;
  struct chunk k = chunk_at(w, 0, count);
  TRY(take_labels(w, k));
  TRY(receive_choices(w, k));
  for (;;) {
    const size_t end = k.first + k.count;
    const bool more = end < count;
    const struct chunk next = more ? chunk_at(w, end, count) : k;
    if (more) TRY(take_labels(w, next));
    run_batches(w, k);
    TRY(send_tables(w, k));
    if (!more) break;
    TRY(receive_choices(w, next));
    k = next;
  }
cleanup:
  return status;
}

/* Online the client only answers. */
static fusion_status answer_chunks(struct work *w, size_t count) {
  fusion_status status = FUSION_OK;
  for (size_t done = 0; done < count; done += w->chunk) {
    const struct chunk k = chunk_at(w, done, count);
    const size_t bits = k.count * w->c->input_bits;
    block *labels = labels_of(w, k);
    mem_wipe(labels, bits * sizeof *labels);
    add_masks(w, labels, bits);
    TRY(receive_choices(w, k));
    secret_declassify(labels, bits * sizeof *labels, "masked by E, which is used once");
    TRY(channel_send(w->g->channel, MSG_GARBLED_LABEL, labels, bits * sizeof *labels));
    TRY(channel_flush(w->g->channel));
  }
cleanup:
  return status;
}

uint64_t garbled_domain(const struct garble *g) {
  return g->cot ? cot_domain(g->cot, ROLE_CLIENT) | DOMAIN_GARBLED : g->domain;
}

fusion_status garbled_run(struct garble *g, const struct circuit *c, enum garbling phase,
                          const struct garbled_words *words, size_t count) {
  if (c->out_of_memory) return FUSION_E_MEMORY;
  if (!count || !c->input_bits) return FUSION_OK;
  struct work w = {.g = g, .c = c, .phase = phase, .words = words};
  const bool server = g->role == ROLE_SERVER, answers = !server && phase == GARBLED_ONLINE;
  fusion_status status = work_open(&w, count);
  if (server && status == FUSION_OK) status = run_server(&w, count);
  if (answers && status == FUSION_OK) status = answer_chunks(&w, count);
  if (!server && !answers && status == FUSION_OK) status = run_client(&w, count);
  if (answers || (server && phase == GARBLED_AHEAD)) store_zeros(&w, count);
  /* Online the server's hashes have the numbers that they got ahead. */
  if (server && phase == GARBLED_AHEAD) g->tweaks += count * circuit_tweaks(c);
  work_close(&w);
  return status;
}

static void ahead_cost(struct cost *cost, const struct circuit *c, size_t count) {
  const size_t chunk = garbled_chunk(c);
  cost_take_cots(cost, ROLE_CLIENT, size_min(chunk, count) * c->input_bits);
  for (size_t done = 0; done < count; done += chunk) {
    const size_t n = size_min(chunk, count - done), next = size_min(chunk, count - done - n);
    if (next) cost_take_cots(cost, ROLE_CLIENT, next * c->input_bits);
    cost_to_server(cost, tables_len(c, n));
    cost->prepared_server += tables_len(c, n) + n * c->input_bits * sizeof(block);
  }
}

static void online_cost(struct cost *cost, const struct circuit *c, size_t count) {
  const size_t chunk = garbled_chunk(c);
  cost_to_client(cost, choices_len(c, size_min(chunk, count)));
  for (size_t done = 0; done < count; done += chunk) {
    const size_t n = size_min(chunk, count - done), next = size_min(chunk, count - done - n);
    const struct cost begun = *cost;
    if (next) cost_in_flight(cost, &begun, ROLE_SERVER, choices_len(c, next));
    cost_in_flight(cost, &begun, ROLE_CLIENT, n * c->input_bits * sizeof(block));
  }
}

static void now_cost(struct cost *cost, const struct circuit *c, size_t count) {
  const size_t chunk = garbled_chunk(c), first = size_min(chunk, count);
  cost_take_cots(cost, ROLE_CLIENT, first * c->input_bits);
  cost_to_client(cost, choices_len(c, first));
  for (size_t done = 0; done < count; done += chunk) {
    const size_t n = size_min(chunk, count - done), next = size_min(chunk, count - done - n);
    if (next) cost_take_cots(cost, ROLE_CLIENT, next * c->input_bits);
    const struct cost begun = *cost;
    if (next) cost_in_flight(cost, &begun, ROLE_SERVER, choices_len(c, next));
    cost_in_flight(cost, &begun, ROLE_CLIENT, tables_len(c, n));
  }
}

void garbled_run_cost(struct cost *cost, const struct circuit *c, enum garbling phase, size_t count) {
  cost->out_of_memory |= c->out_of_memory;
  if (c->out_of_memory || !count || !c->input_bits) return;
  if (phase == GARBLED_NOW) now_cost(cost, c, count);
  if (phase == GARBLED_AHEAD) ahead_cost(cost, c, count);
  if (phase == GARBLED_ONLINE) online_cost(cost, c, count);
}

size_t garbled_run_memory(const struct circuit *c, enum garbling phase, size_t count, enum role role) {
  struct work w = {.c = c, .phase = phase};
  (void)role; /* both alike */
  if (c->out_of_memory) return SIZE_MAX;
  work_size(&w, count);
  return 2 * w.labels_len + w.answers_len + w.choices_len + w.tables_len + w.wide_len + w.ws_len;
}
