package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The headers of a dead letter. It has the payload of the update, and the headers too,
// except for those of NATS.
const (
	deadReason     = "Dead-Letter-Reason"
	deadFrom       = "Dead-Letter-Subject"
	deadSequence   = "Dead-Letter-Sequence"
	deadDeliveries = "Dead-Letter-Deliveries"
	deadMsgID      = "Dead-Letter-Msg-Id"
)

// storeDead stores the update as a dead letter, once, however often it is called for the
// same update. It does not settle the update.
func storeDead(
	ctx context.Context, js jetstream.JetStream, msg jetstream.Msg,
	meta *jetstream.MsgMetadata, reason error,
) error {
	dead := nats.NewMsg(deadSubject)
	dead.Data = msg.Data()
	for name, values := range msg.Headers() {
		if !strings.HasPrefix(name, "Nats-") { // some of which are conditions
			dead.Header[name] = values
		}
	}
	dead.Header.Set(deadReason, reason.Error())
	dead.Header.Set(deadFrom, msg.Subject())
	dead.Header.Set(deadSequence, strconv.FormatUint(meta.Sequence.Stream, 10))
	dead.Header.Set(deadDeliveries, strconv.FormatUint(meta.NumDelivered, 10))
	dead.Header.Set(deadMsgID, msg.Headers().Get(jetstream.MsgIDHeader))
	// With the time, because a recreated stream counts from 1 again.
	id := fmt.Sprintf("%s/%d/%d", meta.Stream, meta.Sequence.Stream, meta.Timestamp.UnixNano())
	_, err := js.PublishMsg(ctx, dead, jetstream.WithMsgID(id))
	return err
}
