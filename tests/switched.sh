#!/usr/bin/env bash
# The tests of core, ops and modes in a build folder, by other instruction sets and libraries than
# the ones a run would take by itself. Each argument after the folder is ISA,PRODUCTS or "all".
set -euo pipefail
build=${1:?the build folder}
shift
[[ ${1:-} != all ]] || set -- {baseline,avx2,avx512}','{openblas,onednn}
failed=()
for choice in "$@"; do
  isa=${choice%,*} products=${choice#*,}
  for layer in core ops modes; do
    name="$layer by $isa and $products" start=$SECONDS
    log=$build/switched-$layer-$isa-$products.log
    if env DUALTAPE_ISA="$isa" DUALTAPE_PRODUCTS="$products" \
      "$build/tests/dualtape-test-$layer" >"$log" 2>&1; then
      echo "$name: $(grep -o 'test cases: .*' "$log" | tail -n 1), $((SECONDS - start)) s"
    elif grep -q "environment variable is .*but here there is only" "$log"; then
      echo "$name: [skipped] not on this machine"
    else
      failed+=("$name")
      echo "$name: failed, all of the output is in $log"
      tail -n 30 "$log"
    fi
  done
done
[[ ${#failed[@]} -eq 0 ]]
