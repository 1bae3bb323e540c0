package courier

import (
	"context"
	"net/http"

	"github.com/courier-profiles/courier-go/internal/transport"
)

// ProfilesService has the operations on profiles. It is at [Client.Profiles].
//
// A user id is any string that is not empty, "." or ".."; it is percent-encoded
// into the path, and so never reaches another resource. Courier advises against
// e-mail addresses and phone numbers as ids, because they change.
type ProfilesService struct {
	// Lists has the operations on a user's list subscriptions.
	Lists *ListsService

	client *Client
}

var (
	mergeProfile   = operation{name: "merge profile", method: http.MethodPost, policy: transport.Idempotent, takesKey: true}
	getProfile     = operation{name: "get profile", method: http.MethodGet, policy: transport.Idempotent, expectsMissing: true}
	replaceProfile = operation{name: "replace profile", method: http.MethodPut, policy: transport.Idempotent}
	patchProfile   = operation{name: "patch profile", method: http.MethodPatch, policy: transport.NotIdempotent}
	deleteProfile  = operation{name: "delete profile", method: http.MethodDelete, policy: transport.Idempotent, expectsMissing: true}
)

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
	return s.write(ctx, &mergeProfile, userID, profile, opts)
}

// GetResult is the response to [ProfilesService.Get].
type GetResult struct {
	Profile     Profile
	Preferences *Preferences // nil if Courier sent none
	Response
}

// Get reads the user's profile (GET /profiles/{user_id}). A user without one is
// a [*NotFoundError]. The other errors are those of [ProfilesService.Merge].
func (s *ProfilesService) Get(ctx context.Context, userID string, opts ...RequestOption) (*GetResult, error) {
	result := new(GetResult)
	if err := s.client.do(ctx, &call{op: &getProfile, userID: userID}, result, opts); err != nil {
		return nil, err
	}
	return result, nil
}

// Replace makes profile the whole of the user's profile, and creates one if
// there is none (PUT /profiles/{user_id}): every member that is not in it is
// removed, so that an empty Profile empties it. To change a part of a profile
// use Merge; to Get, change and Replace loses what others wrote in between.
//
// Replace is safe to retry, and is retried. The errors are those of
// [ProfilesService.Merge].
func (s *ProfilesService) Replace(ctx context.Context, userID string, profile Profile, opts ...RequestOption) (*Result, error) {
	return s.write(ctx, &replaceProfile, userID, profile, opts)
}

// Patch applies ops to the user's profile, in their order, all or none (PATCH
// /profiles/{user_id}, JSON Patch, RFC 6902), and creates a profile if there is
// none. No ops change nothing. Where Courier cannot apply one, such as a
// [PatchTest] that does not hold, the error is an [*InvalidRequestError]. An
// invalid pointer is a [*ValidationError]; the other errors are those of
// [ProfilesService.Merge].
//
// A patch may do something else when it is applied twice. It is retried only
// when Courier cannot have acted on it: on status 429 and 503, and when dialling
// failed.
func (s *ProfilesService) Patch(ctx context.Context, userID string, ops []PatchOp, opts ...RequestOption) (*Result, error) {
	body, err := encode(&patchBody{ops})
	if err != nil {
		return nil, err
	}
	return s.client.write(ctx, &patchProfile, userID, body, opts)
}

// Delete deletes the user's profile (DELETE /profiles/{user_id}). List
// subscriptions and preferences stay: they are resources of their own.
//
// Delete is safe to retry, and is retried. The errors are those of
// [ProfilesService.Merge].
func (s *ProfilesService) Delete(ctx context.Context, userID string, opts ...RequestOption) (*Result, error) {
	return s.client.write(ctx, &deleteProfile, userID, nil, opts)
}

func (s *ProfilesService) write(ctx context.Context, op *operation, userID string, profile Profile, opts []RequestOption) (*Result, error) {
	body, err := encode(&profileBody{plainProfile(profile)})
	if err != nil {
		return nil, err
	}
	return s.client.write(ctx, op, userID, body, opts)
}

func (g *GetResult) read(text []byte) error {
	var body struct {
		Profile     Field[plainProfile] `json:"profile"`
		Preferences Field[*Preferences] `json:"preferences"`
	}
	if err := decode(text, &body); err != nil {
		return err
	}
	if err := optional(&g.Preferences, body.Preferences, "preferences"); err != nil {
		return err
	}
	return required((*plainProfile)(&g.Profile), body.Profile, "profile")
}
