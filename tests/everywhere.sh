#!/usr/bin/env bash
# Builds and tests dualtape on other systems than this one, each a bare Debian tree that mmdebstrap
# makes of Debian's own packages; ./run everywhere calls it. Root, for chroot.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
work=$here/build/everywhere
codename() { case $1 in 12) echo bookworm ;; 13) echo trixie ;; esac }

usage() {
  cat <<TEXT
usage: ./run everywhere [STEP...]

  switched   the tests of core, ops and modes on this machine, by each instruction set with each
             library of products; wants ./run test before
  debian12   the README's two commands in a bare tree of Debian 12, the shared library, and a program
  debian13   of one's own after the source is gone; the same in Debian 13
  clang19    the library and the tests of core, ops and modes by clang++-19, on Debian 12
  gcc13      the same by g++-13, Ubuntu 24.04's compiler, on Debian 13
  aarch64    built for 64-bit ARM on Debian 13, and the tests of core, ops and modes under qemu-user;
             a big-endian processor is refused

All of them where none is named. Trees and logs are in build/everywhere, a tree goes when its step
has passed. DEBIAN_MIRROR names a mirror where apt's configuration here has none of Debian.
TEXT
}
say() { echo "== $*"; }
die() {
  echo "everywhere: $*" >&2
  exit 1
}

# The mirror that this machine's apt is set up with.
mirror() {
  local ours=${DEBIAN_MIRROR:-}
  if [[ -z $ours ]]; then
    # shellcheck disable=SC1091
    ours=$(. /etc/os-release && [[ $ID == debian ]] &&
      apt-get indextargets --format '$(SITE) $(RELEASE)' |
      awk -v release="$VERSION_CODENAME" '$2 == release { print $1; exit }') || true
  fi
  [[ -n $ours ]] || die "apt's configuration names no mirror of Debian; set DEBIAN_MIRROR"
  echo "$ours"
}

# make_tree NAME RELEASE [PACKAGES [OPTIONS...]]: a bare system of a Debian release.
make_tree() {
  local tree=$work/$1 release=$2 packages=${3:-ca-certificates} start=$SECONDS proxy='' from
  from=$(mirror)
  shift 2
  [[ $# -eq 0 ]] || shift
  eval "$(apt-config shell proxy Acquire::http::Proxy)"
  rm -rf --one-file-system "$tree"
  mkdir -p "$work/ccache-${tree##*/}"
  mmdebstrap --variant=apt --include="$packages" "$@" ${proxy:+"--aptopt=Acquire::http::Proxy \"$proxy\""} \
    "$release" "$tree" "$from" >"$tree.log" 2>&1 || {
    tail -n 20 "$tree.log" >&2
    die "the tree of $release could not be made; all of the output is in $tree.log"
  }
  # As a clone would have it, but with what is not committed yet.
  mkdir -p "$tree/clone" "$tree/ccache"
  git -c safe.directory="$here" -C "$here" ls-files -z --cached --others --exclude-standard |
    tar -C "$here" --null --files-from=- --ignore-failed-read -cf - 2>/dev/null |
    tar -C "$tree/clone" -xf -
  say "a bare tree of $release: $((SECONDS - start)) s"
}

# inside NAME WHAT COMMANDS: runs the shell commands in the tree's copy of the source, and tells how
# long it took and what ctest or doctest said last. One command on a line: the first that fails ends
# them, but not one before an &&.
inside() {
  local tree=$work/$1 what=$2 command=$3 start=$SECONDS log status=0
  log=$work/$1-${what//[^A-Za-z0-9]/-}.log
  # shellcheck disable=SC2016
  unshare --mount bash -euc '
    mount --bind /proc "$0/proc"
    mount --rbind /dev "$0/dev"
    mount --bind "$1" "$0/ccache"
    exec chroot "$0" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
      CCACHE_DIR=/ccache DEBIAN_FRONTEND=noninteractive bash -euo pipefail -c "cd /clone
      $2"' \
    "$tree" "$work/ccache-$1" "$command" </dev/null >"$log" 2>&1 || status=$?
  if [[ $status -ne 0 ]]; then
    tail -n 40 "$log" >&2
    die "$1: $what failed; all of the output is in $log"
  fi
  say "$1: $what: $((SECONDS - start)) s; $(grep -E 'tests passed|test cases:' "$log" | tr -s ' \n' ' ')"
}

debian() {
  local name=debian$1
  make_tree "$name" "$(codename "$1")"
  inside "$name" "run demo" "./run demo"
  inside "$name" "run test" "./run test"
  # The same objects, so that only linking is new.
  inside "$name" "shared library" "
    cmake -DBUILD_SHARED_LIBS=ON build/release
    cmake --build build/release --target dualtape-test-core
    ldd build/release/tests/dualtape-test-core | grep libdualtape.so
    build/release/tests/dualtape-test-core"
  inside "$name" "installed and moved" "
    cmake -DBUILD_SHARED_LIBS=OFF build/release
    cmake --build build/release --target dualtape
    cmake --install build/release --prefix /opt/first
    cp -r tests/consumer docs/examples/readme.cpp /root/
    mv /opt/first /opt/second
    cd /root
    rm -rf /clone
    cmake -S consumer -B own -G Ninja -DCMAKE_PREFIX_PATH=/opt/second -DREADME=/root/readme.cpp
    cmake --build own
    ctest --test-dir own --output-on-failure --no-tests=error"
  rm -rf --one-file-system "${work:?}/$name"
}

# compiler NAME VERSION PACKAGE PROGRAM [OPTION]: the library and its tests by another compiler,
# silently.
compiler() {
  local name=$1
  make_tree "$name" "$(codename "$2")"
  inside "$name" "packages" "./run install-deps $3"
  # Without precompiled headers, so that a file that lacks an include is found.
  inside "$name" "configure" \
    "cmake -S . -B build -G Ninja -DCMAKE_CXX_COMPILER=$4 -DDUALTAPE_WERROR=ON \
      -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON ${5:-}"
  test_layers "$name" ''
}

# test_layers NAME EMULATOR: in the tree's folder build.
test_layers() {
  local layer
  for layer in core ops modes; do
    inside "$1" "build $layer" "cmake --build build --target dualtape-test-$layer"
    inside "$1" "tests of $layer" "$2 build/tests/dualtape-test-$layer"
  done
  rm -rf --one-file-system "${work:?}/$1"
}

aarch64() {
  local arm=(libopenblas-dev libdnnl-dev zlib1g-dev libzip-dev libstdc++6) tools
  tools=(crossbuild-essential-arm64 g++-s390x-linux-gnu qemu-user-static cmake ninja-build ccache
    libxtensor-dev libxtensor-blas-dev libxsimd-dev doctest-dev libcli11-dev nlohmann-json3-dev)
  make_tree aarch64 trixie "ca-certificates,$(IFS=,; echo "${tools[*]},${arm[*]/%/:arm64}")" \
    --architectures=amd64,arm64
  inside aarch64 "big endian refused" "
    if cmake -S . -B /tmp/big -G Ninja -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=s390x \
      -DCMAKE_CXX_COMPILER=s390x-linux-gnu-g++ >/tmp/said 2>&1; then exit 1; fi
    cat /tmp/said
    grep -q 'little-endian processors only' /tmp/said"
  inside aarch64 "configure" "
    cmake -S . -B build -G Ninja -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
      -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++"
  # A processor with NEON alone: at SVE's 512 bits, which the emulator would offer, OpenBLAS 0.3.29
  # takes wrong Cholesky factors.
  test_layers aarch64 "qemu-aarch64-static -cpu cortex-a72"
}

steps=("$@")
[[ ${#steps[@]} -gt 0 ]] || steps=(switched debian12 debian13 clang19 gcc13 aarch64)
for step in "${steps[@]}"; do
  case $step in
    switched | debian12 | debian13 | clang19 | gcc13 | aarch64) ;;
    -h | --help) usage && exit ;;
    *) die "there is no step '$step'; ./run everywhere --help lists them" ;;
  esac
done
if [[ " ${steps[*]} " == *" switched "* && ! -x $here/build/release/tests/dualtape-test-modes ]]; then
  die "switched wants the programs of ./run test"
fi
if [[ ${steps[*]} != switched ]]; then
  [[ $EUID -eq 0 ]] || die "trees are entered by chroot: run it as root"
  for tool in mmdebstrap unshare git apt-get; do
    command -v "$tool" >/dev/null || die "$tool is missing: apt-get install mmdebstrap git util-linux"
  done
fi
mkdir -p "$work"
for step in "${steps[@]}"; do
  case $step in
    switched)
      say "core, ops and modes by each instruction set and library"
      "$here/tests/switched.sh" "$here/build/release" all
      ;;
    debian*) debian "${step#debian}" ;;
    clang19) compiler clang19 12 clang-19 clang++-19 ;;
    # Debian 13's oneDNN wants the C++ library of g++ 14.
    gcc13) compiler gcc13 13 g++-13 g++-13 -DDUALTAPE_ONEDNN=OFF ;;
    *) "$step" ;;
  esac
done
say "passed: ${steps[*]}"
