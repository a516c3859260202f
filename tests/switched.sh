#!/usr/bin/env bash
# The tests of core, ops and modes of a build folder by other instruction sets and libraries than
# those a run would take by itself: the same programs, switched through the environment. Arguments:
# the folder, then pairs ISA,PRODUCTS (as in DUALTAPE_ISA and DUALTAPE_PRODUCTS), or all. Two files
# that test the choice of a library itself are left to the runs in which nothing is chosen.
set -euo pipefail
build=${1:?the build folder}
shift
[[ ${1:-} != all ]] || set -- {baseline,avx2,avx512}','{openblas,onednn}
[[ $# -gt 0 ]] || {
  echo "switched: no pairs; give ISA,PRODUCTS such as avx2,openblas, or all" >&2
  exit 2
}
for pair in "$@"; do # a name mistyped would be one that this machine lacks
  [[ $pair =~ ^(baseline|avx2|avx512|neon),(openblas|onednn)$ ]] || {
    echo "switched: '$pair' is no pair of an instruction set and a library, such as avx2,openblas" >&2
    exit 2
  }
done

# Whether a first product, which wants both, is refused as this machine or this build lacks one.
is_missing() {
  local said
  said=$("$build/tests/dualtape-test-ops" '--source-file=*/ops/matmul_test.cpp' --abort-after=1 2>&1) || true
  [[ $said =~ 'the environment variable is '.*' but here there is only' ]]
}

failed=()
for pair in "$@"; do
  name="by ${pair%,*} and ${pair#*,}" start=$SECONDS
  log=$build/switched-${pair/,/-}.log
  export DUALTAPE_ISA=${pair%,*} DUALTAPE_PRODUCTS=${pair#*,}
  if is_missing; then
    echo "$name: [skipped] not on this machine, or built without it"
  elif ctest --test-dir "$build" --parallel "$(nproc)" --output-on-failure --no-tests=error \
    --tests-regex '^(core|ops|modes)/' --exclude-regex '^ops/(precision|tune)$' >"$log" 2>&1; then
    echo "$name: $(grep 'tests passed' "$log"), $((SECONDS - start)) s"
  else
    failed+=("$name")
    sed -n '/tests passed/,$p' "$log"
    echo "$name: failed; all of the output is in $log"
  fi
done
[[ ${#failed[@]} -eq 0 ]]
