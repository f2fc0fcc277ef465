#!/usr/bin/env bash
# Install the Debian packages that tests use, where that is possible: as root on Debian or Ubuntu.
#   tests/system-deps.sh [0|1]    0: leave the system alone
set -euo pipefail
packages=(
  dataset-fashion-mnist
  slurmctld slurmd slurm-client munge slurmdbd mariadb-server  # a cluster on one host
  chromium                                                     # the report page
  texlive-latex-recommended                                    # its tables
  g++                                                          # torch.compile
  qemu-user                                                    # the same bits on other CPUs
)

[ "${1:-1}" != 0 ] || exit 0
command -v dpkg-query >/dev/null || exit 0
missing=()
for package in "${packages[@]}"; do
  state=$(dpkg-query --show --showformat '${Status}' "$package" 2>/dev/null || true)
  [ "$state" = "install ok installed" ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ]; then
  echo "missing Debian packages (tests that need them are skipped): ${missing[*]}" >&2
  exit 0
fi
apt-get update --quiet=2
DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends "${missing[@]}"
