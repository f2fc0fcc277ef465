#!/usr/bin/env bash
# A real SLURM on this one host, to try things on: several nodes, accounting, preemption, fake GPUs; no systemd, loopback.
#
#   slurm/dev-cluster.sh up          start it (3 to 10 s), or leave a running one as it is
#   eval "$(slurm/dev-cluster.sh env)"   let this shell's sbatch, squeue, … talk to it
#   slurm/dev-cluster.sh status      its daemons, nodes and jobs
#   slurm/dev-cluster.sh down        end its jobs and daemons; `down --purge` removes its folder, too
#
# Settings, by environment variable:
#   DEVCLUSTER_DIR     its state: a short path without blanks, outside of any checkout (default /tmp/devcluster-<uid>)
#   DEVCLUSTER_NODES   2        DEVCLUSTER_CPUS   CPUs of each node; all of the host's      DEVCLUSTER_GPUS   fake, 2 a node
#   DEVCLUSTER_PORT    28817, the first of several in a row                  DEVCLUSTER_MAX_ARRAY   MaxArraySize, 1001
#
# Packages on Debian and Ubuntu: slurmctld slurmd slurm-client munge slurmdbd mariadb-server
set -euo pipefail

DIR=${DEVCLUSTER_DIR:-/tmp/devcluster-$(id -u)}
NODES=${DEVCLUSTER_NODES:-2}
CPUS=${DEVCLUSTER_CPUS:-$(nproc --all)}
GPUS=${DEVCLUSTER_GPUS:-2}
PORT=${DEVCLUSTER_PORT:-28817}
MAX_ARRAY=${DEVCLUSTER_MAX_ARRAY:-1001}
USER_NAME=$(id -un)
NEEDED=(munged slurmctld slurmd slurmdbd mariadbd mariadb-install-db sbatch squeue sacct)

export PATH=$PATH:/usr/sbin:/sbin SLURM_CONF=$DIR/etc/slurm.conf
unset "${!SLURM_JOB_@}"

fail() { echo "dev-cluster: $*" >&2; exit 1; }

# --- processes: each daemon leaves its pid in run/NAME.pid ------------------------------------------------------------

# A pid file may be stale and its number reused, so the command line must be that of the daemon.
alive() {  # NAME
  local pid
  pid=$(cat "$DIR/run/$1.pid" 2>/dev/null) || return 1
  [ -n "$pid" ] && tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q "${1%%-*}"
}

await() {  # SECONDS DESCRIPTION COMMAND...
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    if [ $SECONDS -ge $deadline ]; then
      tail -n 5 "$DIR"/log/*.log >&2 || true
      fail "$what: not after $deadline s; the ends of the logs are above"
    fi
    sleep 0.1
  done
}

halt() {  # NAME...: ask all of them to end, wait, then insist
  local name pid pids=()
  for name in "$@"; do
    if alive "$name"; then
      pid=$(cat "$DIR/run/$name.pid")
      pids+=("$pid")
      kill "$pid" 2>/dev/null || true
    fi
  done
  for pid in "${pids[@]}"; do
    for _ in $(seq 100); do
      kill -0 "$pid" 2>/dev/null || continue 2
      grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null && continue 2
      sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
  done
  for name in "$@"; do rm -f "$DIR/run/$name.pid"; done
}

# --- configuration ----------------------------------------------------------------------------------------------------

node_lines() {
  local number memory gres=""
  memory=$(awk -v nodes="$NODES" '/^MemTotal/ {print int($2 / 1024 * 0.9 / nodes)}' /proc/meminfo)
  [ "$GPUS" = 0 ] || gres="Gres=gpu:$GPUS"
  for number in $(seq "$NODES"); do
    echo "NodeName=n$number NodeHostname=n$number NodeAddr=127.0.0.1 Port=$((PORT + 1 + number)) CPUs=$CPUS RealMemory=$memory $gres"
  done
}

configure() {
  local gpu
  {
    # Who and where.
    echo "ClusterName=dev"
    echo "SlurmctldHost=$(hostname -s)(127.0.0.1)"
    echo "SlurmctldPort=$PORT"
    echo "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny"
    echo "SlurmUser=$USER_NAME"
    echo "SlurmdUser=$USER_NAME"
    echo "AuthType=auth/munge"
    echo "AuthInfo=socket=$DIR/run/munge.sock,cred_expire=5"   # cred_expire is also how long a requeued job waits
    # Job ids must not repeat after a restart: submitit names its files by them.
    echo "FirstJobId=$(($(date +%s) % 50000000 + 1))"
    echo "StateSaveLocation=$DIR/state"
    echo "SlurmdSpoolDir=$DIR/spool/%n"
    echo "SlurmctldPidFile=$DIR/run/slurmctld.pid"
    echo "SlurmdPidFile=$DIR/run/slurmd-%n.pid"
    echo "SlurmctldLogFile=$DIR/log/slurmctld.log"
    echo "SlurmdLogFile=$DIR/log/slurmd-%n.log"
    # No cgroups, which need a system of their own.
    echo "ProctrackType=proctrack/pgid"
    echo "TaskPlugin=task/none"
    echo "JobAcctGatherType=jobacct_gather/linux"
    echo "MpiDefault=none"
    echo "PropagateResourceLimits=NONE"
    # One host plays several nodes and may claim more CPUs than it has.
    echo "SlurmdParameters=config_overrides"
    echo "SelectType=select/cons_tres"
    echo "SelectTypeParameters=CR_Core_Memory"
    echo "DefMemPerCPU=256"
    # Everything happens within seconds.
    echo "SlurmdTimeout=10"
    echo "KillWait=5"
    echo "ReturnToService=1"   # a node that somebody set down stays down, until somebody resumes it
    echo "SchedulerType=sched/backfill"
    echo "SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=10000,bf_interval=2"
    # Jobs of the partition "low" give way to those of "debug": first a signal, after the grace time back to the queue.
    echo "PreemptType=preempt/partition_prio"
    echo "PreemptMode=REQUEUE"
    echo "SlurmctldParameters=preempt_send_user_signal"
    echo "JobRequeue=1"
    echo "MaxArraySize=$MAX_ARRAY"
    echo "AccountingStorageType=accounting_storage/slurmdbd"
    echo "AccountingStorageHost=127.0.0.1"
    echo "AccountingStoragePort=$((PORT + 1))"
    echo "AccountingStoragePass=$DIR/run/munge.sock"
    [ "$GPUS" = 0 ] || echo "GresTypes=gpu"
    node_lines
    echo "PartitionName=debug Nodes=ALL Default=YES DefaultTime=10 MaxTime=1-0 State=UP PriorityTier=10 PreemptMode=OFF"
    echo "PartitionName=low Nodes=ALL DefaultTime=10 MaxTime=1-0 State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=15"
  } >"$SLURM_CONF"

  : >"$DIR/etc/gres.conf"
  if [ "$GPUS" != 0 ]; then  # any character device with a number in its name will do
    for gpu in $(seq 0 $((GPUS - 1))); do ln -sfn /dev/null "$DIR/etc/gpu$gpu"; done
    echo "Name=gpu File=$DIR/etc/gpu[0-$((GPUS - 1))]" >"$DIR/etc/gres.conf"
  fi

  (umask 077 && cat >"$DIR/etc/slurmdbd.conf") <<CONF
DbdHost=$(hostname -s)
DbdAddr=127.0.0.1
DbdPort=$((PORT + 1))
CommunicationParameters=NoInAddrAny
SlurmUser=$USER_NAME
AuthType=auth/munge
AuthInfo=socket=$DIR/run/munge.sock
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=$USER_NAME
StorageLoc=accounting
LogFile=$DIR/log/slurmdbd.log
PidFile=$DIR/run/slurmdbd.pid
CONF
}

# --- the daemons, in the order in which they need each other ----------------------------------------------------------

start_munge() {
  [ -s "$DIR/etc/munge.key" ] || (umask 077 && head -c 1024 /dev/urandom >"$DIR/etc/munge.key")
  munged --force --key-file="$DIR/etc/munge.key" --socket="$DIR/run/munge.sock" --pid-file="$DIR/run/munged.pid" \
    --log-file="$DIR/log/munged.log" --seed-file="$DIR/run/munge.seed" 2>>"$DIR/log/munged.log"
  await 20 munged munge --socket="$DIR/run/munge.sock" --no-input
}

query() { mariadb --no-defaults --socket="$DIR/run/sql.sock" --user="$USER_NAME" --execute="$1"; }

start_accounting() {
  if [ ! -d "$DIR/sql/mysql" ]; then
    mariadb-install-db --no-defaults --datadir="$DIR/sql" --user="$USER_NAME" --skip-test-db \
      --auth-root-authentication-method=socket --auth-root-socket-user="$USER_NAME" >>"$DIR/log/mariadb.log" 2>&1
  fi
  setsid mariadbd --no-defaults --datadir="$DIR/sql" --user="$USER_NAME" --skip-networking --socket="$DIR/run/sql.sock" \
    --pid-file="$DIR/run/mariadbd.pid" --innodb-flush-log-at-trx-commit=0 </dev/null >>"$DIR/log/mariadb.log" 2>&1 &
  await 60 mariadbd query "CREATE DATABASE IF NOT EXISTS accounting"
  MYSQL_UNIX_PORT=$DIR/run/sql.sock slurmdbd
  await 60 slurmdbd timeout 5 sacctmgr --noheader show cluster
  if [ -z "$(sacctmgr --noheader show cluster dev)" ]; then sacctmgr --immediate add cluster dev >/dev/null; fi
}

nodes_ready() {
  local ready
  ready=$(timeout 5 sinfo --noheader --Node --partition=debug --format=%T | grep -cE '^(idle|mixed|allocated|completing)$')
  [ "$ready" = "$NODES" ]
}

start_slurm() {
  local number
  slurmctld -i
  for number in $(seq "$NODES"); do
    mkdir -p "$DIR/spool/n$number"
    slurmd -N "n$number"
  done
  await 60 "nodes ready for jobs" nodes_ready
}

# --- the verbs --------------------------------------------------------------------------------------------------------

slurmds() { (cd "$DIR/run" 2>/dev/null && ls -- slurmd-*.pid 2>/dev/null | sed 's/\.pid$//') || true; }

up() {
  local command folder
  for command in "${NEEDED[@]}"; do
    command -v "$command" >/dev/null || fail "no '$command' here; the packages are named in $0"
  done
  case $DIR in *[[:space:]]*) fail "DEVCLUSTER_DIR must have no blanks: $DIR" ;; esac
  [ ${#DIR} -le 80 ] || fail "DEVCLUSTER_DIR must have at most 80 characters, for the sake of its sockets: $DIR"
  if alive munged && alive slurmctld && nodes_ready; then
    echo "already up: $DIR"
    return
  fi
  down
  rm -rf "$DIR/state"
  for folder in etc log run spool state; do mkdir -p "$DIR/$folder"; done
  chmod 755 "$DIR" "$DIR/run"
  configure
  start_munge
  start_accounting
  start_slurm
  echo "up after $SECONDS s: $(sinfo --noheader --partition=debug --format='%D nodes, %c CPUs and %G each'), in $DIR"
}

orphans() {  # what runs jobs of this cluster, and of no other
  local pid
  for pid in $(pgrep -u "$USER_NAME" slurmstepd || true); do
    if grep -qzxF "SLURM_CONF=$SLURM_CONF" "/proc/$pid/environ" 2>/dev/null; then echo "$pid"; fi
  done
}

down() {
  local pid
  if alive slurmctld; then
    timeout 10 scancel --user="$USER_NAME" 2>/dev/null || true
    for _ in $(seq 50); do
      [ -n "$(timeout 5 squeue --noheader 2>/dev/null)" ] || break
      sleep 0.2
    done
  fi
  # shellcheck disable=SC2046
  halt slurmctld $(slurmds)
  for pid in $(orphans); do kill -KILL "$pid" 2>/dev/null || true; done
  halt slurmdbd
  halt mariadbd
  halt munged
}

status() {
  local name
  for name in munged mariadbd slurmdbd slurmctld $(slurmds); do
    if alive "$name"; then echo "$name runs"; else echo "$name is down"; fi
  done
  alive slurmctld || return 1
  timeout 5 sinfo --Node --long
  timeout 5 squeue
}

case ${1:-} in
  up) up ;;
  down)
    down
    if [ "${2:-}" = --purge ] && [ -e "$SLURM_CONF" ]; then rm -rf "$DIR"; fi
    ;;
  status) status ;;
  env) printf 'export SLURM_CONF=%q\n' "$SLURM_CONF" ;;
  *)
    sed -n '2,14s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
