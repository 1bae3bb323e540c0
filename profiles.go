package courier

import (
	"context"
	"net/http"

	"github.com/courier-profiles/courier-go/internal/jsonobject"
	"github.com/courier-profiles/courier-go/internal/retry"
)

// ProfilesService has the operations on profiles. It is at [Client.Profiles].
//
// A user id is any string that is not empty, "." or ".."; it is percent-encoded
// into the path, and so never reaches another resource. Courier advises against
// e-mail addresses and phone numbers as ids, because they change.
type ProfilesService struct {
	client *Client
}

var mergeProfile = operation{
	name:     "merge profile",
	method:   http.MethodPost,
	retry:    retry.Idempotent,
	takesKey: true,
}

// Merge merges profile into the user's profile, and creates one if there is
// none (POST /profiles/{user_id}, "Create a profile" in Courier's API
// reference). The semantics are those of JSON Merge Patch, RFC 7396: what is not
// there stays, objects are merged member by member, also inside Custom, and null
// removes. An empty Profile changes nothing.
//
// Merge is safe to retry, and is retried. The errors are those of the package
// page: a [*ValidationError] before anything is sent, an [*InvalidRequestError]
// and the other answers, each with an [*APIError] in it, a [*ConnectionError],
// or an [*UnexpectedResponseError].
func (s *ProfilesService) Merge(ctx context.Context, userID string, profile Profile, opts ...RequestOption) (*Result, error) {
	body, err := s.client.encode(func(w *jsonobject.Writer) {
		w.Raw(`{"profile":`)
		profile.writeJSON(w)
		w.Raw(`}`)
	})
	if err != nil {
		return nil, err
	}
	result := new(Result)
	if err := s.client.do(ctx, &call{op: &mergeProfile, userID: userID, body: body, result: result}, opts); err != nil {
		return nil, err
	}
	return result, nil
}
