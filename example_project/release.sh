#!/bin/sh
# What CI does for one release: train, certify, verify. Usage: sh release.sh 1|2|mitigated
# Every command is shown before it runs; the exit status is that of the last step that failed.
set -u
cd "$(dirname "$0")" || exit 2
release=${1:?usage: sh release.sh 1|2|mitigated}
status=0
# One thread: the model is small, and threads that wait for busy cores make every timing the neighbors'.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
run() {
  printf '\n$'
  for word; do
    case $word in
      *[!a-zA-Z0-9_./-]*) printf " '%s'" "$word" ;;
      *) printf ' %s' "$word" ;;
    esac
  done
  echo
  "$@" || status=$?
}

run python train.py --release "$release"
[ "$status" -eq 0 ] || exit "$status"

# In a real team the keys lie in a secret store: CI holds ci.key, risk-officer.key never leaves its owner.
for key in keys/ci keys/risk-officer; do
  [ -f "$key.key" ] || run prodml keygen "$key"
done

# A waiver is for one gate of one model file, so each build needs its own; who approves it reads the numbers first.
rm -f waivers/*.json
if [ "$release" = 2 ]; then
  run prodml waive fairness.approval_by_age --model model/credit.onnx --days 90 \
    --reason "The age gap is not proven below ten points. Equal rates would use age in the decision: with legal review" \
    --approver "Chief Risk Officer" --reference RISK-214 \
    --key keys/risk-officer.key --out waivers/approval_by_age.json
fi

run pytest --prodml --prodml-key keys/ci.key --prodml-model-version "$release"
run prodml verify prodml-report/certificate.json --key keys/ci.pub --waiver-key keys/risk-officer.pub \
  --model model/credit.onnx --policy policy.toml

printf '\nexit status %s\n' "$status"
exit "$status"
