/* A plugin of the user-mode emulator: counts the instructions between two marks of count_kernels.c, and writes each
 * count as a line. Built by arm64_instructions.py. Debian has no header for plugins: what is used of version 1 of the
 * interface stands here (QEMU, docs/devel/tcg-plugins). */
#include <inttypes.h>
#include <stdio.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
enum { ADD_U64 = 0 }; /* the one operation without a call */
extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                                  void (*translated)(qemu_plugin_id_t, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, int operation, void *at, uint64_t add);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
extern void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t id,
                                                 void (*called)(qemu_plugin_id_t, unsigned, int64_t, uint64_t, uint64_t,
                                                                uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                                                                uint64_t));

__attribute__((visibility("default"))) extern int qemu_plugin_version;
int qemu_plugin_version = 1;

enum { MARK_CALL = 173 }; /* getppid of Linux on ARM; its argument says which mark, 1 the first, 2 the second */

static uint64_t executed, first;

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
  (void)id;
  qemu_plugin_register_vcpu_tb_exec_inline(tb, ADD_U64, &executed, qemu_plugin_tb_n_insns(tb));
}

static void called(qemu_plugin_id_t id, unsigned processor, int64_t number, uint64_t mark, uint64_t a2, uint64_t a3,
                   uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8) {
  (void)id, (void)processor, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
  if (number != MARK_CALL) return;
  if (mark == 1) first = executed;
  if (mark == 2) printf("%" PRIu64 "\n", executed - first);
  fflush(stdout);
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc,
                                                               char **argv) {
  (void)info, (void)argc, (void)argv;
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_vcpu_syscall_cb(id, called);
  return 0;
}
