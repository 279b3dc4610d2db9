#!/usr/bin/env bash
# One run on the nodes of a Slurm job: a head on the first, Ray on all of them, the run on the head.
#
#   sbatch --nodes=4 --gpus-per-node=8 cluster/slurm.sh configs/skills.yaml run_dir=$PWD/runs/skills lookahead=64 workers.count=32 workers.gpus=1
#   sbatch --nodes=2 --gpus-per-node=8 cluster/slurm.sh --resume $PWD/runs/skills       # goes on, on other nodes if need be
#
# Submit it from the checkout, on a file system that all nodes share. When the time is nearly over Slurm sends SIGTERM (--signal): the run
# is saved, and the second line above goes on with it.
#SBATCH --job-name=evomerge
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@300
#SBATCH --output=%x-%j.log
set -euo pipefail

source .venv/bin/activate
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=$(srun --nodes=1 --ntasks=1 --nodelist="${nodes[0]}" hostname --ip-address | awk '{print $1}')

export RAY_AUTH_MODE=token RAY_AUTH_TOKEN # other users of the cluster cannot reach ours
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
cpus=(--num-cpus="${SLURM_CPUS_PER_TASK:-16}")

# `ray start`, with more patience: on a busy node Ray gives up after half a minute. What still fails is started again.
start=(python -m evomerge.workers.starting start)

trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
ready=
for try in 1 2 3 4 5; do
  port=$((20000 + (SLURM_JOB_ID + 4001 * (try - 1)) % 20000)) # two jobs on one node do not meet; a port that is taken is left alone
  srun --nodes=1 --ntasks=1 --nodelist="${nodes[0]}" \
    "${start[@]}" --head --node-ip-address="$head" --port="$port" "${cpus[@]}" --include-dashboard=false --block &
  ray=$!
  for _ in $(seq 150); do
    kill -0 $ray 2>/dev/null || break
    # a head that is not ours would answer too, but not to our token
    timeout 60 ray status --address="$head:$port" >/dev/null 2>&1 && ready=yes && break
    sleep 2
  done
  [ -n "$ready" ] && kill -0 $ray 2>/dev/null && break
  ready=
  echo "evomerge: Ray's head did not start on ${nodes[0]}, port $port (try $try of 5)" >&2
  kill $ray 2>/dev/null || true
  wait $ray || true
  sleep 5
done
if [ -z "$ready" ]; then
  echo "evomerge: Ray's head does not start on ${nodes[0]}; what it said is above" >&2
  exit 1
fi

if [ "${#nodes[@]}" -gt 1 ]; then
  # a node that Ray leaves within ten minutes has not joined
  srun --nodes=$((${#nodes[@]} - 1)) --ntasks=$((${#nodes[@]} - 1)) --exclude="${nodes[0]}" \
    bash -c 'for try in 1 2 3 4 5; do "$@" && exit; [ $SECONDS -gt 600 ] && exit 1; sleep 5; done; exit 1' \
    join "${start[@]}" --address="$head:$port" "${cpus[@]}" --block &
fi

export RAY_ADDRESS="$head:$port"
if [ "$1" = --resume ]; then
  shift
  python -m evomerge resume "$@" &
else
  python -m evomerge run "$@" workers._target_=evomerge.Ray &
fi
run=$!
trap 'kill -TERM $run' TERM
wait $run || wait $run # the first wait ends with the signal, the second with the run
