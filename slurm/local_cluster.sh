#!/usr/bin/env bash
# A real Slurm cluster of two nodes with accounting, on one machine: for tests, and to try things out.
#
#   slurm/local_cluster.sh up              start it, or start what is missing of it; as root, install what is missing
#   slurm/local_cluster.sh up --views [ACREGMIN ACDIRMIN]   the same, with the folder shared/ as on NFS (see below)
#   slurm/local_cluster.sh login COMMAND…  run a command on the login node of such a cluster
#   eval "$(slurm/local_cluster.sh env)"   let sbatch, squeue, sacct, robotrove … of this shell speak with it
#   slurm/local_cluster.sh status          one line per daemon, then the nodes; exit code 0 only if all of it is up
#   slurm/local_cluster.sh down [--purge]  cancel its jobs and end it; with --purge, remove its folder too
#
# Made for Debian 12 (Slurm 22.05). It belongs to the user who starts it, root or not, and needs neither systemd
# nor /etc. Ports and sockets are its own, so that another cluster on this machine goes on undisturbed. All of it lives
# in one folder, ${ROBOTROVE_CLUSTER:-$HOME/.cache/robotrove/cluster}:
#
#   slurm.conf slurmdbd.conf munge.key port    written by `up`
#   run/NAME.pid   log/NAME.log                NAME: munged mariadbd slurmdbd slurmctld slurmd-n1 slurmd-n2
#   run/*.socket   state/  spool/  database/   what the daemons keep. Kill any daemon with -9 and call `up`: running
#                                              jobs go on, if they started at least 5 s before (see SchedulerParameters)
#   shared/  views                             with --views: a folder that the nodes and `login` each see as NFS client
#                                              of their own, and what the caches were set to
#
# The nodes n1 and n2 claim 8 CPUs and 16,000 MB each, whatever the machine has. Jobs of the partition `urgent` preempt
# those of `main` (the default), which are requeued: the signal of --signal, else SIGTERM, then 10 s until SIGKILL.
#
# With --views, n1, n2 and `login` have host names and mounts of their own. Each believes for ACDIRMIN seconds (30) what it
# saw of a folder in shared/, and for ACREGMIN seconds (3) the size and time of a file. Whoever is outside of the three
# sees the server's side at the same path. Made by tests/support/nfsish.py: from a clone, as root, with python3 that has
# the package fusepy.
set -euo pipefail

dir=${ROBOTROVE_CLUSTER:-$HOME/.cache/robotrove/cluster}
user=$(id -un)
nfsish=$(dirname "$(readlink -f "$0")")/../tests/support/nfsish.py
marker='# Written by robotrove slurm/local_cluster.sh'
export PATH=$PATH:/usr/sbin:/sbin
export SLURM_CONF=$dir/slurm.conf                   # for the daemons and clients started here
export MYSQL_UNIX_PORT=$dir/run/mariadbd.socket     # slurmdbd knows no other way to a socket

fail() {
    echo "local_cluster.sh: $*" >&2
    exit 1
}

has_views() { [ -s "$dir/views" ]; }

# Set the names of all daemons, in the order in which they start.
name_daemons() {
    daemons=(munged mariadbd slurmdbd slurmctld)
    ! has_views || daemons+=(view-n1 view-n2 view-login)
    daemons+=(slurmd-n1 slurmd-n2)
}

# explain NAME MESSAGE…: fail with the end of that daemon's log.
explain() {
    local log=$dir/log/$1.log
    shift
    echo "local_cluster.sh: $*; the end of $log:" >&2
    tail -n 20 "$log" >&2 || true
    exit 1
}

# pid_of NAME: print its pid, if it lives and is ours; a pid in a file may belong to another process by now.
pid_of() {
    local pid
    pid=$(cat "$dir/run/$1.pid" 2>/dev/null) && [ -n "$pid" ] &&
        case $1 in
            view-*) grep -qszxF "$dir/run/$1" "/proc/$pid/cmdline" ;;
            *) [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "${1%-n?}" ] ;;
        esac &&
        grep -qszxF "SLURM_CONF=$SLURM_CONF" "/proc/$pid/environ" && echo "$pid"
}

is_up() { pid_of "$1" >/dev/null; }

is_gone() { ! is_up "$1"; }

# within SECONDS COMMAND…: try it until it succeeds; what it said last is in log/check.log.
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >"$dir/log/check.log" 2>&1; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.2
    done
}

install_packages() {
    local package missing=() packages=(slurmctld slurmd slurm-client slurmdbd munge mariadb-server-core mariadb-client-core)
    ! has_views || packages+=(libfuse2)
    for package in "${packages[@]}"; do
        dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -qx 'install ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" -eq 0 ] || fail "packages are missing; as root: apt-get install --no-install-recommends ${missing[*]}"
    echo "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -qq --no-install-recommends "${missing[@]}"; } \
        >"$dir/log/apt.log" 2>&1 9>&- || explain apt "apt-get install ${missing[*]} failed"
}

# Four ports in a row, chosen once, since jobs outlive a restart of the daemons; clusters of other folders start to look
# elsewhere. Below 32768, where Linux begins to hand out ports to clients.
choose_port() {
    local port
    port=$((20000 + $(cksum <<<"$dir" | cut -d ' ' -f 1) % 1000 * 10))
    until ports_are_free "$port"; do port=$((port + 10)); done
    echo "$port"
}

ports_are_free() {
    local i
    for i in 0 1 2 3; do
        if (: <"/dev/tcp/127.0.0.1/$(($1 + i))") 2>/dev/null; then return 1; fi
    done
}

write_configuration() {
    local port host
    [ -s "$dir/port" ] || choose_port >"$dir/port"
    port=$(<"$dir/port")
    host=$(hostname -s)
    [ -s "$dir/munge.key" ] || (umask 077 && head -c 128 /dev/urandom >"$dir/munge.key")
    cat >"$SLURM_CONF" <<CONF
$marker
ClusterName=robotrove
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
# A requeued job waits for its credential to expire before it starts again: 2 minutes by default.
AuthInfo=socket=$dir/run/munged.socket,cred_expire=10
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmdPidFile=$dir/run/slurmd-%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd-%n.log

AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((port + 1))
# This is how the connection to slurmdbd finds munged's socket; AuthInfo does not hold there.
AccountingStoragePass=$dir/run/munged.socket
# Limits and accounts hold, as they do on most clusters; without this, any account is taken.
AccountingStorageEnforce=limits,qos
# A task that holds more memory than it asked for is killed; without cgroups this is noticed within 3 seconds.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=3
JobAcctGatherParams=OverMemoryKill
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
MailProg=/bin/true

# The nodes may claim more CPUs than there are. One whose slurmd was gone serves again as soon as it answers; one that
# somebody set down stays down until state=resume.
SlurmdParameters=config_overrides
ReturnToService=1
SlurmctldTimeout=10
SlurmdTimeout=20
KillWait=5
MinJobAge=600
MaxArraySize=1001
MaxJobCount=25000
JobRequeue=1
OverTimeLimit=0

SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=2000
SchedulerType=sched/backfill
# Without the usual delay of 3 s, an array of 1,000 short tasks takes half the time. What the main scheduler starts is
# written to state/ within 5 s; what backfill starts is not, and such a job may not survive kill -9 of slurmctld.
SchedulerParameters=batch_sched_delay=0,bf_interval=10
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
NodeName=n1,n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 2)),$((port + 3)) \\
    CPUs=8 CoresPerSocket=8 RealMemory=16000
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=1 PreemptMode=REQUEUE GraceTime=10
PartitionName=urgent Nodes=ALL MaxTime=INFINITE PriorityTier=2 PreemptMode=OFF
CONF
    (umask 077 && cat >"$dir/slurmdbd.conf") <<CONF
$marker
DbdHost=$host
DbdAddr=127.0.0.1
DbdPort=$((port + 1))
SlurmUser=$user
AuthType=auth/munge
AuthInfo=socket=$dir/run/munged.socket
PidFile=$dir/run/slurmdbd.pid
LogFile=$dir/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=$user
StorageLoc=slurm_acct_db
CONF
}

make_database() {
    [ ! -d "$dir/database" ] || return 0
    rm -rf "$dir/database.tmp"
    # The account needs no password: the database asks the kernel which user is at the other end of the socket.
    mariadb-install-db --no-defaults --user="$user" --datadir="$dir/database.tmp" --skip-test-db \
        --auth-root-authentication-method=socket --auth-root-socket-user="$user" \
        >>"$dir/log/mariadbd.log" 2>&1 9>&- || explain mariadbd 'mariadb-install-db failed'
    mv "$dir/database.tmp" "$dir/database"
}

# start NAME COMMAND…: start that daemon, unless it runs. fd 9 is the lock, which must not outlive this script.
start() {
    local name=$1
    shift
    is_gone "$name" || return 0
    rm -f "$dir/run/$name.pid"
    echo "starting $name"
    "$@" </dev/null >>"$dir/log/$name.log" 2>&1 9>&- || explain "$name" "$name does not start"
    within 20 is_up "$name" || explain "$name" "$name has not started within 20 s"
}

# ready NAME SECONDS COMMAND…: wait until the command succeeds, which shows that the daemon answers.
ready() {
    local name=$1 seconds=$2
    shift 2
    if within "$seconds" answers_or_gone "$name" "$@" && is_up "$name"; then return; fi
    explain "$name" "$name does not answer, or has ended: $(<"$dir/log/check.log")"
}

answers_or_gone() { "${@:2}" || is_gone "$1"; }

munge_answers() { munge -n -S "$dir/run/munged.socket" | unmunge -S "$dir/run/munged.socket"; }

is_registered() { [ -n "$(sacctmgr -n show association cluster=robotrove account=robotrove user="$user")" ]; }

register() {
    {
        sacctmgr -i add cluster robotrove
        sacctmgr -i add account robotrove cluster=robotrove
        sacctmgr -i add user "$user" account=robotrove cluster=robotrove
    } >"$dir/log/check.log" 2>&1 || true # what is there already fails
    is_registered
}

slurmctld_answers() { scontrol ping | grep -q 'is UP'; }

nodes_answer() { [ "$(sinfo -h -N -p main -o %T | grep -cxE '(idle|mixed|allocated|completing|planned)[+]?')" -eq 2 ]; }

# A node that somebody set down or drained goes back to work, too.
nodes_work() {
    if sinfo -h -o %T | grep -qE 'down|drain'; then scontrol update nodename=n1,n2 state=resume || true; fi
    nodes_answer
}

is_mounted() { grep -qF " $1 fuse" /proc/self/mounts; }

# Where /dev/fuse or fusepy is missing, nothing is begun.
check_views() {
    [ "$(id -u)" -eq 0 ] || fail '--views mounts file systems: only root may'
    [ -c /dev/fuse ] || fail '--views needs /dev/fuse, which this machine does not have'
    [ -f "$nfsish" ] || fail "--views needs $nfsish: run the script of a clone"
    python3 -c 'import importlib.util, sys; sys.exit(not importlib.util.find_spec("fuse"))' ||
        fail '--views needs the package fusepy: pip install fusepy, with the python3 that is first on PATH'
}

# start_view NAME: mount the view of that client, at run/view-NAME.
start_view() {
    local name=view-$1 pid reg acdir
    is_gone "$name" || return 0
    # It was killed: its node holds on to the dead mount.
    release_view "$name"
    if pid=$(pid_of "slurmd-$1"); then kill "$pid" && within 30 is_gone "slurmd-$1"; fi
    mkdir -p "$dir/run/$name" "$dir/shared"
    read -r reg acdir <"$dir/views"
    # shellcheck disable=SC2016 # the inner shell's
    start "$name" setsid --fork bash -c 'echo $$ >"$1"; shift; exec python3 "$@"' - "$dir/run/$name.pid" \
        "$nfsish" "$dir/shared" "$dir/run/$name" "$reg" "$acdir"
    ready "$name" 20 is_mounted "$dir/run/$name"
}

release_view() { while is_mounted "$dir/run/$1"; do umount --lazy "$dir/run/$1"; done; }

# on NODE COMMAND…: run a command with that node's host name, where shared/ is what it sees; without views, run it here.
on() {
    has_views || { "${@:2}"; return; }
    # shellcheck disable=SC2016 # the inner shell's
    unshare --mount --uts -- bash -c 'hostname "$1" && mount --bind "$2" "$3" && cd "$PWD" && shift 3 && exec "$@"' - \
        "$1" "$dir/run/view-$1" "$dir/shared" "${@:2}"
}

up() {
    local node
    # slurm.conf knows no quotes, and the path of a socket has at most 107 bytes.
    [[ $dir =~ ^/[A-Za-z0-9/._-]{1,79}$ ]] ||
        fail "the folder '$dir' is not an absolute path of at most 80 of A-Z a-z 0-9 / . _ -; set ROBOTROVE_CLUSTER"
    [ -z "$(ls -A "$dir" 2>/dev/null)" ] || [ -d "$dir/run" ] ||
        fail "the folder '$dir' holds something else; set ROBOTROVE_CLUSTER"
    (umask 077 && mkdir -p "$dir"/{run,log,state,spool/n1,spool/n2})
    exec 9>"$dir/run/lock"
    flock -w 120 9 || fail "another up or down holds $dir/run/lock for 120 s"
    if [ "${1:-}" = --views ]; then
        check_views
        is_gone slurmctld || [ "${*:2}" = "$(cat "$dir/views" 2>/dev/null)" ] ||
            fail 'this cluster runs without views, or with other caches: down, then up --views'
        echo "${@:2}" >"$dir/views"
        name_daemons
    fi
    install_packages
    write_configuration
    make_database

    # --force: the folder is this user's only, and munged would have its socket open to all.
    start munged munged --force --key-file="$dir/munge.key" --socket="$dir/run/munged.socket" \
        --pid-file="$dir/run/munged.pid" --log-file="$dir/log/munged.log" --seed-file="$dir/run/munged.seed"
    ready munged 20 munge_answers
    start mariadbd setsid --fork mariadbd --no-defaults --user="$user" --datadir="$dir/database" \
        --skip-networking --socket="$MYSQL_UNIX_PORT" --pid-file="$dir/run/mariadbd.pid" \
        --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900
    ready mariadbd 60 mariadb --no-defaults --user="$user" -e 'SELECT 1'
    start slurmdbd slurmdbd
    ready slurmdbd 60 sacctmgr -n show cluster
    is_registered || register || explain slurmdbd "the user $user was not registered"
    start slurmctld slurmctld
    ready slurmctld 30 slurmctld_answers
    for node in n1 n2; do
        ! has_views || start_view "$node"
        start "slurmd-$node" on "$node" slurmd -N "$node"
    done
    ! has_views || start_view login
    within 60 nodes_work || explain slurmctld "the nodes are not ready after 60 s: $(sinfo -N)"
    sacct -n -X >/dev/null || explain slurmdbd 'sacct fails'
    status
}

no_job_runs() { [ -z "$(squeue -h -t running,completing,suspended)" ]; }

# Steps whose controller was gone when the cluster was ended: they would wait for it, with or without their job.
end_steps() {
    local step task
    for step in $(pgrep -x slurmstepd); do
        grep -qszxF "SLURM_CONF=$SLURM_CONF" "/proc/$step/environ" || continue
        for task in $(pgrep -P "$step"); do kill -9 -- "-$task" || kill -9 "$task" || true; done 2>/dev/null
        kill -9 "$step" 2>/dev/null || true
    done
}

down() {
    local i name pid
    if [ -d "$dir/run" ]; then
        exec 9>"$dir/run/lock"
        flock -w 120 9 || fail "another up or down holds $dir/run/lock for 120 s"
    fi
    # A job's processes would outlive the daemons.
    if is_up slurmctld && timeout 30 scancel -u "$user"; then
        within 30 no_job_runs || echo 'local_cluster.sh: some jobs did not end within 30 s' >&2
    fi
    for ((i = ${#daemons[@]} - 1; i >= 0; i--)); do
        name=${daemons[i]}
        pid=$(pid_of "$name") || continue
        echo "ending $name"
        kill "$pid" 2>/dev/null || continue
        within 30 is_gone "$name" || kill -9 "$pid"
    done
    end_steps
    for name in view-n1 view-n2 view-login; do release_view "$name"; done
    if [ "${1:-}" = --purge ] && [ -e "$dir" ]; then
        grep -qsxF "$marker" "$SLURM_CONF" || fail "'$dir' has no slurm.conf of this script, and is not removed"
        rm -rf "$dir"
    fi
}

status() {
    local name pid code=0
    for name in "${daemons[@]}"; do
        pid=$(pid_of "$name") && printf '%-10s up, pid %s\n' "$name" "$pid" && continue
        printf '%-10s down\n' "$name"
        code=1
    done
    [ "$code" -ne 0 ] || { sinfo && nodes_answer; } || code=1
    return "$code"
}

name_daemons
case "$#:${1:-}:${2:-}" in
    1:up:) up ;;
    2:up:--views) up --views 3 30 ;;
    4:up:--views) up "${@:2}" ;;
    *:login:?*) has_views || fail 'this cluster has no login node: up --views'; on login "${@:2}" ;;
    1:down: | 2:down:--purge) down "${2:-}" ;;
    1:status:) status ;;
    1:env:) printf 'export SLURM_CONF=%q\n' "$SLURM_CONF" ;;
    *) echo "usage: $0 up [--views [ACREGMIN ACDIRMIN]] | login COMMAND… | down [--purge] | status | env" >&2; exit 2 ;;
esac
