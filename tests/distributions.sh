#!/usr/bin/env bash
# distributions.sh RELEASE [root|user] [--ccache DIR] [--keep]: makes a bare Debian (bookworm: 12, trixie: 13) in a
# folder, copies a clean checkout of the last commit in, and runs the two commands of the README there, as root and as a
# user with sudo (or as the one named). Prints a summary; exit code 1 if one failed. Logs lie in build/distributions.
#   --ccache DIR   keep the compiler's results in DIR from run to run: faster, and no longer a first build
#   --keep         leave the folders of the bare systems where they are, and say where
# Needs root, debootstrap and git. FEWATOMS_MIRROR names the package mirror; without it, the machine's own is taken.
set -euo pipefail

fail() {  # fail MESSAGE [CODE]
  echo "distributions: $1" >&2
  exit "${2:-1}"
}
usage() { sed -n '2,7s/^# \?//p' "${BASH_SOURCE[0]}"; }

release="" people=() ccache="" keep=""
while (($#)); do
  case $1 in
    bookworm | trixie) release=$1 ;;
    root | user) people+=("$1") ;;
    --ccache)
      (($# > 1)) || fail "--ccache needs a folder" 2
      ccache=$2
      shift
      ;;
    --keep) keep=yes ;;
    -h | --help) usage && exit 0 ;;
    *) fail "unknown argument '$1' (see --help)" 2 ;;
  esac
  shift
done
[[ -n $release ]] || fail "name a release: bookworm or trixie" 2
((${#people[@]})) || people=(root user)
(($(id -u) == 0)) || fail "must be run as root: it makes a system of its own in a folder"
for tool in debootstrap git; do
  command -v $tool >/dev/null || fail "needs $tool: apt-get install $tool"
done

# Everything is mounted in a namespace of our own and is gone with it, however this ends.
if [[ ${FEWATOMS_OWN_MOUNTS:-} != yes ]]; then
  arguments=("$release" "${people[@]}")
  [[ -z $ccache ]] || arguments+=(--ccache "$ccache")
  [[ -z $keep ]] || arguments+=(--keep)
  FEWATOMS_OWN_MOUNTS=yes exec unshare --mount --propagation private "${BASH_SOURCE[0]}" "${arguments[@]}"
fi

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
logs=$root/build/distributions
mkdir -p "$logs"

# The mirror that this machine's apt takes Debian's main section from.
mirror=${FEWATOMS_MIRROR:-}
if [[ -z $mirror ]]; then
  # shellcheck disable=SC2016  # apt's own names
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)' 'Created-By: Packages' |
    awk '$3 == "main" && $2 !~ /[-\/]/ && ($4 == "Debian" || (NF == 3 && $1 ~ /debian\/?$/)) {print $1; exit}')
fi
[[ -n $mirror ]] || fail "found no Debian mirror in this machine's apt sources: set FEWATOMS_MIRROR"

place=$(mktemp -d "${TMPDIR:-/var/tmp}/fewatoms-$release.XXXXXX")
clean_up() {
  if [[ -n $keep ]]; then
    echo "The systems are in $place."
  else
    rm -rf --one-file-system "$place"
  fi
}
trap clean_up EXIT

# A system of Debian's smallest kind; the README asks for git, and the user for sudo.
echo "Making a bare $release from this machine's mirror ..."
log=$logs/$release-debootstrap.log
debootstrap --variant=minbase --include=git,ca-certificates "$release" "$place/bare" "$mirror" >"$log" 2>&1 ||
  fail "debootstrap failed; see $log"
cp /etc/resolv.conf "$place/bare/etc/resolv.conf"
apt-config dump --format '%F "%v";%n' Acquire::http::Proxy Acquire::https::Proxy \
  >"$place/bare/etc/apt/apt.conf.d/90proxy"
git clone -q --no-hardlinks "$root" "$place/bare/fewatoms"
git -C "$place/bare/fewatoms" remote remove origin

summary=$logs/$release-summary.txt
{
  echo "FewAtoms $(git -C "$root" rev-parse --short HEAD) on $release, $(nproc) cores, $(date -u +%F)"
  printf '%-6s %-20s %-8s %8s  %s\n' who command outcome seconds log
} >"$summary"
failures=0

# in_system WHO COMMAND...: in the system of that name, as that person, in the checkout.
in_system() {
  local who=$1 system=$place/$1 as=(chroot)
  shift
  [[ $who == root ]] || as+=(--userspec=tester:tester --groups=sudo)
  env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME="$home" LANG=C.UTF-8 TERM=dumb \
    ${ccache:+CCACHE_DIR=/ccache} "${as[@]}" "$system" /bin/bash -c 'cd /fewatoms && "$@"' bash "$@"
}

for who in "${people[@]}"; do
  system=$place/$who
  cp -a "$place/bare" "$system"
  mount -t proc proc "$system/proc"
  mkdir -p "$system/dev/shm"
  mount -t tmpfs -o mode=1777 tmpfs "$system/dev/shm"
  home=/root
  if [[ $who == user ]]; then
    home=/home/tester
    chroot "$system" apt-get update >"$logs/$release-user-sudo.log" 2>&1
    chroot "$system" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends sudo \
      >>"$logs/$release-user-sudo.log" 2>&1 || fail "sudo was not installed; see $logs/$release-user-sudo.log"
    chroot "$system" useradd --create-home --shell /bin/bash --groups sudo tester
    echo 'tester ALL=(ALL) NOPASSWD: ALL' >"$system/etc/sudoers.d/tester"
    chroot "$system" chown -R tester:tester /fewatoms
  fi
  if [[ -n $ccache ]]; then
    mkdir -p "$ccache/$release-$who" "$system/ccache"
    mount --bind "$ccache/$release-$who" "$system/ccache"
    chroot "$system" chown "$([[ $who == root ]] && echo root || echo tester)" /ccache
  fi
  for command in apps/quickstart.sh tests/run.sh; do
    log=$logs/$release-$who-$(basename "$command" .sh).log
    echo "$release, $who: $command (log: $log)"
    SECONDS=0 outcome="ok"
    in_system "$who" "$command" >"$log" 2>&1 </dev/null || outcome="FAILED"
    [[ $outcome == ok ]] || failures=$((failures + 1))
    printf '%-6s %-20s %-8s %8d  %s\n' "$who" "$command" "$outcome" "$SECONDS" "${log#"$root/"}" >>"$summary"
    [[ $outcome == ok ]] || tail -n 15 "$log" >&2
  done
  umount -R "$system/proc" "$system/dev/shm"
  [[ -z $ccache ]] || umount "$system/ccache"
  [[ -n $keep ]] || rm -rf --one-file-system "$system"
done

cat "$summary"
((failures == 0))
