#!/bin/sh
# Runs one libFuzzer target from its seeds, for FUZZ_SECONDS (default 60), and says what it did.
# usage: scripts/fuzz_run.sh TARGET SEED... ; what it learns stays in NAME-corpus beside the target, findings in NAME-findings.
set -eu
target=$1
shift
corpus=$target-corpus findings=$target-findings log=$target.log
mkdir -p "$corpus" "$findings"
for seed in "$@"; do
  [ ! -d "$seed" ] || seed=$seed/.
  cp -rn "$seed" "$corpus"
done
# Sizes that a file merely states end in "out of memory", which is a path to test too.
ASAN_OPTIONS=allocator_may_return_null=1:max_allocation_size_mb=64${ASAN_OPTIONS:+:$ASAN_OPTIONS}
export ASAN_OPTIONS
status=0
# (libFuzzer's own exit status of a finding is 77, which means "skipped" to the test runner.)
"$target" -error_exitcode=1 -max_total_time="${FUZZ_SECONDS:-60}" -timeout=120 -rss_limit_mb=2048 -malloc_limit_mb=65536 -print_final_stats=1 \
  -artifact_prefix="$findings/" "$corpus" >"$log" 2>&1 || status=$?
grep -E 'cov: ' "$log" | tail -n 1
grep -E '^stat::number_of_executed_units|^Done|ERROR|SUMMARY|runtime error|Test unit written' "$log" || true
exit "$status"
