#!/usr/bin/env bash
# Downloads public data sets to where find_data looks for them; ./run fetch calls it.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
sources=${DUALTAPE_SOURCES:-$here/sources.txt} # the tests have a table of their own

# As data_cache() of data/readers/paths.cpp.
cache=${XDG_CACHE_HOME:-}
[[ $cache == /* ]] || cache=${HOME:?is not set, nor is XDG_CACHE_HOME}/.cache
cache=$cache/dualtape

sets() { awk '!/^#/ && NF && !seen[$1]++ { print $1 }' "$sources"; }

usage() {
  cat <<TEXT
usage: fetch [SET...]

Downloads data sets, all or those named, to $cache,
where the library looks for them. Files that are there and whole are left alone.

sets: $(sets | paste -sd' ')
TEXT
}

# checks FILE CHECKSUM: whether the file is the one meant; CHECKSUM is sha256:HEX or md5:HEX.
checks() { [[ $(sum_of "$1" "${2%%:*}") == "${2#*:}" ]]; }
sum_of() { "${2}sum" <"$1" | cut -d' ' -f1; }

# download ADDRESS FILE: over HTTPS alone, redirects too; the tests' own files by file://.
download() {
  curl --fail --location --silent --show-error --proto '=https,file' --proto-redir '=https' \
    --connect-timeout 20 --speed-limit 1000 --speed-time 60 --output "$2" "$1"
}

# unpack ARCHIVE FOLDER CHECKSUM: moves the folder out of the archive to the cache, whole or not at all.
unpack() {
  local scratch
  scratch=$(mktemp -d "$cache/.part-XXXXXX")
  # The mark says which archive the folder came from, so that it is not fetched again.
  if tar --extract --gzip --no-same-owner --file "$1" --directory "$scratch" &&
    echo "$3" >"$scratch/$2/.fetched" &&
    rm -rf "${cache:?}/$2" && mv "$scratch/$2" "$cache/$2"; then
    rm -rf "$scratch"
  else
    rm -rf "$scratch"
    echo "  the archive does not unpack to $2" >&2
    return 1
  fi
}

have() { # have TARGET CHECKSUM
  if [[ $1 == */ ]]; then
    [[ -f $cache/$1.fetched && $(<"$cache/$1.fetched") == "$2" ]]
  else
    [[ -f $cache/$1 ]] && checks "$cache/$1" "$2"
  fi
}

# fetch_file TARGET CHECKSUM ADDRESS...: 0 where the file is there in the end.
fetch_file() {
  local target=$1 checksum=$2 address part
  shift 2
  if have "$target" "$checksum"; then
    echo "have     $target"
    return 0
  fi
  mkdir -p "$cache/$(dirname "$target")"
  part=$(mktemp "$cache/.part-XXXXXX")
  for address in "$@"; do
    echo "fetching $target from $address"
    download "$address" "$part" || continue
    if ! checks "$part" "$checksum"; then
      echo "  wrong checksum: expected $checksum, got ${checksum%%:*}:$(sum_of "$part" "${checksum%%:*}")" >&2
      continue
    fi
    chmod 644 "$part"
    if [[ $target == */ ]]; then
      unpack "$part" "${target%/}" "$checksum" || continue
      rm -f "$part"
    else
      mv "$part" "$cache/$target"
    fi
    return 0
  done
  rm -f "$part"
  return 1
}

main() {
  local known name failed=() set target checksum addresses
  known=$(sets)
  if [[ ${1:-} == --help || ${1:-} == -h ]]; then
    usage
    return
  fi
  for name in "$@"; do
    if ! grep -qxF -- "$name" <<<"$known"; then
      echo "fetch: no set '$name'; there are: $(paste -sd' ' <<<"$known")" >&2
      return 2
    fi
  done
  if ! command -v curl >/dev/null; then
    echo "fetch: needs curl; on Debian or Ubuntu: apt-get install curl ca-certificates" >&2
    return 1
  fi
  while read -r set target checksum addresses; do
    [[ -n $set && $set != \#* ]] || continue
    [[ $# -eq 0 || " $* " == *" $set "* ]] || continue
    # shellcheck disable=SC2086 # addresses are several words
    fetch_file "$target" "$checksum" $addresses || failed+=("$target  $addresses")
  done <"$sources"
  [[ ${#failed[@]} -gt 0 ]] || return 0
  {
    echo
    echo "fetch: ${#failed[@]} of the files could not be downloaded. Is there a network? Otherwise put them"
    echo "by hand into $cache"
    echo "or into the folder that the environment variable DUALTAPE_DATA names, as:"
    printf '  %s\n' "${failed[@]}"
    [[ ${failed[*]} != *"/  "* ]] || echo "A name that ends in / is the folder in that archive, unpacked."
    [[ ${failed[*]} != *fashion-mnist* ]] || echo "Debian has Fashion-MNIST, too: apt-get install dataset-fashion-mnist"
  } >&2
  return 1
}

main "$@"
