#!/usr/bin/env bash
# Measures the throughput and the idle load of workers:
#
#	./measure.sh PARTITIONS WORKERS [UPDATES [DELAY]]
#
# It starts a nats-server, the fake of the Profiles API with DELAY for each request,
# and WORKERS workers, all on this machine. It measures for ten seconds
# while the stream is full, and for 60 seconds (or $IDLE) once it is empty. It
# needs Linux, curl, and an open-files limit above 2 × PARTITIONS × WORKERS.
set -euo pipefail
cd "$(dirname "$0")"
partitions=$1 workers=$2 updates=${3:-60000} delay=${4:-100ms}
monitor=127.0.0.1:18222
export NATS_URL=nats://127.0.0.1:14222

dir=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait; rm -rf "$dir"' EXIT
go build -o "$dir/" . github.com/nats-io/nats-server/v2
go build -C ../.. -o "$dir/" ./examples/fakeserver

"$dir/nats-server" -js -sd "$dir/js" -a 127.0.0.1 -p 14222 -m 18222 -l "$dir/nats.log" &
nats=$! pids+=($!)
"$dir/fakeserver" -addr 127.0.0.1:18080 -delay "$delay" >"$dir/fake.env" &
fake=$! pids+=($!)
until curl -sf "http://$monitor/healthz" >/dev/null && [ -s "$dir/fake.env" ]; do sleep 0.1; done
set -a && . "$dir/fake.env" && set +a

value() { curl -s "http://$monitor/$1" | grep -m1 -o "\"$2\": [0-9]*" | grep -o '[0-9]*$'; }
stored() { value 'jsz' messages; }
# ticks prints the CPU time of some processes in hundredths of a second.
ticks() { for pid; do cat "/proc/$pid/stat"; done | awk '{ n += $14 + $15 } END { print n }'; }
# per SECONDS COUNT prints a rate.
per() { awk "BEGIN { printf \"%.1f\", $2 / $1 }"; }

seq "$updates" | awk '{ printf "{\"id\":\"u%d\",\"user_id\":\"user-%d\",\"profile\":{\"custom\":{\"seq\":%d}}}\n", $1, $1, $1 }' |
	"$dir/worker" -partitions "$partitions" publish

running=()
for i in $(seq "$workers"); do
	"$dir/worker" 2>"$dir/worker-$i.log" &
	running+=($!) pids+=($!)
done
for i in $(seq "$workers"); do
	until grep -q msg=working "$dir/worker-$i.log"; do sleep 0.1; done
done
sleep 2
begin=$(date +%s.%N) n=$(stored) w=$(ticks "${running[@]}") s=$(ticks $nats) f=$(ticks $fake)
sleep 10
seconds=$(awk "BEGIN { print $(date +%s.%N) - $begin }")
left=$(stored)
[ "$left" -gt 0 ] || echo "the stream was empty too early: use more updates"
echo "busy: $(per "$seconds" $((n - left))) updates/s; CPU in % of a core: workers $(per "$seconds" $(($(ticks "${running[@]}") - w)))," \
	"nats-server $(per "$seconds" $(($(ticks $nats) - s))), fakeserver $(per "$seconds" $(($(ticks $fake) - f)))"

until [ "$(stored)" = 0 ]; do sleep 0.5; done
sleep 5
w=$(ticks "${running[@]}") s=$(ticks $nats) in=$(value varz in_msgs) out=$(value varz out_msgs)
sleep ${IDLE:-60}
echo "idle: CPU in % of a core: workers $(per ${IDLE:-60} $(($(ticks "${running[@]}") - w))), nats-server $(per ${IDLE:-60} $(($(ticks $nats) - s)));" \
	"$(per ${IDLE:-60} $(($(value varz in_msgs) - in))) messages/s to the server, $(per ${IDLE:-60} $(($(value varz out_msgs) - out))) from it"
