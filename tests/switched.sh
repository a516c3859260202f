#!/usr/bin/env bash
# The tests of core, ops and modes of a build folder by other instruction sets and libraries than
# those a run would take by itself: the same programs, switched through the environment. Arguments:
# the folder, then pairs ISA,PRODUCTS (as in DUALTAPE_ISA and DUALTAPE_PRODUCTS), or all. Two files
# that test the choice of a library itself are left to the runs in which nothing is chosen.
set -euo pipefail
build=${1:?the build folder}
shift
[[ ${1:-} != all ]] || set -- {baseline,avx2,avx512}','{openblas,onednn}
failed=()
for pair in "$@"; do
  name="by ${pair%,*} and ${pair#*,}" start=$SECONDS
  log=$build/switched-${pair/,/-}.log
  if env DUALTAPE_ISA="${pair%,*}" DUALTAPE_PRODUCTS="${pair#*,}" ctest --test-dir "$build" \
    --parallel "$(nproc)" --output-on-failure --no-tests=error \
    --tests-regex '^(core|ops|modes)/' --exclude-regex '^ops/(precision|tune)$' >"$log" 2>&1; then
    echo "$name: $(grep 'tests passed' "$log"), $((SECONDS - start)) s"
  elif grep -q 'the environment variable is .* but here there is only' "$log"; then
    echo "$name: [skipped] not on this machine, or built without it"
  else
    failed+=("$name")
    sed -n '/tests passed/,$p' "$log"
    echo "$name: failed; all of the output is in $log"
  fi
done
[[ ${#failed[@]} -eq 0 ]]
